"""The sum over gated messages, and its gradient."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sklearn_cgcnn._ops._linear_terms import split_terms, terms_of
from sklearn_cgcnn._ops._precision import multiply, rounded_type
from sklearn_cgcnn._ops._threads import sum_parts
from sklearn_cgcnn.nn._graph import Graph


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
        The matrix W, transposed. Under autocast, it is rounded, and the sites for their
        products with it.
    scale, shift : Tensor of shape (2 * n_channels,)
        :math:`\alpha` and :math:`\beta`.
    graph : Graph
        No gradient is given to its edge features.

    Returns
    -------
    Tensor of shape (n_sites, n_channels)
    """
    summed: Tensor = _apply(_GatedSum, sites, weight, scale, shift, graph)
    return summed


def normalized_gated_sum(
    sites: Tensor,
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
    graph: Graph,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum the gated messages to each site, normalized over the edges of the batch.

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
        Of what was normalized, the variance without correction.
    """
    results: tuple[Tensor, Tensor, Tensor] = _apply(
        _NormalizedGatedSum, sites, weight, scale, shift, graph, eps
    )
    return results


def _apply(
    function: type[torch.autograd.Function],
    sites: Tensor,
    weight: Tensor,
    scale: Tensor,
    *args: Any,
) -> Any:
    """Apply a function, whose products alone autocast is to round."""
    kind = rounded_type(sites)
    if kind is None:
        return function.apply(sites, weight, scale, *args)
    with torch.autocast(sites.device.type, enabled=False):
        return function.apply(sites.to(scale.dtype), weight.to(kind), scale, *args)


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
        terms = terms_of(sites, weight, graph.edges.parts)
        messages = graph.edges.messages(terms, scale, shift)
        ctx.save_for_backward(sites, weight, scale)
        ctx.messages, ctx.parts = messages, graph.edges.parts
        return messages.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        sites, weight, scale = ctx.saved_tensors
        sums = ctx.messages.sum_gradients(grad)
        to_shift = sums[: len(sites)].sum(dim=0)
        to_scale = None
        if ctx.needs_input_grad[2]:
            to_scale = (terms_of(sites, weight, ctx.parts) * sums).sum(dim=0)
        to_sites, to_weight = _gradients_of_map(sums, sites, weight, scale, ctx.parts)
        return to_sites, to_weight, to_scale, to_shift, None


class _NormalizedGatedSum(torch.autograd.Function):
    r"""As :func:`normalized_gated_sum`.

    Let t be the terms of z, those of sites of mean zero, G the sums of the gradient of
    y over the edges from each site, and to each site, and times the features, P the
    shares and C the covariances of :class:`EdgeMoments`. Batch normalization of z then
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
        terms, mean = moments.centred_terms(sites, weight)
        covariances, var = moments.covariances(terms)
        inverse_std = (var + eps).rsqrt()
        scale_of_z = scale * inverse_std
        # The terms of the features are not of mean zero.
        mean_of_rest = moments.of_features @ terms[2 * n_sites :]
        shift_of_z = shift - scale_of_z * mean_of_rest
        messages = graph.edges.messages(terms, scale_of_z, shift_of_z)
        ctx.save_for_backward(
            sites, weight, scale_of_z, terms, covariances, inverse_std
        )
        ctx.messages, ctx.moments, ctx.parts = messages, moments, graph.edges.parts
        ctx.mark_non_differentiable(mean, var)
        return messages.sum(), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        sites, weight, scale_of_z, terms, covariances, inverse_std = ctx.saved_tensors
        sums = ctx.messages.sum_gradients(grad)
        to_scale, to_shift = ctx.moments.take_out(sums, terms, covariances, inverse_std)
        to_sites, to_weight = _gradients_of_map(
            sums, sites, weight, scale_of_z, ctx.parts
        )
        return to_sites, to_weight, to_scale, to_shift, None, None


def _gradients_of_map(
    sums: Tensor,
    sites: Tensor,
    weight: Tensor,
    scale: Tensor,
    parts: Sequence[tuple[int, int]],
) -> tuple[Tensor, Tensor]:
    """Go back from the terms, whose gradients are the sums times the scale."""
    to_center, to_neighbor, to_edge = split_terms(sums, len(sites))
    # Rather than the sums, the weight is scaled, which is smaller.
    scaled = (weight * scale[:, None]).to(weight.dtype).T
    of_center, of_neighbor, _ = split_terms(scaled, sites.shape[1])
    to_sites = torch.empty_like(sites)

    def go_back(start: int, stop: int) -> Tensor:
        part = slice(start, stop)
        ends = [to[part].to(weight.dtype) for to in (to_center, to_neighbor)]
        multiply(ends[0], of_center.T, out=to_sites[part])
        if weight.dtype == sites.dtype:
            to_sites[part].addmm_(ends[1], of_neighbor.T)
        else:
            to_sites[part] += ends[1] @ of_neighbor.T
        inputs = sites[part].to(weight.dtype).T
        return torch.cat([inputs @ to_end for to_end in ends])

    to_map = sum_parts(go_back, parts)
    return to_sites, (torch.cat([to_map, to_edge]) * scale).T
