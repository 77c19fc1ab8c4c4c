r"""Means and covariances over the edges of a batch, from sums over its sites.

A convolution normalizes :math:`z_k = a_i + b_j + u_k W`, for an edge k from site i to
site j. Two of these three terms belong to sites. So the mean of z is a sum of three
means, and its covariance with the coefficient of each term is a sum over sites. The
edges enter only through sums that are the same for all convolutions, which are computed
once per batch. No tensor of shape (n_edges, n_channels) is needed.
"""

import torch
from torch import Tensor

from sklearn_cgcnn._ops._interface import EdgeSums
from sklearn_cgcnn._ops._linear_terms import linear_terms
from sklearn_cgcnn._ops._precision import without_autocast
from sklearn_cgcnn._ops._threads import split_evenly, sum_over_ranges


class EdgeMoments:
    r"""Means and covariances of linear maps over the edges of a batch.

    Every edge k has a weight :math:`p_k` in the statistics: the fraction of all edges
    of the crystals that it stands for. The terms t and their coefficients x are defined
    in :mod:`sklearn_cgcnn._ops._interface`.

    Parameters
    ----------
    sums : EdgeSums
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

    def __init__(self, sums: EdgeSums, multiplicity: Tensor) -> None:
        edges, self._sums = sums.edges, sums
        # Autocast would round the features, and with them the statistics.
        with torch.no_grad(), without_autocast(edges.values):
            multiplicity = multiplicity.to(edges.weights.dtype)
            counts = edges.weights * multiplicity.index_select(0, edges.edge_index[0])
            self._fractions = counts / counts.sum()
            self.feature_means, self._covariance, self._by_site, site_fractions = (
                sums.feature_moments(self._fractions)
            )
            self.mean_coefficients = torch.cat([site_fractions, self.feature_means])

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
        site_fractions = self.mean_coefficients[: len(self._by_site)]
        center_mean, neighbor_mean = site_fractions.view(2, -1) @ sites
        inputs_mean = torch.cat([center_mean, neighbor_mean, self.feature_means])
        mean = weight.to(inputs_mean.dtype) @ inputs_mean
        means = center_mean, neighbor_mean
        return linear_terms(sites, weight, self._sums.site_ranges, means), mean

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

        ranges = split_evenly(n_rows, len(self._sums.site_ranges))
        from_sites = sum_over_ranges(multiply, ranges)
        torch.addmm(from_sites, self._covariance, feature_terms, out=feature_rows)
        var = self._sums.add_endpoint_terms(
            self._fractions, self.mean_coefficients[:n_rows], site_terms, site_rows
        )
        var += (feature_terms * feature_rows).sum(dim=0)
        # Rounding may leave a variance of zero slightly negative.
        return covariances, var.clamp_(min=0)

    def project_gradients(
        self, sums: Tensor, terms: Tensor, covariances: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Project gradients, in place, through the normalization of z.

        See :meth:`EdgeSums.project_gradients` for the formula.

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
        grad_scale = self._sums.project_gradients(
            sums, terms, self.mean_coefficients, grad_shift, covariances, inverse_std
        )
        return grad_scale, grad_shift
