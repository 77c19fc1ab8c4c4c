"""The fused sum over gated messages, and its gradient."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sklearn_cgcnn._ops._interface import EdgeSums
from sklearn_cgcnn._ops._linear_terms import linear_terms, split_terms
from sklearn_cgcnn._ops._moments import EdgeMoments
from sklearn_cgcnn._ops._precision import autocast_dtype, multiply, without_autocast
from sklearn_cgcnn._ops._threads import sum_over_ranges


def supports_fused_sums(values: Tensor) -> bool:
    """Return whether the fused sums can be used with these edge features.

    Parameters
    ----------
    values : Tensor of shape (n_edges, n_entries)
        Values of the sparse edge features.

    Returns
    -------
    bool
        False if the features need a gradient, which the fused sums do not compute, or
        if their device or dtype is not supported.
    """
    return (
        not (values.requires_grad and torch.is_grad_enabled())
        and values.device.type != "mps"  # older versions of torch lack embedding_bag
        and values.dtype != torch.float16  # its range is too small for exponentials
    )


def gated_sum(
    sites: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, sums: EdgeSums
) -> Tensor:
    r"""Sum the gated messages to each site.

    .. math:: \sum_{j,k} \sigma(y_f) \odot g(y_s), \qquad
        y_f \oplus y_s = \alpha \odot (v_i \oplus v_j \oplus u_{(i,j)_k}) W + \beta

    with :math:`g` the softplus (paper, Eq. 5).

    Parameters
    ----------
    sites : Tensor of shape (n_sites, n_channels)
        The site vectors v.
    weight : Tensor of shape (2 * n_channels, 2 * n_channels + n_features)
        The matrix W, transposed. Under autocast it is rounded, and so are the sites in
        products with it.
    scale, shift : Tensor of shape (2 * n_channels,)
        :math:`\alpha` and :math:`\beta`.
    sums : EdgeSums
        The edges of the batch. Their features get no gradient.

    Returns
    -------
    Tensor of shape (n_sites, n_channels)
    """
    summed: Tensor = _apply(_GatedSum, sites, weight, scale, shift, sums)
    return summed


def normalized_gated_sum(
    sites: Tensor,
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
    sums: EdgeSums,
    moments: EdgeMoments,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Sum the gated messages to each site, normalized over the edges of the batch.

    .. math:: y_f \oplus y_s = \gamma \odot \frac{z - \bar z}
        {\sqrt{\operatorname{Var} z + \epsilon}} + \beta, \qquad
        z = (v_i \oplus v_j \oplus u_{(i,j)_k}) W

    Parameters
    ----------
    sites : Tensor of shape (n_sites, n_channels)
        As for :func:`gated_sum`.
    weight : Tensor of shape (2 * n_channels, 2 * n_channels + n_features)
        As for :func:`gated_sum`.
    scale, shift : Tensor of shape (2 * n_channels,)
        :math:`\gamma` and :math:`\beta`.
    sums : EdgeSums
        The edges of the batch. Their features get no gradient.
    moments : EdgeMoments
        The moments of the same edges.
    eps : float
        The constant :math:`\epsilon` that is added to the variance.

    Returns
    -------
    summed : Tensor of shape (n_sites, n_channels)
    mean, var : Tensor of shape (2 * n_channels,)
        Mean and variance of z over the edges, the variance without Bessel's correction.
        They have no gradient.
    """
    results: tuple[Tensor, Tensor, Tensor] = _apply(
        _NormalizedGatedSum, sites, weight, scale, shift, sums, moments, eps
    )
    return results


def _apply(
    function: type[torch.autograd.Function],
    sites: Tensor,
    weight: Tensor,
    scale: Tensor,
    *args: Any,
) -> Any:
    """Apply a function. Under autocast, round only its products with the weight."""
    dtype = autocast_dtype(sites)
    if dtype is None:
        return function.apply(sites, weight, scale, *args)
    with without_autocast(sites):
        return function.apply(sites.to(scale.dtype), weight.to(dtype), scale, *args)


