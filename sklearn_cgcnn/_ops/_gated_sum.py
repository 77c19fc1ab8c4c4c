"""The fused sum over gated messages, and its gradient."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sklearn_cgcnn._ops._interface import Activation, EdgeMoments, EdgeSums
from sklearn_cgcnn._ops._linear_terms import linear_map_gradients, linear_terms
from sklearn_cgcnn._ops._precision import apply_rounded


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
    sites: Tensor,
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
    sums: EdgeSums,
    activation: Activation = "softplus",
) -> Tensor:
    r"""Sum the gated messages to each site.

    .. math:: \sum_{j,k} \sigma(y_f) \odot g(y_s), \qquad
        y_f \oplus y_s = \alpha \odot (v_i \oplus v_j \oplus u_{(i,j)_k}) W + \beta

    with :math:`g` the activation (paper, Eq. 5).

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
    activation : {"softplus", "silu"}, default="softplus"

    Returns
    -------
    Tensor of shape (n_sites, n_channels)
    """
    summed: Tensor = apply_rounded(
        _GatedSum, sites, weight, scale, shift, sums, activation
    )
    return summed


def normalized_gated_sum(
    sites: Tensor,
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
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
    moments : EdgeMoments
        The edges of the batch. Their features get no gradient.
    eps : float
        The constant :math:`\epsilon` that is added to the variance.

    Returns
    -------
    summed : Tensor of shape (n_sites, n_channels)
    mean, var : Tensor of shape (2 * n_channels,)
        Mean and variance of z over the edges, the variance without Bessel's correction.
        They have no gradient.
    """
    results: tuple[Tensor, Tensor, Tensor] = apply_rounded(
        _NormalizedGatedSum, sites, weight, scale, shift, moments, eps
    )
    return results


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
        activation: Activation,
    ) -> Tensor:
        terms = linear_terms(sites, weight, sums.site_ranges)
        messages = sums.messages(terms, scale, shift, activation)
        ctx.save_for_backward(sites, weight, scale)
        ctx.messages, ctx.site_ranges = messages, sums.site_ranges
        return messages.sum(keep=any(ctx.needs_input_grad))

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
        # The weight is scaled, not the sums, because it is smaller.
        scaled = (weight * scale[:, None]).to(weight.dtype)
        grad_sites, grad_weight = linear_map_gradients(
            grad_sums, sites, scaled, ctx.site_ranges
        )
        grad_weight *= scale[:, None]
        return grad_sites, grad_weight, grad_scale, grad_shift, None, None


class _NormalizedGatedSum(torch.autograd.Function):
    """Compute :func:`normalized_gated_sum` and its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        sites: Tensor,
        weight: Tensor,
        scale: Tensor,
        shift: Tensor,
        moments: EdgeMoments,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        z = moments.normalize(sites, weight, scale, shift, eps)
        messages = z.messages()
        ctx.z, ctx.messages = z, messages
        ctx.mark_non_differentiable(z.mean, z.var)
        return messages.sum(), z.mean, z.var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.z.backward(ctx.messages.sum_gradients(grad))
        return *gradients, None, None
