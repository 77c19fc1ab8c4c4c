"""The sum over gated messages, a block of edges at a time.

Written out, the messages of a batch take a dozen passes over tensors of the size of the
edges times twice the channels, and memory sets the pace: a processor could compute many
times faster than these come and go. Here each step is done for a block of edges that
stays in its cache, and one such tensor is kept for the gradient.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Edges of a block: times 128 channels in single precision, half a megabyte.
_BLOCK = 1024


def gated_sum(
    of_centre: Tensor,
    of_neighbour: Tensor,
    of_edge: Tensor,
    edge_features: Tensor,
    edge_index: Tensor,
    edge_weights: Tensor,
) -> Tensor:
    r"""Sum the gated messages to each site, without a norm and without a gradient.

    .. math:: \sum_{j,k} \sigma(z_f) \odot g(z_s), \qquad
        z_f \oplus z_s = a_i + b_j + u_{(i,j)_k} W

    with :math:`g` the softplus.

    Parameters
    ----------
    of_centre, of_neighbour : Tensor of shape (n_sites, 2 * n_channels)
        The terms a and b, site by site.
    of_edge : Tensor of shape (2 * n_channels, n_edge_features)
        The matrix W, transposed.
    edge_features : Tensor of shape (n_edges, n_edge_features)
        The features u.
    edge_index : Tensor of shape (2, n_edges), int64
        Centres and neighbours.
    edge_weights : Tensor of shape (n_edges,)
        How often each edge counts.

    Returns
    -------
    Tensor of shape (n_sites, n_channels)
    """
    half = of_centre.shape[1] // 2
    summed = of_centre.new_zeros(len(of_centre), half)
    here, there = (_room(of_centre, edge_features, 2 * half) for _ in range(2))
    activated = _room(of_centre, edge_features, half)
    for block, n in _blocks(edge_features):
        centre, neighbour = edge_index[:, block]
        z = torch.index_select(of_centre, 0, centre, out=here[:n])
        z.addmm_(edge_features[block], of_edge.T)
        z += torch.index_select(of_neighbour, 0, neighbour, out=there[:n])
        messages = _activate(z, activated[:n])
        messages *= edge_weights[block, None]
        summed.index_add_(0, centre, messages)
    return summed


def normalised_gated_sum(
    of_centre: Tensor,
    of_neighbour: Tensor,
    of_edge: Tensor,
    weight: Tensor,
    bias: Tensor,
    edge_features: Tensor,
    edge_index: Tensor,
    edge_weights: Tensor,
    counts: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum the gated messages to each site, normalised over the edges of the batch.

    Parameters
    ----------
    of_centre, of_neighbour : Tensor of shape (n_sites, 2 * n_channels)
        As for :func:`gated_sum`.
    of_edge : Tensor of shape (2 * n_channels, n_edge_features)
        Likewise.
    weight, bias : Tensor of shape (2 * n_channels,)
        Of the norm.
    edge_features : Tensor of shape (n_edges, n_edge_features)
        As for :func:`gated_sum`.
    edge_index : Tensor of shape (2, n_edges), int64
        Likewise.
    edge_weights : Tensor of shape (n_edges,)
        Likewise.
    counts : Tensor of shape (n_edges,)
        How often each edge counts in mean and variance.
    eps : float
        What is added to the variance.

    Returns
    -------
    summed : Tensor of shape (n_sites, n_channels)
    mean, var : Tensor of shape (2 * n_channels,)
        Of what was normalised, the variance without correction.
    """
    results: tuple[Tensor, Tensor, Tensor] = _NormalisedGatedSum.apply(  # type: ignore[no-untyped-call]
        of_centre,
        of_neighbour,
        of_edge,
        weight,
        bias,
        edge_features,
        edge_index,
        edge_weights,
        counts,
        eps,
    )
    return results


