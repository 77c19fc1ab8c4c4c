"""The edges of a batch, with their weights and sparse features."""

from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor


@dataclass(frozen=True, eq=False)
class EdgeList:
    """The edges of a batch, with their weights and sparse features.

    Attributes
    ----------
    edge_index : Tensor of shape (2, n_edges), int64
        Center and neighbor of each edge.
    weights : Tensor of shape (n_edges,)
        Number of equal edges of the same center that each edge stands for.
    n_sites : int
        Number of sites in the batch.
    columns : Tensor of shape (n_edges, n_entries)
        Integer indices of the edge features that may differ from zero.
    values : Tensor of shape (n_edges, n_entries)
        Values of these features. If a feature appears more than once for an edge, its
        values are added.
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
        """Convert the features to a dense tensor of shape (n_edges, n_features)."""
        return to_dense(self.columns, self.values, self.n_features)


def combine_rows(columns: Tensor, values: Tensor, table: Tensor) -> Tensor:
    """Sum rows of a table, each times a value.

    Parameters
    ----------
    columns : Tensor of shape (n_edges, n_entries)
        Integer indices of the rows.
    values : Tensor of shape (n_edges, n_entries)
        Factors of the rows.
    table : Tensor of shape (n_rows, width)
        The table.

    Returns
    -------
    Tensor of shape (n_edges, width)
    """
    return (table[columns.long()] * values[:, :, None]).sum(dim=1)


def to_dense(columns: Tensor, values: Tensor, n_features: int) -> Tensor:
    """Convert sparse edge features to dense ones.

    Parameters
    ----------
    columns : Tensor of shape (n_edges, n_entries)
        Integer indices of the features that may differ from zero.
    values : Tensor of shape (n_edges, n_entries)
        Values of these features. Values of the same feature are added.
    n_features : int
        Number of features per edge.

    Returns
    -------
    Tensor of shape (n_edges, n_features)
    """
    features = values.new_zeros(len(values), n_features)
    return features.scatter_add_(1, columns.long(), values)


def sorted_by_center(edges: EdgeList) -> EdgeList:
    """Sort edges by their centers, keeping the order of the edges of each center.

    Parameters
    ----------
    edges : EdgeList

    Returns
    -------
    EdgeList
        The edges themselves if they are sorted.
    """
    center = edges.edge_index[0]
    if not bool((center.diff() < 0).any()):
        return edges
    order = center.argsort(stable=True)
    return replace(
        edges,
        edge_index=edges.edge_index[:, order],
        weights=edges.weights[order],
        columns=edges.columns[order],
        values=edges.values[order],
    )
