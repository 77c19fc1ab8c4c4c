r"""Means and covariances over the edges of a batch, from sums over its sites.

What a convolution normalizes, :math:`z_k = a_i + b_j + u_k W` for an edge k from site i
to site j, is a sum of three terms, of which two belong to sites. So its mean is a sum
of three means, and the covariance of z with each term one of sums over sites, in which
the edges appear with what all convolutions have in common. No tensor of the size of the
edges times the channels is needed.
"""

import torch
from torch import Tensor

from sklearn_cgcnn._ops._interface import Edges
from sklearn_cgcnn._ops._linear_terms import terms_of
from sklearn_cgcnn._ops._threads import even_parts, sum_parts


class EdgeMoments:
    r"""What the edges of a batch contribute to means and covariances.

    The terms are given one below the other, :math:`t = a \oplus b \oplus W`.

    Parameters
    ----------
    edges : Edges
    counts : Tensor of shape (n_edges,)
        How often each edge counts.

    Attributes
    ----------
    shares : Tensor of shape (2 * n_sites + n_edge_features,)
        With the share :math:`p_k` of edge k in all counts: the sums of :math:`p_k` over
        the edges from each site, and to each site, and the means of the features.
    of_features : Tensor of shape (n_edge_features,)
        These means.
    """

    def __init__(self, edges: Edges, counts: Tensor) -> None:
        self._edges, self._share_of_edge = edges, counts / counts.sum()
        # Of the features, sums of p_k (u_k - mean) by site.
        self.of_features, self._covariance, self._by_site, share_of_site = (
            edges.sum_features(self._share_of_edge)
        )
        self.shares = torch.cat([share_of_site, self.of_features])

    def centred_terms(self, sites: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the terms of a linear map, those of the sites of mean zero.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels)
        weight : Tensor of shape (width, 2 * n_channels + n_edge_features)

        Returns
        -------
        terms : Tensor of shape (2 * n_sites + n_edge_features, width)
        mean : Tensor of shape (width,)
            The mean of z.
        """
        share_of_site = self.shares[: len(self._by_site)]
        as_center, as_neighbor = share_of_site.view(2, -1) @ sites
        features = torch.cat([as_center, as_neighbor, self.of_features])
        mean = weight.to(features.dtype) @ features
        means = as_center, as_neighbor
        return terms_of(sites, weight, self._edges.parts, means), mean

    def covariances(self, terms: Tensor) -> tuple[Tensor, Tensor]:
        r"""Sum what each site, and each feature, has to do with z.

        Parameters
        ----------
        terms : Tensor of shape (2 * n_sites + n_edge_features, width)
            Those of the sites of mean zero.

        Returns
        -------
        covariances : Tensor of shape (2 * n_sites + n_edge_features, width)
            The sums of :math:`p_k (z_k - \bar z)` over the edges from each site, and to
            each site, and of :math:`p_k u_k (z_k - \bar z)` over all edges.
        var : Tensor of shape (width,)
            The sum of these times the terms.
        """
        n_ends = len(self._by_site)
        of_ends, of_features = terms[:n_ends], terms[n_ends:]
        sums = torch.empty_like(terms)
        by_end, by_feature = sums[:n_ends], sums[n_ends:]

        def multiply(start: int, stop: int) -> Tensor:
            rows = slice(start, stop)
            torch.mm(self._by_site[rows], of_features, out=by_end[rows])
            return self._by_site[rows].T @ of_ends[rows]

        parts = even_parts(n_ends, len(self._edges.parts))
        of_rest = sum_parts(multiply, parts)
        torch.addmm(of_rest, self._covariance, of_features, out=by_feature)
        var = self._edges.add_ends(
            self._share_of_edge, self.shares[:n_ends], of_ends, by_end
        )
        var += (of_features * by_feature).sum(dim=0)
        return sums, var.clamp_(min=0)

    def take_out(
        self, sums: Tensor, terms: Tensor, covariances: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Take out of gradients what a normalization does not let through, in place.

        Parameters
        ----------
        sums : Tensor of shape (2 * n_sites + n_edge_features, width)
            Sums of the gradients of the edges of which each term is a part.
        terms : Tensor of shape (2 * n_sites + n_edge_features, width)
            Those of the sites of mean zero.
        covariances : Tensor of shape (2 * n_sites + n_edge_features, width)
        inverse_std : Tensor of shape (width,)

        Returns
        -------
        to_scale, to_shift : Tensor of shape (width,)
            The gradients of what follows the normalization.
        """
        to_shift = sums[: len(self._by_site) // 2].sum(dim=0)
        to_scale = self._edges.take_out(
            sums, terms, self.shares, to_shift, covariances, inverse_std
        )
        return to_scale, to_shift
