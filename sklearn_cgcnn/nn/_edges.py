"""What the convolutions ask of the edges of a batch."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Messages(Protocol):
    r"""Messages :math:`\sigma(y_f) \odot g(y_s)`, with g the softplus.

    For each edge, :math:`y_f \oplus y_s` is the sum of its terms, scaled and shifted.
    """

    def sum(self) -> Tensor:
        """Sum the messages to each site.

        Returns
        -------
        Tensor of shape (n_sites, n_channels)
        """

    def sum_gradients(self, grad: Tensor) -> Tensor:
        """Sum the gradients of y over the edges of which each term is a part.

        Parameters
        ----------
        grad : Tensor of shape (n_sites, n_channels)
            That of the sums of the messages.

        Returns
        -------
        Tensor of shape (2 * n_sites + n_edge_features, 2 * n_channels)
        """


class Edges(Protocol):
    """The edges of a batch, with the sums that lead from sites to edges and back."""

    @property
    def parts(self) -> Sequence[tuple[int, int]]:
        """Divide the sites into runs, one for each thread."""

    def messages_of_terms(
        self, terms: Tensor, scale: Tensor, shift: Tensor
    ) -> Messages:
        """Make messages of terms.

        Parameters
        ----------
        terms : Tensor of shape (2 * n_sites + n_edge_features, 2 * n_channels)
        scale, shift : Tensor of shape (2 * n_channels,)
            Applied to their sums.

        Returns
        -------
        Messages
        """

    def messages_of_map(
        self, sites: Tensor, weight: Tensor, scale: Tensor, shift: Tensor
    ) -> Messages:
        """Make messages of a linear map, with nothing to be known of its terms before.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels)
        weight : Tensor of shape (2 * n_channels, 2 * n_channels + n_edge_features)
        scale, shift : Tensor of shape (2 * n_channels,)

        Returns
        -------
        Messages
        """

    def sum_features(self, shares: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sum what statistics follow from.

        Parameters
        ----------
        shares : Tensor of shape (n_edges,)
            Of sum one.

        Returns
        -------
        mean : Tensor of shape (n_edge_features,)
            Of the features.
        covariance : Tensor of shape (n_edge_features, n_edge_features)
            Of the features with one another.
        by_site : Tensor of shape (2 * n_sites, n_edge_features)
            Sums over the edges from each site, and then to each site, of what the
            features differ from their mean, times the shares.
        share_of_site : Tensor of shape (2 * n_sites,)
            Likewise, of the shares.
        """

    def add_ends(
        self, shares: Tensor, share_of_site: Tensor, terms: Tensor, sums: Tensor
    ) -> Tensor:
        """Add to each end of the edges the terms of both, times the shares.

        Parameters
        ----------
        shares : Tensor of shape (n_edges,)
        share_of_site : Tensor of shape (2 * n_sites,)
        terms : Tensor of shape (2 * n_sites, width)
        sums : Tensor of shape (2 * n_sites, width)
            Changed in place.

        Returns
        -------
        Tensor of shape (width,)
            The sum over the sites of the terms times the sums.
        """

    def take_out(
        self,
        sums: Tensor,
        terms: Tensor,
        shares: Tensor,
        mean: Tensor,
        covariances: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """Take out of gradients what a normalisation does not let through.

        Parameters
        ----------
        sums : Tensor of shape (n_rows, width)
            The gradients. Changed in place: minus the mean times the shares, and minus
            their own projection on the terms times the covariances.
        terms : Tensor of shape (n_rows, width)
        shares : Tensor of shape (n_rows,)
        mean : Tensor of shape (width,)
        covariances : Tensor of shape (n_rows, width)
        inverse_std : Tensor of shape (width,)

        Returns
        -------
        Tensor of shape (width,)
            The projection: the sum of what is left of the gradients after the mean,
            times the terms, over the standard deviation.
        """
