"""The sum over gated messages, a block of edges at a time.

Written out, the messages of a batch take a dozen passes over tensors of the size of the
edges times twice the channels, and memory sets the pace: a processor could compute many
times faster than these come and go. Here each step is done for a block of edges that
stays in its cache, and none of them is kept: to compute them again for the gradient
takes less time than to write them to memory and to read them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sklearn_cgcnn.nn._graph import Graph

# Beyond it a softplus is its argument or 0, and the exponential of more would leave the
# range of single precision.
_FAR = 80.0


def gated_sum(
    sites: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, graph: Graph
) -> Tensor:
    r"""Sum the gated messages to each site.

    .. math:: \sum_{j,k} \sigma(y_f) \odot g(y_s), \qquad
        y_f \oplus y_s = \alpha \odot (v_i \oplus v_j \oplus u_{(i,j)_k}) W + \beta

    with :math:`g` the softplus.

    Parameters
    ----------
    sites : Tensor of shape (n_sites, n_channels)
        The vectors v.
    weight : Tensor of shape (2 * n_channels, 2 * n_channels + n_edge_features)
        The matrix W, transposed.
    scale, shift : Tensor of shape (2 * n_channels,)
        :math:`\alpha` and :math:`\beta`.
    graph : Graph
        No gradient is given to its edge features.

    Returns
    -------
    Tensor of shape (n_sites, n_channels)
    """
    summed: Tensor = _GatedSum.apply(sites, weight, scale, shift, graph)  # type: ignore[no-untyped-call]
    return summed


def normalised_gated_sum(
    sites: Tensor,
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
    graph: Graph,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum the gated messages to each site, normalised over the edges of the batch.

    Parameters
    ----------
    sites : Tensor of shape (n_sites, n_channels)
        As for :func:`gated_sum`.
    weight : Tensor of shape (2 * n_channels, 2 * n_channels + n_edge_features)
        Likewise.
    scale, shift : Tensor of shape (2 * n_channels,)
        What follows the division by the standard deviation.
    graph : Graph
        As for :func:`gated_sum`.
    eps : float
        What is added to the variance.

    Returns
    -------
    summed : Tensor of shape (n_sites, n_channels)
    mean, var : Tensor of shape (2 * n_channels,)
        Of what was normalised, the variance without correction.
    """
    results: tuple[Tensor, Tensor, Tensor] = _NormalisedGatedSum.apply(  # type: ignore[no-untyped-call]
        sites, weight, scale, shift, graph, eps
    )
    return results


class _GatedSum(torch.autograd.Function):
    """As :func:`gated_sum`."""

    @staticmethod
    def forward(
        ctx: Any,
        sites: Tensor,
        weight: Tensor,
        scale: Tensor,
        shift: Tensor,
        graph: Graph,
    ) -> Tensor:
        tables = _tables_of_map(sites, weight, scale, shift)
        ctx.graph, ctx.near = graph, _is_near(tables[1], graph)
        ctx.save_for_backward(sites, weight, scale, tables)
        return _sum_messages(tables, len(sites), graph, ctx.near)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        sites, weight, scale, tables = ctx.saved_tensors
        sums = _gradients_of_terms(grad, tables, ctx.graph, ctx.near)
        to_shift = sums[: len(sites)].sum(dim=0)
        to_scale = (_terms(sites, weight) * sums).sum(dim=0)
        to_sites, to_weight = _gradients_of_map(sums, sites, weight, scale)
        return to_sites, to_weight, to_scale, to_shift, None


