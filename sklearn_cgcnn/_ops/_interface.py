"""Edges of a batch, and what the convolutions ask of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, eq=False)
class EdgeList:
    """The edges of a batch.

    Attributes
    ----------
    edge_index : Tensor of shape (2, n_edges), int64
        Center and neighbor of each edge.
    weights : Tensor of shape (n_edges,)
        How many equal edges of its center each stands for.
    n_sites : int
    columns, values : Tensor of shape (n_edges, n_entries)
        Edge features, as :meth:`EdgeBasis.entries` gives them, with no gradient.
    n_features : int
        Number of features per edge.
    """

    edge_index: Tensor
    weights: Tensor
    n_sites: int
    columns: Tensor
    values: Tensor
    n_features: int

    def __len__(self) -> int:
        return len(self.weights)

    @cached_property
    def features(self) -> Tensor:
        """Lay out the features, of shape (n_edges, n_features)."""
        return to_dense(self.columns, self.values, self.n_features)


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
    """Sums over the edges of a batch, as one of several ways to compute gives them."""

    @property
    def parts(self) -> Sequence[tuple[int, int]]:
        """Divide the sites into runs, one for each thread."""

    def messages(self, terms: Tensor, scale: Tensor, shift: Tensor) -> Messages:
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
        to_shift: Tensor,
        covariances: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """Take out of gradients what a normalization does not let through.

        Parameters
        ----------
        sums : Tensor of shape (n_rows, width)
            The gradients. Changed in place: minus the shares times the gradient of the
            shift, and then minus the covariances times that of the scale, over the
            standard deviation.
        terms : Tensor of shape (n_rows, width)
        shares : Tensor of shape (n_rows,)
        to_shift : Tensor of shape (width,)
            The gradient of the shift.
        covariances : Tensor of shape (n_rows, width)
        inverse_std : Tensor of shape (width,)

        Returns
        -------
        Tensor of shape (width,)
            The gradient of the scale: over the standard deviation, the sum of the terms
            times what the first subtraction leaves.
        """


def to_dense(columns: Tensor, values: Tensor, n_features: int) -> Tensor:
    """Convert sparse edge features to dense ones.

    Parameters
    ----------
    columns, values : Tensor of shape (n_edges, n_entries)
        As `EdgeBasis.entries` returns them.
    n_features : int

    Returns
    -------
    Tensor of shape (n_edges, n_features)
    """
    features = values.new_zeros(len(values), n_features)
    return features.scatter_add_(1, columns.long(), values)