class _GatedSum(torch.autograd.Function):
    """Compute :func:`gated_sum` and its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        sites: Tensor,
        weight: Tensor,
        scale: Tensor,
        shift: Tensor,
        sums: EdgeSums,
    ) -> Tensor:
        terms = linear_terms(sites, weight, sums.site_ranges)
        messages = sums.messages(terms, scale, shift)
        ctx.save_for_backward(sites, weight, scale)
        ctx.messages, ctx.site_ranges = messages, sums.site_ranges
        return messages.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        sites, weight, scale = ctx.saved_tensors
        grad_sums = ctx.messages.sum_gradients(grad)
        # Every edge has one center, so that the rows of the centers hold every edge.
        grad_shift = grad_sums[: len(sites)].sum(dim=0)
        grad_scale = None
        if ctx.needs_input_grad[2]:
            terms = linear_terms(sites, weight, ctx.site_ranges)
            grad_scale = (terms * grad_sums).sum(dim=0)
        grad_sites, grad_weight = _linear_map_gradients(
            grad_sums, sites, weight, scale, ctx.site_ranges
        )
        return grad_sites, grad_weight, grad_scale, grad_shift, None


class _NormalizedGatedSum(torch.autograd.Function):
    r"""Compute :func:`normalized_gated_sum` and its gradient.

    Let t be the terms of z, those of the sites with mean zero, and let G be the
    gradients of y summed over the edges that each term contributes to. P and C are the
    mean coefficients and the covariances of :class:`EdgeMoments`. The gradient of batch
    normalization is then

    .. math::
        \partial\beta = \sum_i G_i, \quad
        G' = G - P \, \partial\beta, \quad
        \partial\gamma = \sum_r \frac{t_r G'_r}{\sigma}, \quad
        \partial t = \frac{\gamma}{\sigma}
            \Big(G' - \frac{C}{\sigma} \partial\gamma \Big),

    with the sum over i over the rows of the centers.
    """

    @staticmethod
    def forward(
        ctx: Any,
        sites: Tensor,
        weight: Tensor,
        scale: Tensor,
        shift: Tensor,
        sums: EdgeSums,
        moments: EdgeMoments,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        terms, mean = moments.centered_terms(sites, weight)
        covariances, var = moments.covariances(terms)
        inverse_std = (var + eps).rsqrt()
        z_scale = scale * inverse_std
        # The terms of the sites have mean zero, those of the edge features do not.
        features_mean = moments.feature_means @ terms[2 * len(sites) :]
        z_shift = shift - z_scale * features_mean
        messages = sums.messages(terms, z_scale, z_shift)
        ctx.save_for_backward(sites, weight, z_scale, terms, covariances, inverse_std)
        ctx.messages, ctx.moments = messages, moments
        ctx.site_ranges = sums.site_ranges
        ctx.mark_non_differentiable(mean, var)
        return messages.sum(), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        sites, weight, z_scale, terms, covariances, inverse_std = ctx.saved_tensors
        grad_sums = ctx.messages.sum_gradients(grad)
        grad_scale, grad_shift = ctx.moments.project_gradients(
            grad_sums, terms, covariances, inverse_std
        )
        grad_sites, grad_weight = _linear_map_gradients(
            grad_sums, sites, weight, z_scale, ctx.site_ranges
        )
        return grad_sites, grad_weight, grad_scale, grad_shift, None, None, None


def _linear_map_gradients(
    grad_sums: Tensor,
    sites: Tensor,
    weight: Tensor,
    scale: Tensor,
    site_ranges: Sequence[tuple[int, int]],
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of sites and weight.

    The gradients of the terms are `grad_sums` times `scale`.
    """
    grad_center, grad_neighbor, grad_features = split_terms(grad_sums, len(sites))
    # The weight is scaled, not the sums, because it is smaller.
    scaled_weight = (weight * scale[:, None]).to(weight.dtype).T
    center_weight, neighbor_weight, _ = split_terms(scaled_weight, sites.shape[1])
    grad_sites = torch.empty_like(sites)

    def multiply_range(start: int, stop: int) -> Tensor:
        rows = slice(start, stop)
        center, neighbor = (
            each[rows].to(weight.dtype) for each in (grad_center, grad_neighbor)
        )
        multiply(center, center_weight.T, out=grad_sites[rows])
        if weight.dtype == sites.dtype:
            grad_sites[rows].addmm_(neighbor, neighbor_weight.T)
        else:
            grad_sites[rows] += neighbor @ neighbor_weight.T
        inputs = sites[rows].to(weight.dtype).T
        return torch.cat([inputs @ center, inputs @ neighbor])

    grad_map = sum_over_ranges(multiply_range, site_ranges)
    return grad_sites, (torch.cat([grad_map, grad_features]) * scale).T