class _NormalisedGatedSum(torch.autograd.Function):
    r"""As :func:`normalised_gated_sum`.

    Let t be the terms of z, those of sites of mean zero, G the sums of the gradient of
    y over the edges from each site, and to each site, and times the features, P the
    shares and C the covariances of :class:`EdgeMoments`. Batch normalisation of z then
    gives

    .. math::
        \partial\beta = \sum_i G_i, \quad
        G' = G - P \, \partial\beta, \quad
        \partial\gamma = \sum_r \frac{t_r G'_r}{\sigma}, \quad
        \partial t = \frac{\gamma}{\sigma}
            \Big(G' - \frac{C}{\sigma} \partial\gamma \Big).
    """

    @staticmethod
    def forward(
        ctx: Any,
        sites: Tensor,
        weight: Tensor,
        scale: Tensor,
        shift: Tensor,
        graph: Graph,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        n_sites, moments = len(sites), graph.moments
        terms = _terms(sites, weight)
        mean = moments.centre(terms)
        covariances = moments.covariances(terms)
        var = (terms * covariances).sum(dim=0).clamp_(min=0)
        inverse_std = (var + eps).rsqrt()
        scale_of_z = scale * inverse_std
        # The terms of the features are not of mean zero.
        mean_of_rest = moments.of_features @ terms[2 * n_sites :]
        tables = _tables(terms, scale_of_z, shift - scale_of_z * mean_of_rest, n_sites)
        ctx.graph, ctx.near = graph, _is_near(tables[1], graph)
        ctx.save_for_backward(
            sites, weight, scale_of_z, terms, tables, covariances, inverse_std
        )
        ctx.mark_non_differentiable(mean, var)
        return _sum_messages(tables, n_sites, graph, ctx.near), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        sites, weight, scale_of_z, terms, tables, covariances, inverse_std = (
            ctx.saved_tensors
        )
        sums = _gradients_of_terms(grad, tables, ctx.graph, ctx.near)
        to_shift = sums[: len(sites)].sum(dim=0)
        sums.addr_(ctx.graph.moments.shares, to_shift, alpha=-1)
        to_scale = (terms * sums).sum(dim=0).mul_(inverse_std)
        sums.addcmul_(covariances, inverse_std * to_scale, value=-1)
        to_sites, to_weight = _gradients_of_map(sums, sites, weight, scale_of_z)
        return to_sites, to_weight, to_scale, to_shift, None, None


def _gradients_of_map(
    sums: Tensor, sites: Tensor, weight: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Go back from the terms, whose gradients are the sums times the scale."""
    to_centre, to_neighbour, to_edge = _split(sums, len(sites))
    # Rather than the sums, the weight is scaled, which is smaller.
    scaled = (weight * scale[:, None]).T
    of_centre, of_neighbour, _ = _split(scaled, sites.shape[1])
    to_sites = (to_centre @ of_centre.T).addmm_(to_neighbour, of_neighbour.T)
    parts = [sites.T @ to_centre, sites.T @ to_neighbour, to_edge]
    return to_sites, (torch.cat(parts) * scale).T


def _terms(sites: Tensor, weight: Tensor) -> Tensor:
    """Compute what sites as centres, sites as neighbours, and features add to z."""
    of_centre, of_neighbour, of_edge = _split(weight.T, sites.shape[1])
    terms = sites.new_empty(2 * len(sites) + len(of_edge), len(weight))
    as_centres, as_neighbours, of_features = _split(terms, len(sites))
    torch.mm(sites, of_centre, out=as_centres)
    torch.mm(sites, of_neighbour, out=as_neighbours)
    of_features.copy_(of_edge)
    return terms


def _split(rows: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Part off n rows, the next n, and the rest."""
    return rows[:n], rows[n : 2 * n], rows[2 * n :]


def _tables(terms: Tensor, scale: Tensor, shift: Tensor, n_sites: int) -> Tensor:
    """Lay out the terms of minus the gates, and of the cores, scaled and shifted.

    In tables of their own: with half of the rows of one, strided, torch would take
    twice the time.
    """
    half = terms.shape[1] // 2
    scale, shift = (_with_minus_gates(each).view(2, half) for each in (scale, shift))
    tables = terms.new_empty(2, len(terms), half)
    rows, of_rows = terms.view(-1, 2, half), tables.transpose(0, 1)
    torch.addcmul(shift, rows[:n_sites], scale, out=of_rows[:n_sites])
    torch.mul(rows[n_sites:], scale, out=of_rows[n_sites:])
    return tables


def _tables_of_map(
    sites: Tensor, weight: Tensor, scale: Tensor, shift: Tensor
) -> Tensor:
    """Lay out what `_tables` does, where scale and shift are known from the outset."""
    half = len(weight) // 2
    scale, shift = _with_minus_gates(scale), _with_minus_gates(shift)
    of_centre, of_neighbour, of_edge = _split((weight * scale[:, None]).T, half)
    tables = sites.new_empty(2, 2 * len(sites) + len(of_edge), half)
    for table, part in zip(tables, (slice(half), slice(half, None)), strict=True):
        as_centres, as_neighbours, of_features = _split(table, len(sites))
        torch.addmm(shift[part], sites, of_centre[:, part], out=as_centres)
        torch.mm(sites, of_neighbour[:, part], out=as_neighbours)
        of_features.copy_(of_edge[:, part])
    return tables


def _with_minus_gates(values: Tensor) -> Tensor:
    """Change the sign of the first half."""
    gates, cores = values.chunk(2)
    return torch.cat([-gates, cores])


def _is_near(table: Tensor, graph: Graph) -> bool:
    """Say whether nothing that is gathered from a table can be far from zero."""
    if not graph.in_blocks or not graph.blocks:
        return False
    n = len(table) - graph.n_edge_features
    bound = 2 * _largest(table[:n])
    if graph.n_edge_features:
        bound = bound + _largest(table[n:]) * graph.largest_features
    return bool(bound < _FAR)


def _largest(values: Tensor) -> Tensor:
    """Give the largest absolute value, in one pass."""
    return torch.stack(values.aminmax()).abs().max()


def _sum_messages(tables: Tensor, n_sites: int, graph: Graph, near: bool) -> Tensor:
    """Sum the messages to each site."""
    summed = tables.new_zeros(n_sites, tables.shape[2])
    for block in graph.blocks:
        minus_gate, core = (block.gather(table) for table in tables)
        _, messages = _exp_and_softplus(core, near)
        messages /= minus_gate.exp_().add_(1)
        block.add_to_centres(summed, messages, factors=block.weights)
    return summed


def _exp_and_softplus(core: Tensor, near: bool) -> tuple[Tensor, Tensor]:
    """Compute 1 + exp(core), held finite, and its logarithm, the softplus.

    The latter is exact to the last digit of one, not of itself, which counts among
    sums. The core may be used up.
    """
    if near:
        one_plus_exp = core.exp_().add_(1)
        return one_plus_exp, one_plus_exp.log()
    one_plus_exp = core.clamp(-_FAR, _FAR).exp_().add_(1)
    return one_plus_exp, torch.maximum(one_plus_exp.log(), core)


def _gradients_of_terms(
    grad: Tensor, tables: Tensor, graph: Graph, near: bool
) -> Tensor:
    """Sum the gradients of y over the edges of which each term is a part."""
    n_sites, half = grad.shape
    sums = grad.new_zeros(tables.shape[1], 2 * half)
    to_centre, to_neighbour, to_edge = _split(sums, n_sites)
    room = grad.new_empty(max(map(len, graph.blocks), default=0), 2 * half)
    for block in graph.blocks:
        minus_gate, core = (block.gather(table) for table in tables)
        gate = minus_gate.exp_().add_(1).reciprocal_()
        one_plus_exp, softplus = _exp_and_softplus(core, near)
        to_y = room[: len(block)]
        to_core = block.at_centre(grad).mul_(gate)
        # The slope of a softplus is what the inverse of 1 + exp lacks to 1, and that of
        # a gate itself times what it lacks to 1.
        torch.addcdiv(to_core, to_core, one_plus_exp, value=-1, out=to_y[:, half:])
        to_gate = to_core.mul_(softplus)
        torch.addcmul(to_gate, to_gate, gate, value=-1, out=to_y[:, :half])
        block.add_to_centres(to_centre, to_y)
        block.add_to_neighbours(to_neighbour, to_y)
        features = graph.edge_features[block.edges, block.features]
        to_edge[block.features].addmm_(features.T, to_y)
    return sums
