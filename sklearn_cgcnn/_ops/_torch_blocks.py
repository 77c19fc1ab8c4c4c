"""Blocks of edges that fit into a processor's cache."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sklearn_cgcnn._ops._edge_list import EdgeList

# Edges in a block. With 64 channels in single precision, a tensor of a block takes half
# a megabyte. Without gradients, fewer tensors must share the cache, so that each may
# take a whole one.
_BLOCK_SIZE, _BLOCK_SIZE_WITHOUT_GRADIENT = 2048, 4096


@dataclass(frozen=True, eq=False)
class EdgeBlock:
    """A block of edges, with sums from sites to edges and from edges to sites.

    On a CPU the edges are sorted, and each sum passes once over the rows that it reads,
    without an intermediate tensor. On a GPU they need not be sorted, and no sum waits
    for a value that the GPU has computed. Below, n_edges is the number of edges of the
    block, and n_entries the number of sparse features per edge.

    Attributes
    ----------
    edge_range : slice
        The edges of the batch that belong to the block.
    center, neighbor : Tensor of shape (n_edges,), int32
    weights : Tensor of shape (n_edges,)
        Number of equal edges of the same center that each edge stands for.
    term_index, coefficients : Tensor of shape (n_edges, 2 + n_entries)
        The linear map of an edge is a sum of rows of a table of terms. These are the
        indices of the rows, and the factors by which they are multiplied.
    positions, offsets : Tensor of shape (n_edges,), int32
        0, 1, 2 and so on, and the same times 2 + n_entries: where the entries of each
        edge begin in an array of one or of 2 + n_entries entries per edge.
    first_feature_row : int
        The row of the table that belongs to the first edge feature.
    n_features : int
        Number of edge features.
    is_sorted : bool
        Whether the sums may rely on edges that are sorted by their centers.
    """

    edge_range: slice
    center: Tensor
    neighbor: Tensor
    weights: Tensor
    term_index: Tensor
    coefficients: Tensor
    positions: Tensor
    offsets: Tensor
    first_feature_row: int
    n_features: int
    is_sorted: bool

    def __len__(self) -> int:
        return len(self.weights)

    def sum_terms(self, table: Tensor) -> Tensor:
        """Sum the rows of a table that belong to each edge, times their coefficients.

        Parameters
        ----------
        table : Tensor of shape (n_terms, width)

        Returns
        -------
        Tensor of shape (n_edges, width)
        """
        index, coefficients = self.term_index.view(-1), self.coefficients.view(-1)
        return _sum_segments(table, index, self.offsets, coefficients)

    def weighted_rows_of_centers(self, rows: Tensor) -> Tensor:
        """Return the row of each edge's center, times the weight of the edge.

        Parameters
        ----------
        rows : Tensor of shape (n_sites, width)
            One row for each site.

        Returns
        -------
        Tensor of shape (n_edges, width)
        """
        return _sum_segments(rows, self.center, self.positions, self.weights)

    def add_to_centers(
        self,
        total: Tensor,
        rows: Tensor,
        index: Tensor | None = None,
        factors: Tensor | None = None,
    ) -> None:
        """Add one row per edge to the site at its center, in place.

        Parameters
        ----------
        total : Tensor of shape (n_sites, width)
            Changed in place.
        rows : Tensor of shape (n_rows, width)
        index : Tensor of shape (n_edges,), int32, or None, default=None
            Index of each edge's row. None if there is one row per edge, in their order.
        factors : Tensor of shape (n_edges,) or None, default=None
            Factors of the rows. None stands for ones.
        """
        if not self.is_sorted:
            total.index_add_(0, self.center, _scaled_rows(rows, index, factors))
            return
        sites, offsets = self._center_segments
        index = self.positions if index is None else index
        total[sites] += _sum_segments(rows, index, offsets, factors)

    def add_to_neighbors(
        self,
        total: Tensor,
        rows: Tensor,
        index: Tensor | None = None,
        factors: Tensor | None = None,
    ) -> None:
        """Add one row per edge to its neighbor site, in place.

        Parameters
        ----------
        total : Tensor of shape (n_sites, width)
            Changed in place.
        rows : Tensor of shape (n_rows, width)
        index : Tensor of shape (n_edges,), int32, or None, default=None
            Index of each edge's row. None if there is one row per edge, in their order.
        factors : Tensor of shape (n_edges,) or None, default=None
            Factors of the rows. None stands for ones.
        """
        if not self.is_sorted:
            total.index_add_(0, self.neighbor, _scaled_rows(rows, index, factors))
            return
        order, sites, offsets = self._neighbor_segments
        index = order if index is None else index[order]
        factors = None if factors is None else factors[order]
        total[sites] += _sum_segments(rows, index, offsets, factors)

    @cached_property
    def feature_range(self) -> slice:
        """Return the smallest range that holds all features with an entry."""
        feature_rows = self.term_index[:, 2:]
        if not self.is_sorted or not feature_rows.numel():
            return slice(0, self.n_features)
        first, last = int(feature_rows.min()), int(feature_rows.max())
        return slice(first - self.first_feature_row, last + 1 - self.first_feature_row)

    @cached_property
    def _center_segments(self) -> tuple[slice, Tensor]:
        """Return the range of the centers, and the offset of the edges of each."""
        return _segments(self.center)

    @cached_property
    def _neighbor_segments(self) -> tuple[Tensor, slice, Tensor]:
        """Return the order by neighbor, the range of the neighbors, and the offsets."""
        ordered, order = self.neighbor.sort()
        return order.to(torch.int32), *_segments(ordered)


def split_into_blocks(edges: EdgeList, size: int | None) -> list[EdgeBlock]:
    """Split edges into blocks.

    The table that :meth:`EdgeBlock.sum_terms` takes has one row for each site as a
    center, then one for each site as a neighbor, then one for each edge feature.

    Parameters
    ----------
    edges : EdgeList
        Sorted by their centers, unless `size` is None.
    size : int or None
        Number of edges in a block. None puts all edges into one block, and reads no
        value.

    Returns
    -------
    list of EdgeBlock
    """
    n_edges, n_terms = len(edges), 2 + edges.values.shape[1]
    edge_index = edges.edge_index.to(torch.int32).contiguous()
    term_index = edge_index.new_empty(n_edges, n_terms)
    term_index[:, 0] = edge_index[0]
    torch.add(edge_index[1], edges.n_sites, out=term_index[:, 1])
    columns = edges.columns.to(torch.int32)
    torch.add(columns, 2 * edges.n_sites, out=term_index[:, 2:])
    coefficients = edges.values.new_ones(n_edges, n_terms)
    coefficients[:, 2:] = edges.values
    step = max(n_edges, 1) if size is None else size
    positions = torch.arange(
        min(step, n_edges), dtype=torch.int32, device=edge_index.device
    )
    blocks = []
    for start in range(0, n_edges, step):
        edge_range = slice(start, min(start + step, n_edges))
        length = edge_range.stop - start
        blocks.append(
            EdgeBlock(
                edge_range=edge_range,
                center=edge_index[0, edge_range],
                neighbor=edge_index[1, edge_range],
                weights=edges.weights[edge_range],
                term_index=term_index[edge_range],
                coefficients=coefficients[edge_range],
                positions=positions[:length],
                offsets=positions[:length] * n_terms,
                first_feature_row=2 * edges.n_sites,
                n_features=edges.n_features,
                is_sorted=size is not None,
            )
        )
    return blocks


def block_size(with_gradient: bool) -> int:
    """Return the number of edges in a block.

    Parameters
    ----------
    with_gradient : bool
        Whether a gradient will be computed.

    Returns
    -------
    int
    """
    return _BLOCK_SIZE if with_gradient else _BLOCK_SIZE_WITHOUT_GRADIENT


def _sum_segments(
    table: Tensor, index: Tensor, offsets: Tensor, factors: Tensor | None
) -> Tensor:
    """Sum segments of indexed rows of a table, times factors."""
    # The checks of torch.nn.functional.embedding_bag take longer than a small sum.
    summed: Tensor = torch.embedding_bag(
        table, index, offsets, mode=0, per_sample_weights=factors
    )[0]
    return summed


def _segments(owners: Tensor) -> tuple[slice, Tensor]:
    """Return the range of sorted owners, and the offset of the first item of each."""
    first, last = int(owners[0]), int(owners[-1])
    all_owners = torch.arange(first, last + 1, dtype=owners.dtype)
    offsets = torch.searchsorted(owners, all_owners, out_int32=True)
    return slice(first, last + 1), offsets


def _scaled_rows(rows: Tensor, index: Tensor | None, factors: Tensor | None) -> Tensor:
    """Return indexed rows, times factors."""
    rows = rows if index is None else rows.index_select(0, index)
    return rows if factors is None else rows * factors[:, None]
