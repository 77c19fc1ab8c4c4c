"""The gated convolution: Eq. 5 of the paper."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from sklearn_cgcnn._ops import gated_layer, gated_sum, normalized_gated_sum
from sklearn_cgcnn.nn._batch import CrystalGraphBatch
from sklearn_cgcnn.nn._conv import Conv, needs_bias
from sklearn_cgcnn.nn._norm import BatchNorm


class GatedConv(Conv):
    r"""Convolution with a gate on every edge (paper, Eq. 5).

    Without a norm, as printed in the paper:

    .. math::
        v_i' = v_i + \sum_{j,k} \sigma(z_{(i,j)_k} W_f + b_f)
        \odot g(z_{(i,j)_k} W_s + b_s), \qquad
        z_{(i,j)_k} = v_i \oplus v_j \oplus u_{(i,j)_k}

    with :math:`\sigma` the sigmoid and :math:`g` the activation. With a norm N, as in
    the authors' program:

    .. math::
        v_i' = g\Big(v_i + N\big(\sum_{j,k} \sigma(N(z_{(i,j)_k} W_f))
        \odot g(N(z_{(i,j)_k} W_s))\big)\Big)

    The inner norm acts on :math:`z W_f \oplus z W_s` over the edges of the batch, the
    outer norm on the sum over its sites.

    Parameters
    ----------
    n_channels_in : int
        Width of the site vectors v.
    n_channels : int
        The same width, as the convolution is residual.
    n_edge_features : int
        Number of edge features u.
    norm : callable or None, default=BatchNorm
        Returns a norm for a given width. None uses no normalization.
    activation : callable, default=softplus
        The function g.

    Notes
    -----
    The linear map of z is split in three. The maps of v_i and v_j are computed once per
    site and then gathered by the edges; only the map of u is computed per edge. Fused
    kernels compute the sum over the edges if the activation is softplus, with batch
    normalization or without a norm, and if the entries of the edge features are
    constant. Otherwise it is computed as the equation is written. Tests check the fused
    kernels against it.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(conv="gated", activation="softplus", max_epochs=1)
    >>> model.fit(structures, energy).net_.module_.convs[0]
    GatedConv(
      (linear): Linear(in_features=192, out_features=128, bias=False)
      (edge_norm): BatchNorm()
      (site_norm): BatchNorm()
    )
    """

    def __init__(
        self,
        n_channels_in: int,
        n_channels: int,
        n_edge_features: int,
        norm: Callable[[int], nn.Module] | None = BatchNorm,
        activation: Callable[[Tensor], Tensor] = softplus,
    ) -> None:
        super().__init__(n_channels_in, n_channels, n_edge_features, norm, activation)
        width_in = 2 * n_channels + n_edge_features  # v_i, v_j, u
        self.linear = nn.Linear(width_in, 2 * n_channels, bias=needs_bias(norm))
        self.edge_norm = None if norm is None else norm(2 * n_channels)
        self.site_norm = None if norm is None else norm(n_channels)

    def forward(self, sites: Tensor, batch: CrystalGraphBatch) -> Tensor:
        """Update the site vectors once, and in training the running statistics.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels)
            Site vectors.
        batch : CrystalGraphBatch
            The crystals, with edge features.

        Returns
        -------
        Tensor of shape (n_sites, n_channels)
        """
        fused = self.has_fused_sums and batch.supports_fused_sums
        norms = self._batch_norms(batch) if fused else None
        if norms is not None:
            return self._update_fused(sites, batch, *norms)
        sum_messages = self._sum_fused if fused else self._sum_reference
        summed = sum_messages(sites, batch)
        if self.site_norm is None:
            return sites + summed
        return self.activation(sites + self.site_norm(summed, batch.multiplicity))

    @property
    def has_fused_sums(self) -> bool:
        """Whether fused kernels exist for its norm and activation."""
        norm = self.edge_norm
        return (
            self.activation is softplus
            and (norm is None or type(norm) is BatchNorm)
            and (norm is None) == (self.linear.bias is not None)
        )

    def _update_fused(
        self,
        sites: Tensor,
        batch: CrystalGraphBatch,
        edge_norm: BatchNorm,
        site_norm: BatchNorm,
    ) -> Tensor:
        """Update sites and running statistics, with the statistics of the batch."""
        updated, edge_statistics, site_statistics = gated_layer(
            sites,
            batch.weight_of_entries(self.linear.weight),
            edge_norm.weight,
            edge_norm.bias,
            site_norm.weight,
            site_norm.bias,
            batch.edge_moments,
            batch.site_fractions,
            edge_norm.eps,
        )
        edge_norm.update_statistics(*edge_statistics, batch.edge_counts)
        site_norm.update_statistics(*site_statistics, batch.multiplicity)
        return updated

    def _batch_norms(
        self, batch: CrystalGraphBatch
    ) -> tuple[BatchNorm, BatchNorm] | None:
        """Return both norms, if both use the statistics of the batch."""
        edge, site = self.edge_norm, self.site_norm
        if (  # a subclass may normalize in another way
            type(edge) is BatchNorm
            and type(site) is BatchNorm
            and edge.eps == site.eps
            and edge.uses_batch_statistics(batch.edge_counts)
            and site.uses_batch_statistics(batch.multiplicity)
        ):
            return edge, site
        return None

    def _sum_reference(self, sites: Tensor, batch: CrystalGraphBatch) -> Tensor:
        """Sum the messages as the equation is written, for any norm and activation."""
        norm = self.edge_norm
        return sum_gated_messages(sites, batch, self.linear, self.activation, norm)

    def _sum_fused(self, sites: Tensor, batch: CrystalGraphBatch) -> Tensor:
        """Compute the same sum as `_sum_reference` with fused kernels."""
        norm, sums = self.edge_norm, batch.edge_sums
        weight = batch.weight_of_entries(self.linear.weight)
        if norm is None:
            bias = self.linear.bias
            return gated_sum(sites, weight, torch.ones_like(bias), bias, sums)
        assert isinstance(norm, BatchNorm)
        counts = batch.edge_counts
        if not norm.uses_batch_statistics(counts):
            return gated_sum(sites, weight, *norm.scale_and_shift(), sums)
        summed, mean, var = normalized_gated_sum(
            sites, weight, norm.weight, norm.bias, batch.edge_moments, norm.eps
        )
        norm.update_statistics(mean, var, counts)
        return summed


def sum_gated_messages(
    sites: Tensor,
    batch: CrystalGraphBatch,
    linear_map: nn.Linear,
    activation: Callable[[Tensor], Tensor],
    norm: nn.Module | None = None,
) -> Tensor:
    """Sum gated messages as Eq. 5 is written, for any norm and activation.

    Parameters
    ----------
    sites : Tensor of shape (n_sites, n_channels)
        Site vectors.
    batch : CrystalGraphBatch
        The crystals, with edge features.
    linear_map : Linear
        The map of the vectors of center, neighbor and edge, in this order.
    activation : callable
        The function g.
    norm : Module or None, default=None
        Applied to the results of the map, over the edges of the batch.

    Returns
    -------
    Tensor of shape (n_sites, n_channels)
    """
    center, neighbor = batch.edge_index
    n_channels = sites.shape[1]
    widths = n_channels, n_channels, batch.n_edge_features
    w_center, w_neighbor, w_edge = linear_map.weight.split(widths, dim=1)
    z = (
        linear(sites, w_center, linear_map.bias).index_select(0, center)
        + linear(sites, w_neighbor).index_select(0, neighbor)
        + linear(batch.edge_features, w_edge)
    )  # (n_edges, 2 * n_channels)
    if norm is not None:
        z = norm(z, batch.edge_counts)
    gate, core = z.chunk(2, dim=1)
    messages = torch.sigmoid(gate) * activation(core)  # (n_edges, n_channels)
    weighted = messages * batch.edge_weights[:, None]
    return torch.zeros_like(sites).index_add(0, center, weighted)
