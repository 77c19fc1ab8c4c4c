"""The sum over gated messages, a block of edges at a time.

Written out, the messages of a batch take a dozen passes over tensors of the size of the
edges times twice the channels, and memory sets the pace: a processor could compute many
times faster than these come and go. Here each step is done for a block of edges that
stays in its cache, and what is kept for the gradient are two such tensors.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

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
    n_channels = of_centre.shape[1] // 2
    summed = of_centre.new_zeros(len(of_centre), n_channels)
    for block in _blocks(edge_features):
        centre, neighbour = edge_index[:, block]
        z = torch.mm(edge_features[block], of_edge.T)
        z += of_centre.index_select(0, centre)
        z += of_neighbour.index_select(0, neighbour)
        gate, core = z.split(n_channels, dim=1)
        messages = torch.sigmoid(gate).mul_(softplus(core))
        summed.index_add_(0, centre, messages.mul_(edge_weights[block, None]))
    return summed


class NormalisedGatedSum(torch.autograd.Function):
    r"""Sum the gated messages to each site, normalised over the edges of the batch.

    As :func:`gated_sum`, with batch normalisation of :math:`z_f \oplus z_s` in between,
    weighted by counts as in :class:`~sklearn_cgcnn.nn.BatchNorm`. It also gives the
    mean and the variance.
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
        n_edges, width = len(edge_features), of_centre.shape[1]
        share = counts / counts.sum()
        standard = of_centre.new_empty(n_edges, width)  # z, later normalised
        # About their mean in the first block the sum of squares loses no digits.
        shift = None
        mean, square = of_centre.new_zeros(2, width)
        for block in _blocks(edge_features):
            centre, neighbour = edge_index[:, block]
            z = standard[block]
            torch.mm(edge_features[block], of_edge.T, out=z)
            z += of_centre.index_select(0, centre)
            z += of_neighbour.index_select(0, neighbour)
            if shift is None:
                shift = z.mean(dim=0)
            shifted = z - shift
            mean += share[block] @ shifted
            square += share[block] @ shifted.square_()
        var = (square - mean.square()).clamp_(min=0)
        mean += shift
        inverse_std = (var + eps).rsqrt()
        activated = torch.empty_like(standard)  # gates and cores
        summed = of_centre.new_zeros(len(of_centre), width // 2)
        for block in _blocks(edge_features):
            z = standard[block].sub_(mean).mul_(inverse_std)
            gate, core = torch.addcmul(bias, z, weight).split(width // 2, dim=1)
            gates, cores = activated[block].split(width // 2, dim=1)
            gates.copy_(gate.sigmoid_())
            cores.copy_(softplus(core))
            messages = gate.mul_(cores).mul_(edge_weights[block, None])
            summed.index_add_(0, edge_index[0, block], messages)
        ctx.save_for_backward(
            of_edge,
            weight,
            edge_features,
            edge_index,
            edge_weights,
            share,
            standard,
            activated,
            inverse_std,
        )
        ctx.mark_non_differentiable(mean, var)
        return summed, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        (
            of_edge,
            weight,
            edge_features,
            edge_index,
            edge_weights,
            share,
            standard,
            activated,
            inverse_std,
        ) = ctx.saved_tensors
        width = standard.shape[1]
        to_normalised = torch.empty_like(standard)
        to_bias, to_weight = standard.new_zeros(2, width)
        for block in _blocks(edge_features):
            to_messages = grad.index_select(0, edge_index[0, block])
            to_messages *= edge_weights[block, None]
            gate, core = activated[block].split(width // 2, dim=1)
            to_gate, to_core = to_normalised[block].split(width // 2, dim=1)
            # The slope of the softplus is 1 - exp(-softplus), of the sigmoid s (1 - s).
            torch.mul(to_messages, gate, out=to_gate)
            torch.mul(to_gate, torch.expm1(-core).neg_(), out=to_core)
            to_gate.mul_(core).mul_(1 - gate)
            to_bias += to_normalised[block].sum(dim=0)
            to_weight += (to_normalised[block] * standard[block]).sum(dim=0)
        to_centre = standard.new_zeros(len(grad), width)
        to_neighbour = torch.zeros_like(to_centre)
        to_edge = torch.zeros_like(of_edge)
        features_need_it = ctx.needs_input_grad[5]
        to_features = torch.empty_like(edge_features) if features_need_it else None
        for block in _blocks(edge_features):
            centre, neighbour = edge_index[:, block]
            to_z = torch.addcmul(to_bias, standard[block], to_weight)
            to_z.mul_(-share[block, None]).add_(to_normalised[block])
            to_z.mul_(weight * inverse_std)
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


def _blocks(edges: Tensor) -> Iterator[slice]:
    """Divide the edges into blocks: many for a processor's cache, one for a GPU."""
    size = _BLOCK if edges.device.type == "cpu" else max(len(edges), 1)
    return (slice(start, start + size) for start in range(0, len(edges), size))
