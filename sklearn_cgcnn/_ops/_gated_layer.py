"""A whole gated layer, and its gradient."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sklearn_cgcnn._ops._interface import EdgeMoments, LayerParameters
from sklearn_cgcnn._ops._precision import apply_rounded


class Statistics(NamedTuple):
    """Mean and variance of the quantity that a norm acts on.

    Attributes
    ----------
    mean, var : Tensor of shape (width,)
        The variance is without Bessel's correction. They have no gradient.
    """

    mean: Tensor
    var: Tensor


def gated_layer(
    sites: Tensor,
    weight: Tensor,
    edge_scale: Tensor,
    edge_shift: Tensor,
    site_scale: Tensor,
    site_shift: Tensor,
    moments: EdgeMoments,
    site_fractions: Tensor,
    eps: float,
) -> tuple[Tensor, Statistics, Statistics]:
    r"""Compute a gated convolution with batch normalization and softplus.

    .. math:: v_i' = g\Big(v_i + N\big(\sum_{j,k} \sigma(y_f) \odot g(y_s)\big)\Big)

    with :math:`g` the softplus, N a normalization over the sites of the batch, and y
    normalized over its edges as in :func:`normalized_gated_sum`.

    Parameters
    ----------
    sites : Tensor of shape (n_sites, n_channels)
        The site vectors v.
    weight : Tensor of shape (2 * n_channels, 2 * n_channels + n_features)
        As for :func:`gated_sum`.
    edge_scale, edge_shift : Tensor of shape (2 * n_channels,)
        Applied after the normalization over the edges.
    site_scale, site_shift : Tensor of shape (n_channels,)
        Applied after the normalization over the sites.
    moments : EdgeMoments
        The edges of the batch. Their features get no gradient.
    site_fractions : Tensor of shape (n_sites,)
        Weight of each site in the statistics. They sum to one.
    eps : float
        Added to the variances.

    Returns
    -------
    updated : Tensor of shape (n_sites, n_channels)
    edge_statistics, site_statistics : Statistics
        Of the linear map over the edges, and of the sums over the sites.
    """
    updated, edge_mean, edge_var, site_mean, site_var = apply_rounded(
        _GatedLayer,
        sites,
        weight,
        edge_scale,
        edge_shift,
        site_scale,
        site_shift,
        moments,
        site_fractions,
        eps,
    )
    return updated, Statistics(edge_mean, edge_var), Statistics(site_mean, site_var)


class _GatedLayer(torch.autograd.Function):
    """Compute :func:`gated_layer` and its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        sites: Tensor,
        weight: Tensor,
        edge_scale: Tensor,
        edge_shift: Tensor,
        site_scale: Tensor,
        site_shift: Tensor,
        moments: EdgeMoments,
        site_fractions: Tensor,
        eps: float,
    ) -> tuple[Tensor, ...]:
        parameters = LayerParameters(
            weight, edge_scale, edge_shift, site_scale, site_shift, eps
        )
        ctx.layer = moments.layer(sites, site_fractions, parameters)
        # The layer holds their memory. Autograd sees if it is changed before backward.
        ctx.save_for_backward(sites, *parameters[:-1])
        updated, *statistics = ctx.layer.outputs()
        ctx.mark_non_differentiable(*statistics)
        return updated, *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises an error if they were changed
        return *ctx.layer.backward(grad), None, None, None
