"""The gated convolution with a learned update of the sites."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from sklearn_cgcnn._ops import (
    Activation,
    UpdateParameters,
    UpdateSums,
    gated_sum,
    gated_update_layer,
    supports_update_layer,
)
from sklearn_cgcnn.nn._batch import CrystalGraphBatch
from sklearn_cgcnn.nn._conv import Conv, fused_activation, is_plain
from sklearn_cgcnn.nn._gated_conv import sum_gated_messages
from sklearn_cgcnn.nn._norm import BatchNorm


class GatedUpdateConv(Conv):
    r"""Convolution with gated messages, and a learned map that updates the sites.

    .. math::
        v_i' = v_i + g\Big(\big(v_i \oplus N(m_i)\big) W_u + b_u\Big), \qquad
        m_i = \sum_{j,k} \sigma(z_{(i,j)_k} W_f + b_f)
        \odot g(z_{(i,j)_k} W_s + b_s), \qquad
        z_{(i,j)_k} = v_i \oplus v_j \oplus u_{(i,j)_k}

    with :math:`\sigma` the sigmoid and :math:`g` the activation. The messages are those
    of Eq. 5 of the paper, without a norm over the edges. Their sum is normalized by N
    over the sites of the batch. A linear map and the activation then turn it into what
    is added to the site vector; in Eq. 5 the sum is added as it is.

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
    activation : callable, default=silu
        The function g.

    Notes
    -----
    Fused kernels compute the sum of the messages if the activation is softplus or SiLU,
    and if the entries of the edge features are constant. In training with batch
    normalization, compiled loops on a CPU compute the whole convolution, unless
    `update` or `site_norm` was replaced by a module of another type or has hooks.
    Otherwise it is computed as the equation is written. Tests check the fused kernels
    against it.

    Examples
    --------
    It is the default of the estimators:

    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=1, random_state=0).fit(structures, energy)
    >>> model.net_.module_.convs[0]
    GatedUpdateConv(
      (linear): Linear(in_features=192, out_features=128, bias=True)
      (site_norm): BatchNorm()
      (update): Linear(in_features=128, out_features=64, bias=True)
    )
    """

    def __init__(
        self,
        n_channels_in: int,
        n_channels: int,
        n_edge_features: int,
        norm: Callable[[int], nn.Module] | None = BatchNorm,
        activation: Callable[[Tensor], Tensor] = silu,
    ) -> None:
        super().__init__(n_channels_in, n_channels, n_edge_features, norm, activation)
        self.linear = nn.Linear(2 * n_channels + n_edge_features, 2 * n_channels)
        self.site_norm = None if norm is None else norm(n_channels)
        self.update = nn.Linear(2 * n_channels, n_channels)

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
        activation = fused_activation(self.activation)
        if activation is not None and batch.supports_fused_sums:
            norm, sums = self._plain_norm(batch), batch.edge_sums
            if norm is not None and supports_update_layer(sums, sites):
                return self._update_fused(sites, batch, norm, sums, activation)
            summed = self._sum_fused(sites, batch, activation)
        else:
            summed = self._sum_reference(sites, batch)
        if self.site_norm is not None:
            summed = self.site_norm(summed, batch.multiplicity)
        inputs = torch.cat([sites, summed], dim=1)  # (n_sites, 2 * n_channels)
        return sites + self.activation(self.update(inputs))

    @property
    def has_fused_sums(self) -> bool:
        """Whether fused kernels exist for its activation."""
        return fused_activation(self.activation) is not None

    def _plain_norm(self, batch: CrystalGraphBatch) -> BatchNorm | None:
        """Return the norm, if a fused layer can replace it and the update."""
        norm = self.site_norm
        if (
            is_plain(norm, BatchNorm)
            and is_plain(self.update, nn.Linear)
            and self.update.bias is not None
            and norm.uses_batch_statistics(batch.multiplicity)
        ):
            return norm
        return None

    def _update_fused(
        self,
        sites: Tensor,
        batch: CrystalGraphBatch,
        norm: BatchNorm,
        sums: UpdateSums,
        activation: Activation,
    ) -> Tensor:
        """Update sites and running statistics, with the statistics of the batch."""
        parameters = UpdateParameters(
            batch.edge_table,
            self.linear.weight,
            self.linear.bias,
            norm.weight,
            norm.bias,
            self.update.weight,
            self.update.bias,
            norm.eps,
        )
        updated, statistics = gated_update_layer(
            sites, batch.site_fractions, parameters, sums, activation
        )
        norm.update_statistics(*statistics, batch.multiplicity)
        return updated

    def _sum_reference(self, sites: Tensor, batch: CrystalGraphBatch) -> Tensor:
        """Sum the messages as the equation is written, for any activation."""
        return sum_gated_messages(sites, batch, self.linear, self.activation)

    def _sum_fused(
        self, sites: Tensor, batch: CrystalGraphBatch, activation: Activation
    ) -> Tensor:
        """Compute the same sum as `_sum_reference` with fused kernels."""
        shift = self.linear.bias
        weight = batch.weight_of_entries(self.linear.weight)
        scale = torch.ones_like(shift)
        return gated_sum(sites, weight, scale, shift, batch.edge_sums, activation)