class _NormalisedGatedSum(torch.autograd.Function):
    r"""Sum the gated messages to each site, normalised over the edges of the batch.

    As :func:`gated_sum`, with batch normalisation of :math:`z = z_f \oplus z_s` in
    between, weighted by counts as in :class:`~sklearn_cgcnn.nn.BatchNorm`. It also
    gives the mean and the variance. With the share :math:`p_k` of edge k in all counts
    and a gradient :math:`g` of the normalised values, the gradient of z is

    .. math:: \partial z_k = \alpha \, g_k - p_k (\beta_0 + \beta_1 z_k), \qquad
        \alpha = \frac{\gamma}{\sigma}, \quad
        \beta_1 = \frac{\alpha}{\sigma} \sum_k g_k \hat z_k, \quad
        \beta_0 = \alpha \sum_k g_k - \mu \beta_1.

    Of the size of the edges only z is kept; the activations are computed again, which
    takes less time than to write them to memory and read them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        of_centre: Tensor,
        of_neighbour: Tensor,
        of_edge: Tensor,
        weight: Tensor,
        bias: Tensor,
        edge_features: Tensor,
        edge_index: Tensor,
        edge_weights: Tensor,
        counts: Tensor,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        width = of_centre.shape[1]
        share = counts / counts.sum()
        z = of_centre.new_empty(len(edge_features), width)
        # Near their mean squares lose no digits to it.
        origin = _some_mean(of_centre, of_neighbour, of_edge, edge_features, edge_index)
        of_centre = of_centre - origin
        mean, square = of_centre.new_zeros(2, width)
        wide = _room(z, edge_features, width)
        narrow = _room(z, edge_features, width // 2)
        for block, n in _blocks(edge_features):
            centre, neighbour = edge_index[:, block]
            torch.index_select(of_centre, 0, centre, out=z[block])
            z[block].addmm_(edge_features[block], of_edge.T)
            z[block] += torch.index_select(of_neighbour, 0, neighbour, out=wide[:n])
            mean += share[block] @ z[block]
            square += share[block] @ torch.mul(z[block], z[block], out=wide[:n])
        var = (square - mean.square()).clamp_(min=0)
        inverse_std = (var + eps).rsqrt()
        scale = weight * inverse_std
        shift = bias - mean * scale
        summed = of_centre.new_zeros(len(of_centre), width // 2)
        for block, n in _blocks(edge_features):
            torch.addcmul(shift, z[block], scale, out=wide[:n])
            messages = _activate(wide[:n], narrow[:n])
            messages *= edge_weights[block, None]
            summed.index_add_(0, edge_index[0, block], messages)
        ctx.save_for_backward(
            of_edge, edge_features, edge_index, edge_weights, share, z
        )
        ctx.statistics = mean, inverse_std, scale, shift
        true_mean = mean + origin
        ctx.mark_non_differentiable(true_mean, var)
        return summed, true_mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        of_edge, edge_features, edge_index, edge_weights, share, z = ctx.saved_tensors
        mean, inverse_std, scale, shift = ctx.statistics
        half = z.shape[1] // 2
        to_normalised = torch.empty_like(z)
        to_bias, along_z = z.new_zeros(2, z.shape[1])
        wide = _room(z, edge_features, 2 * half)
        narrow, other = (_room(z, edge_features, half) for _ in range(2))
        for block, n in _blocks(edge_features):
            normalised = torch.addcmul(shift, z[block], scale, out=wide[:n])
            core = _softplus(normalised[:, half:], narrow[:n])
            # Of the first half the gates, of the second the slopes of the softplus.
            gate, slope = normalised.sigmoid_().split(half, dim=1)
            to_gate, to_core = to_normalised[block].split(half, dim=1)
            centre = edge_index[0, block]
            to_messages = torch.index_select(grad, 0, centre, out=other[:n])
            to_messages *= edge_weights[block, None]
            to_messages *= gate
            torch.mul(to_messages, slope, out=to_core)
            to_messages *= core
            torch.addcmul(to_messages, to_messages, gate, value=-1, out=to_gate)
            to_bias += to_normalised[block].sum(dim=0)
            along = torch.mul(to_normalised[block], z[block], out=wide[:n])
            along_z += along.sum(dim=0)
        to_weight = (along_z - mean * to_bias) * inverse_std
        slope_of_z = scale * inverse_std * to_weight
        constant = scale * to_bias - mean * slope_of_z
        to_centre, to_neighbour = z.new_zeros(2, len(grad), z.shape[1])
        to_edge = torch.zeros_like(of_edge)
        to_features = (
            torch.empty_like(edge_features) if ctx.needs_input_grad[5] else None
        )
        for block, n in _blocks(edge_features):
            centre, neighbour = edge_index[:, block]
            to_z = torch.addcmul(constant, z[block], slope_of_z, out=wide[:n])
            to_z *= -share[block, None]
            to_z.addcmul_(to_normalised[block], scale)
            to_centre.index_add_(0, centre, to_z)
            to_neighbour.index_add_(0, neighbour, to_z)
            to_edge.addmm_(to_z.T, edge_features[block])
            if to_features is not None:
                torch.mm(to_z, of_edge, out=to_features[block])
        return (
            to_centre,
            to_neighbour,
            to_edge,
            to_weight,
            to_bias,
            to_features,
            None,
            None,
            None,
            None,
        )


def _activate(values: Tensor, out: Tensor) -> Tensor:
    """Multiply the sigmoid of one half, in its place, by the softplus of the other."""
    gate, core = values.split(values.shape[1] // 2, dim=1)
    return _softplus(core, out).mul_(gate.sigmoid_())


def _softplus(values: Tensor, out: Tensor) -> Tensor:
    """Compute the softplus in half the time that torch's own takes.

    It is exact to the last digit of one, not of itself, which counts among sums.
    """
    torch.clamp(values, max=20, out=out)
    return torch.maximum(out.exp_().add_(1).log_(), values, out=out)


def _some_mean(
    of_centre: Tensor,
    of_neighbour: Tensor,
    of_edge: Tensor,
    edge_features: Tensor,
    edge_index: Tensor,
) -> Tensor:
    """Average z over a few of the edges."""
    some = slice(None, None, max(len(edge_features) // 256, 1))
    centre, neighbour = edge_index[:, some]
    z = edge_features[some] @ of_edge.T
    z += of_centre.index_select(0, centre)
    z += of_neighbour.index_select(0, neighbour)
    return z.mean(dim=0)


def _blocks(edges: Tensor) -> Iterator[tuple[slice, int]]:
    """Divide the edges into blocks, and say how many each has."""
    size = _block_size(edges)
    for start in range(0, len(edges), size):
        yield slice(start, start + size), min(size, len(edges) - start)


def _room(like: Tensor, edges: Tensor, width: int) -> Tensor:
    """Make room for what a block needs, to be used by every block again.

    New memory, which a system hands out page by page and filled with zeros, would take
    longer than what is written to it.
    """
    return like.new_empty(min(_block_size(edges), len(edges)), width)


def _block_size(edges: Tensor) -> int:
    """Choose the edges of a block: few for a processor's cache, all for a GPU."""
    return _BLOCK if edges.device.type == "cpu" else max(len(edges), 1)
