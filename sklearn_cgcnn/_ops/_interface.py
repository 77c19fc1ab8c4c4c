r"""What every back end computes: sums over the edges of one batch.

A gated convolution applies a linear map to :math:`v_i \oplus v_j \oplus u_k`, for every
edge k from a center i to a neighbor j. The result is a sum of *terms* t, rows that are
computed once per site or once per edge feature:

.. math:: z_k = a_i + b_j + u_k W = \sum_r x_{kr} t_r, \qquad t = a \oplus b \oplus W

Row i of t is what site i contributes as a center, row ``n_sites + j`` what site j
contributes as a neighbor, and the last ``n_features`` rows are what the edge features
contribute. The *coefficients* :math:`x_{kr}` of edge k are 1 for its center, 1 for its
neighbor and :math:`u_k` for the edge features; all others are 0.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from sklearn_cgcnn._ops._edge_list import EdgeList


class GatedMessages(Protocol):
    r"""The messages :math:`\sigma(y_f) \odot g(y_s)` of all edges, with g the softplus.

    :math:`y_f \oplus y_s = \alpha \odot z + \beta` is computed from the terms of z, a
    scale :math:`\alpha` and a shift :math:`\beta`.
    """

    def sum(self) -> Tensor:
        """Sum the weighted messages to each site.

        Returns
        -------
        Tensor of shape (n_sites, n_channels)
        """

    def sum_gradients(self, grad: Tensor) -> Tensor:
        r"""Sum the gradients of y over the edges that each term contributes to.

        Parameters
        ----------
        grad : Tensor of shape (n_sites, n_channels)
            Gradient of the sums of the messages.

        Returns
        -------
        Tensor of shape (2 * n_sites + n_features, 2 * n_channels)
            :math:`G_r = \sum_k x_{kr} \partial y_k`.
        """


class EdgeSums(Protocol):
    """Sums over the edges of one batch, as one back end computes them."""

    @property
    def edges(self) -> EdgeList:
        """Return the edges, in the order that the back end uses."""

    @property
    def site_ranges(self) -> Sequence[tuple[int, int]]:
        """Return ranges of sites (start, stop), one for each thread."""

    def messages(self, terms: Tensor, scale: Tensor, shift: Tensor) -> GatedMessages:
        """Prepare the messages that result from terms.

        Parameters
        ----------
        terms : Tensor of shape (2 * n_sites + n_features, 2 * n_channels)
        scale, shift : Tensor of shape (2 * n_channels,)
            Applied to the sum of the terms of each edge.

        Returns
        -------
        GatedMessages
        """

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
        site_fractions : Tensor of shape (2 * n_sites,)
            Sums of the fractions over the same edges.
        """

    def add_endpoint_terms(
        self, fractions: Tensor, site_fractions: Tensor, terms: Tensor, sums: Tensor
    ) -> Tensor:
        r"""Add, in place, the terms of both sites of each edge to the sums of both.

        To the sum of each site as a center, and as a neighbor, this adds
        :math:`\sum_k p_k (a_i + b_j)` over its edges.

        Parameters
        ----------
        fractions : Tensor of shape (n_edges,)
            Weight :math:`p_k` of each edge in the statistics.
        site_fractions : Tensor of shape (2 * n_sites,)
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

        A normalized quantity does not change if a constant is added to z, or if z is
        multiplied by a constant. The components of the gradient along these two
        directions are therefore subtracted from the sums of gradients G:

        .. math::
            G' = G - P \, \partial\beta, \qquad
            \partial\gamma = \sum_r \frac{t_r G'_r}{\sigma}, \qquad
            G'' = G' - \frac{C}{\sigma} \partial\gamma

        Parameters
        ----------
        sums : Tensor of shape (n_rows, width)
            The sums of gradients G. Changed in place, to :math:`G''`.
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
