r"""Means and covariances over the edges of a batch, from sums over its sites.

What a convolution normalises, :math:`z_k = a_i + b_j + u_k W` for an edge k from site i
to site j, is a sum of three terms, of which two belong to sites. So its mean is a sum
of three means, and the covariance of z with each term one of sums over sites, in which
the edges appear with what all convolutions have in common. No tensor of the size of the
edges times the channels is needed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sklearn_cgcnn.nn._edge_blocks import EdgeBlock


class EdgeMoments:
    r"""What the edges of a batch contribute to means and covariances.

    The terms are given one below the other, :math:`t = a \oplus b \oplus W`.

    Parameters
    ----------
    blocks : sequence of EdgeBlock
    counts : Tensor of shape (n_edges,)
        How often each edge counts.
    edge_features : Tensor of shape (n_edges, n_edge_features)
        The features u.
    n_sites : int

    Attributes
    ----------
    shares : Tensor of shape (2 * n_sites + n_edge_features,)
        With the share :math:`p_k` of edge k in all counts: the sums of :math:`p_k` over
        the edges from each site, and to each site, and the means of the features.
    of_features : Tensor of shape (n_edge_features,)
        These means.
    """

    def __init__(
        self,
        blocks: Sequence[EdgeBlock],
        counts: Tensor,
        edge_features: Tensor,
        n_sites: int,
    ) -> None:
        width = edge_features.shape[1]
        self._parts = [n_sites, n_sites, width]
        self._blocks = blocks
        self._share = counts / counts.sum()
        self.shares = counts.new_zeros(sum(self._parts))
        from_site, to_site, mean = self.shares.split(self._parts)
        self.of_features = mean
        torch.mv(edge_features.T, self._share, out=mean)
        # Sums of p_k (u_k - mean), and of p_k, by centre and by neighbour.
        by_centre, by_neighbour = counts.new_zeros(2, n_sites, width + 1)
        self._covariance = counts.new_zeros(width, width)
        for block in blocks:
            share = self._share[block.edges]
            rows = counts.new_ones(len(block), width + 1)
            centred = torch.sub(edge_features[block.edges], mean, out=rows[:, :-1])
            block.add_to_centres(by_centre, rows, factors=share)
            block.add_to_neighbours(by_neighbour, rows, factors=share)
            self._covariance.addmm_(centred.T, centred * share[:, None])
        from_site.copy_(by_centre[:, -1])
        to_site.copy_(by_neighbour[:, -1])
        self._by_centre, self._by_neighbour = by_centre[:, :-1], by_neighbour[:, :-1]

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
        from_site, to_site, of_features = self.shares.split(self._parts)
        a, b, of_edge = terms.split(self._parts)
        mean_a, mean_b = from_site @ a, to_site @ b
        a -= mean_a
        b -= mean_b
        mean: Tensor = mean_a + mean_b + of_features @ of_edge
        return mean

    def covariances(self, terms: Tensor) -> Tensor:
        r"""Sum what each site, and each feature, has to do with z.

        The variance of z is the sum of these times the terms.

        Parameters
        ----------
        terms : Tensor of shape (2 * n_sites + n_edge_features, width)
            Those of the sites of mean zero.

        Returns
        -------
        Tensor of shape (2 * n_sites + n_edge_features, width)
            The sums of :math:`p_k (z_k - \bar z)` over the edges from each site, and to
            each site, and of :math:`p_k u_k (z_k - \bar z)` over all edges.
        """
        a, b, of_features = terms.split(self._parts)
        sums = terms * self.shares[:, None]
        by_centre, by_neighbour, by_feature = sums.split(self._parts)
        by_centre.addmm_(self._by_centre, of_features)
        by_neighbour.addmm_(self._by_neighbour, of_features)
        for block in self._blocks:
            share = self._share[block.edges]
            block.add_to_centres(by_centre, b, block.neighbour, share)
            block.add_to_neighbours(by_neighbour, a, block.centre, share)
        torch.mm(self._covariance, of_features, out=by_feature)
        by_feature.addmm_(self._by_centre.T, a).addmm_(self._by_neighbour.T, b)
        return sums
