"""A whole layer with gated messages and a learned update, and its gradient."""

from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sklearn_cgcnn._ops._gated_layer import Statistics
from sklearn_cgcnn._ops._interface import (
    Activation,
    EdgeSums,
    UpdateParameters,
    UpdateSums,
)
from sklearn_cgcnn._ops._precision import autocast_dtype


def supports_update_layer(sums: EdgeSums, sites: Tensor) -> TypeGuard[UpdateSums]:
    """Return whether :func:`gated_update_layer` can be used.

    Parameters
    ----------
    sums : EdgeSums
        The edges of the batch.
    sites : Tensor of shape (n_sites, n_channels)

    Returns
    -------
    bool
        False if the back end has no such layers, or if autocast rounds products.
    """
    return sums.has_update_layers and autocast_dtype(sites) is None


def gated_update_layer(
    sites: Tensor,
    site_fractions: Tensor,
    parameters: UpdateParameters,
    sums: UpdateSums,
    activation: Activation,
) -> tuple[Tensor, Statistics]:
    r"""Compute a convolution with gated messages and a learned update.

    .. math:: v_i' = v_i + g\Big(\big(v_i \oplus N(m_i)\big) W_u + b_u\Big)

    with :math:`m_i` the sum of :func:`gated_sum`, N a normalization over the sites of
    the batch, and :math:`g` the activation.

    Parameters
    ----------
    sites : Tensor of shape (n_sites, n_channels)
        The site vectors v.
    site_fractions : Tensor of shape (n_sites,)
        Weight of each site in the statistics. They sum to one.
    parameters : UpdateParameters
        What the layer learns.
    sums : UpdateSums
        The edges of the batch. Their entries get no gradient.
    activation : {"softplus", "silu"}

    Returns
    -------
    updated : Tensor of shape (n_sites, n_channels)
    site_statistics : Statistics
        Of the sums over the sites.
    """
    updated, mean, var = _UpdateLayer.apply(  # type: ignore[no-untyped-call]
        sites, *parameters, site_fractions, sums, activation
    )
    return updated, Statistics(mean, var)


class _UpdateLayer(torch.autograd.Function):
    """Compute :func:`gated_update_layer` and its gradient."""

    @staticmethod
    def forward(ctx: Any, sites: Tensor, *args: Any) -> tuple[Tensor, ...]:
        *parameters, site_fractions, sums, activation = args
        ctx.layer = sums.update_layer(
            sites, site_fractions, UpdateParameters(*parameters), activation
        )
        # The layer holds their memory. Autograd sees if it is changed before backward.
        tensors = [sites, *parameters]
        ctx.save_for_backward(*(each for each in tensors if isinstance(each, Tensor)))
        updated, *statistics = ctx.layer.outputs()
        ctx.mark_non_differentiable(*statistics)
        return updated, *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises an error if they were changed
        # Not for eps, site fractions, edges and activation.
        return *ctx.layer.backward(grad), None, None, None, None
