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
        by_centre, by_neighbour : Tensor of shape (n_sites, n_edge_features + 1)
            Sums over the edges from each site, and to each site, of what the features
            differ from their mean, and in the last column of one, times the shares.
        """

    def add_other_ends(
        self,
        shares: Tensor,
        of_centres: Tensor,
        of_neighbours: Tensor,
        by_centre: Tensor,
        by_neighbour: Tensor,
    ) -> None:
        """Add to each end of the edges what the other end has, times shares.

        Parameters
        ----------
        shares : Tensor of shape (n_edges,)
        of_centres, of_neighbours : Tensor of shape (n_sites, width)
            What a site has as a centre, and as a neighbour.
        by_centre, by_neighbour : Tensor of shape (n_sites, width)
            Changed in place.
        """
