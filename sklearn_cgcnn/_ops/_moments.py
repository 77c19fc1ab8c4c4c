r"""Means and covariances over the edges of a batch, from sums over its sites.

A convolution normalizes :math:`z_k = a_i + b_j + u_k W`, for an edge k from site i to
site j. Two of these three terms belong to sites. So the mean of z is a sum of three
means, and its covariance with the coefficient of each term is a sum over sites. The
edges enter only through sums that are the same for all convolutions, which are computed
once per batch. No tensor of shape (n_edges, n_channels) is needed.
"""

from typing import Protocol

import torch
from torch import Tensor

from sklearn_cgcnn._ops._interface import (
    EdgeSums,
    GatedLayer,
    GatedMessages,
    LayerParameters,
)
from sklearn_cgcnn._ops._linear_terms import linear_map_gradients, linear_terms
from sklearn_cgcnn._ops._precision import without_autocast
from sklearn_cgcnn._ops._threads import split_evenly, sum_over_ranges
from sklearn_cgcnn._ops._torch_layer import TorchLayer


class MomentSums(EdgeSums, Protocol):
    """Sums over the edges of one batch that means and covariances need."""

    def feature_moments(
        self, fractions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute weighted moments of the edge features.

        Parameters
        ----------
        fractions : Tensor of shape (n_edges,)
            Weight of each edge in mean and covariance, in the order of `edges`. The
            weights sum to one.

        Returns
        -------
        mean : Tensor of shape (n_features,)
            Weighted mean of the features.
        covariance : Tensor of shape (n_features, n_features)
            Weighted covariance matrix of the features, without Bessel's correction.
        by_site : Tensor of shape (2 * n_sites, n_features)
            Sums of fraction times (features - mean). The first n_sites rows are sums
            over the edges from each site, the others over the edges to each site.
        site_coefficients : Tensor of shape (2 * n_sites,)
            Sums of the fractions over the same edges.
        """

    def add_endpoint_terms(
        self, fractions: Tensor, site_coefficients: Tensor, terms: Tensor, sums: Tensor
    ) -> Tensor:
        r"""Add, in place, the terms of both sites of each edge to the sums of both.

        To the sum of each site as a center, and as a neighbor, this adds
        :math:`\sum_k p_k (a_i + b_j)` over its edges.

        Parameters
        ----------
        fractions : Tensor of shape (n_edges,)
            Weight :math:`p_k` of each edge in the statistics.
        site_coefficients : Tensor of shape (2 * n_sites,)
            As returned by `feature_moments`.
        terms : Tensor of shape (2 * n_sites, width)
            The terms :math:`a \oplus b` of the sites.
        sums : Tensor of shape (2 * n_sites, width)
            Changed in place.

        Returns
        -------
        Tensor of shape (width,)
            The products of `terms` and the new `sums`, summed over the rows.
        """

    def project_gradients(
        self,
        sums: Tensor,
        terms: Tensor,
        mean_coefficients: Tensor,
        grad_shift: Tensor,
        covariances: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        r"""Project gradients, in place, through a normalization.

        :meth:`NormalizedTerms.backward` gives the formula. The last factor there, that
        of the scale, is left out.

        Parameters
        ----------
        sums : Tensor of shape (n_rows, width)
            The sums of gradients G. Changed in place.
        terms : Tensor of shape (n_rows, width)
            The terms t, those of the sites with mean zero.
        mean_coefficients : Tensor of shape (n_rows,)
            The means P of the coefficients x.
        grad_shift : Tensor of shape (width,)
            The gradient :math:`\partial\beta` of the shift.
        covariances : Tensor of shape (n_rows, width)
            The covariances C of z with the coefficients x.
        inverse_std : Tensor of shape (width,)
            :math:`1 / \sigma`.

        Returns
        -------
        Tensor of shape (width,)
            The gradient :math:`\partial\gamma` of the scale.
        """


class MomentsBySite:
    r"""Implement :class:`EdgeMoments` with sums over sites.

    Every edge k has a weight :math:`p_k` in the statistics: the fraction of all edges
    of the crystals that it stands for. The terms t and their coefficients x are defined
    in :mod:`sklearn_cgcnn._ops._interface`.

    Parameters
    ----------
    sums : MomentSums
    multiplicity : Tensor of shape (n_sites,)
        Number of equivalent sites of its crystal that each site stands for.

    Attributes
    ----------
    mean_coefficients : Tensor of shape (2 * n_sites + n_features,)
        :math:`P_r = \sum_k p_k x_{kr}`. These are the sums of :math:`p_k` over the
        edges from each site and over the edges to each site, and the means of the edge
        features.
    feature_means : Tensor of shape (n_features,)
        The means of the edge features.
    """

    def __init__(self, sums: MomentSums, multiplicity: Tensor) -> None:
        edges, self.sums = sums.edges, sums
        # Autocast would round the features, and with them the statistics.
        with torch.no_grad(), without_autocast(edges.values):
            multiplicity = multiplicity.to(edges.weights.dtype)
            counts = edges.weights * multiplicity.index_select(0, edges.edge_index[0])
            self._fractions = counts / counts.sum()
            self.feature_means, self._covariance, self._by_site, site_coefficients = (
                sums.feature_moments(self._fractions)
            )
            self.mean_coefficients = torch.cat([site_coefficients, self.feature_means])

    def normalize(
        self, sites: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, eps: float
    ) -> "_TermsBySite":
        """Implement :meth:`EdgeMoments.normalize`."""
        return _TermsBySite(self, sites, weight, scale, shift, eps)

    def layer(
        self, sites: Tensor, site_fractions: Tensor, parameters: LayerParameters
    ) -> GatedLayer:
        """Implement :meth:`EdgeMoments.layer`."""
        return TorchLayer(self, sites, site_fractions, parameters)

    def centered_terms(self, sites: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the terms of a linear map, those of the sites with mean zero.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels)
        weight : Tensor of shape (width, 2 * n_channels + n_features)

        Returns
        -------
        terms : Tensor of shape (2 * n_sites + n_features, width)
        mean : Tensor of shape (width,)
            The mean of z, before the means of the sites are subtracted.
        """
        site_coefficients = self.mean_coefficients[: len(self._by_site)]
        center_mean, neighbor_mean = site_coefficients.view(2, -1) @ sites
        inputs_mean = torch.cat([center_mean, neighbor_mean, self.feature_means])
        mean = weight.to(inputs_mean.dtype) @ inputs_mean
        means = center_mean, neighbor_mean
        return linear_terms(sites, weight, self.sums.site_ranges, means), mean

    def covariances(self, terms: Tensor) -> tuple[Tensor, Tensor]:
        r"""Compute the covariances of z with the coefficients of its terms.

        Parameters
        ----------
        terms : Tensor of shape (2 * n_sites + n_features, width)
            The terms t, those of the sites with mean zero.

        Returns
        -------
        covariances : Tensor of shape (2 * n_sites + n_features, width)
            :math:`C_r = \sum_k p_k x_{kr} (z_k - \bar z)`.
        var : Tensor of shape (width,)
            The variance of z, without Bessel's correction: :math:`\sum_r t_r C_r`.
        """
        n_rows = len(self._by_site)
        site_terms, feature_terms = terms[:n_rows], terms[n_rows:]
        covariances = torch.empty_like(terms)
        site_rows, feature_rows = covariances[:n_rows], covariances[n_rows:]

        def multiply(start: int, stop: int) -> Tensor:
            rows = slice(start, stop)
            torch.mm(self._by_site[rows], feature_terms, out=site_rows[rows])
            return self._by_site[rows].T @ site_terms[rows]

        ranges = split_evenly(n_rows, len(self.sums.site_ranges))
        from_sites = sum_over_ranges(multiply, ranges)
        torch.addmm(from_sites, self._covariance, feature_terms, out=feature_rows)
        var = self.sums.add_endpoint_terms(
            self._fractions, self.mean_coefficients[:n_rows], site_terms, site_rows
        )
        var += (feature_terms * feature_rows).sum(dim=0)
        # Rounding may leave a variance of zero slightly negative.
        return covariances, var.clamp_(min=0)

    def project_gradients(
        self, sums: Tensor, terms: Tensor, covariances: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Project gradients, in place, through the normalization of z.

        See :meth:`NormalizedTerms.backward` for the formula.

        Parameters
        ----------
        sums : Tensor of shape (2 * n_sites + n_features, width)
            The gradients of y, summed over the edges that each term contributes to.
            Changed in place.
        terms : Tensor of shape (2 * n_sites + n_features, width)
            Those of the sites with mean zero.
        covariances : Tensor of shape (2 * n_sites + n_features, width)
            As returned by `covariances`.
        inverse_std : Tensor of shape (width,)
            One over the standard deviation of z.

        Returns
        -------
        grad_scale, grad_shift : Tensor of shape (width,)
            The gradients of the scale and the shift that follow the normalization.
        """
        grad_shift = sums[: len(self._by_site) // 2].sum(dim=0)
        grad_scale = self.sums.project_gradients(
            sums, terms, self.mean_coefficients, grad_shift, covariances, inverse_std
        )
        return grad_scale, grad_shift


class _TermsBySite:
    """Implement :class:`NormalizedTerms`."""

    def __init__(
        self,
        moments: MomentsBySite,
        sites: Tensor,
        weight: Tensor,
        scale: Tensor,
        shift: Tensor,
        eps: float,
    ) -> None:
        self._moments, self._sites, self._weight = moments, sites, weight
        self._terms, self.mean = moments.centered_terms(sites, weight)
        self._covariances, self.var = moments.covariances(self._terms)
        self._inverse_std = (self.var + eps).rsqrt()
        self._scale = scale * self._inverse_std
        # The terms of the sites have mean zero, those of the edge features do not.
        mean_from_features = moments.feature_means @ self._terms[2 * len(sites) :]
        self._shift = shift - self._scale * mean_from_features

    def messages(self) -> GatedMessages:
        """Implement :meth:`NormalizedTerms.messages`."""
        return self._moments.sums.messages(self._terms, self._scale, self._shift)

    def backward(self, grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Implement :meth:`NormalizedTerms.backward`."""
        grad_scale, grad_shift = self._moments.project_gradients(
            grads, self._terms, self._covariances, self._inverse_std
        )
        # The weight is scaled, not the sums, because it is smaller.
        scaled = (self._weight * self._scale[:, None]).to(self._weight.dtype)
        grad_sites, grad_weight = linear_map_gradients(
            grads, self._sites, scaled, self._moments.sums.site_ranges
        )
        return grad_sites, grad_weight * self._scale[:, None], grad_scale, grad_shift
