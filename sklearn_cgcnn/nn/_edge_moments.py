r"""Means and covariances over the edges of a batch, from sums over its sites.

What a convolution normalises, :math:`z_k = a_i + b_j + u_k W` for an edge k from site i
to site j, is a sum of three terms, of which two belong to sites. So its mean is a sum
of three means, and the covariance of z with each term one of sums over sites, in which
the edges appear with what all convolutions have in common. No tensor of the size of the
edges times the channels is needed.
"""

import torch
from torch import Tensor

from sklearn_cgcnn.nn._edges import Edges
from sklearn_cgcnn.nn._terms import split_terms
from sklearn_cgcnn.nn._threads import even_parts, share


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
        mean, self._covariance, *of_ends = edges.sum_features(self._share_of_edge)
        # Sums of p_k (u_k - mean), and of p_k, by centre and then by neighbour.
        by_site = torch.cat(of_ends)
        self._by_site = by_site[:, :-1].contiguous()
        self.shares = torch.cat([by_site[:, -1], mean])
        self.of_features = mean

    def centre(self, terms: Tensor) -> Tensor:
        """Subtract their means from the terms of the sites, in place.

        Parameters
        ----------
        terms : Tensor of shape (2 * n_sites + n_edge_features, width)

        Returns
        -------
        Tensor of shape (width,)
            The mean of z before.
        """
        n_sites = len(self._by_site) // 2
        means = [
            share_of_row @ rows
            for share_of_row, rows in zip(
                split_terms(self.shares, n_sites),
                split_terms(terms, n_sites),
                strict=True,
            )
        ]
        for rows, mean in zip(split_terms(terms, n_sites), means[:2], strict=False):
            rows -= mean
        total: Tensor = means[0] + means[1] + means[2]
        return total

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
        n_threads = len(self._edges.parts)

        def add_up(start: int, stop: int) -> Tensor:
            part = slice(start, stop)
            torch.mul(of_ends[part], self.shares[part, None], out=sums[part])
            sums[part].addmm_(self._by_site[part], of_features)
            return self._by_site[part].T @ of_ends[part]

        by_feature = share(add_up, even_parts(n_ends, n_threads))
        sums[n_ends:] = sum(by_feature, self._covariance @ of_features)
        n_sites = n_ends // 2
        a, b, _ = split_terms(terms, n_sites)
        by_centre, by_neighbour, _ = split_terms(sums, n_sites)
        self._edges.add_other_ends(self._share_of_edge, a, b, by_centre, by_neighbour)

        def multiply(start: int, stop: int) -> Tensor:
            return (terms[start:stop] * sums[start:stop]).sum(dim=0)

        var = torch.stack(share(multiply, even_parts(len(terms), n_threads))).sum(dim=0)
        return sums, var.clamp_(min=0)
