"""Edges in blocks that stay in a processor's cache."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sklearn_cgcnn._ops._interface import EdgeList

# Edges of a block: times 64 channels in single precision, half a megabyte, or a whole
# one where no gradient is to follow, whose sums share the cache with more tensors.
_BLOCK, _BLOCK_WITHOUT_GRADIENT = 2048, 4096


@dataclass(frozen=True, eq=False)
class EdgeBlock:
    """A block of edges, with the sums that lead from sites to edges and back.

    Where the edges are sorted, each of these passes once over the rows that it takes,
    with no tensor in between. Otherwise they ask for no look at any value.

    Attributes
    ----------
    edges : slice
        Which of the edges of the batch they are.
    center, neighbor : Tensor of shape (n_edges,), int32
    weights : Tensor of shape (n_edges,)
        How many equal edges of its center each stands for.
    rows, factors : Tensor of shape (n_edges, n_rows)
        What each edge is the sum of: rows of a table, times factors.
    one_by_one, starts : Tensor of shape (n_edges,), int32
        From 0 in steps of 1 and of n_rows.
    first_feature : int
        The row of the table with what the first edge feature adds.
    n_features : int
        Number of edge features.
    is_sorted : bool
        Whether the edges are sorted by their centers.
    """

    edges: slice
    center: Tensor
    neighbor: Tensor
    weights: Tensor
    rows: Tensor
    factors: Tensor
    one_by_one: Tensor
    starts: Tensor
    first_feature: int
    n_features: int
    is_sorted: bool

    def __len__(self) -> int:
        return len(self.weights)

    def gather(self, table: Tensor) -> Tensor:
        """Add up what each edge is made of.

        Parameters
        ----------
        table : Tensor of shape (n_table_rows, width)

        Returns
        -------
        Tensor of shape (n_edges, width)
        """
        return _sum_rows(table, self.rows.view(-1), self.starts, self.factors.view(-1))

    def at_center(self, sites: Tensor) -> Tensor:
        """Take the row of each edge's center, times the weight of the edge.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, width)

        Returns
        -------
        Tensor of shape (n_edges, width)
        """
        return _sum_rows(sites, self.center, self.one_by_one, self.weights)

    def add_to_centers(
        self,
        total: Tensor,
        rows: Tensor,
        index: Tensor | None = None,
        factors: Tensor | None = None,
    ) -> None:
        """Add to each site a row for every edge of which it is the center.

        Parameters
        ----------
        total : Tensor of shape (n_sites, width)
            Changed in place.
        rows : Tensor of shape (n_rows, width)
        index : Tensor of shape (n_edges,), int32, or None, default=None
            Which of the rows each edge stands for. None: one after the other.
        factors : Tensor of shape (n_edges,) or None, default=None
            What they are multiplied by. None stands for ones.
        """
        if not self.is_sorted:
            total.index_add_(0, self.center, _taken(rows, index, factors))
            return
        sites, starts = self._by_center
        index = self.one_by_one if index is None else index
        total[sites] += _sum_rows(rows, index, starts, factors)

    def add_to_neighbors(
        self,
        total: Tensor,
        rows: Tensor,
        index: Tensor | None = None,
        factors: Tensor | None = None,
    ) -> None:
        """Add to each site a row for every edge of which it is the neighbor.

        Parameters
        ----------
        total : Tensor of shape (n_sites, width)
            Changed in place.
        rows : Tensor of shape (n_rows, width)
        index : Tensor of shape (n_edges,), int32, or None, default=None
            Which of the rows each edge stands for. None: one after the other.
        factors : Tensor of shape (n_edges,) or None, default=None
            What they are multiplied by. None stands for ones.
        """
        if not self.is_sorted:
            total.index_add_(0, self.neighbor, _taken(rows, index, factors))
            return
        order, sites, starts = self._by_neighbor
        index = order if index is None else index[order]
        factors = None if factors is None else factors[order]
        total[sites] += _sum_rows(rows, index, starts, factors)

    @cached_property
    def features(self) -> slice:
        """Those of the edge features of which some are not zero."""
        named = self.rows[:, 2:]
        if not self.is_sorted or not named.numel():
            return slice(0, self.n_features)
        first, last = int(named.min()), int(named.max())
        return slice(first - self.first_feature, last + 1 - self.first_feature)

    @cached_property
    def _by_center(self) -> tuple[slice, Tensor]:
        """Which sites are centers, and where the edges of each begin."""
        return _runs(self.center)

    @cached_property
    def _by_neighbor(self) -> tuple[Tensor, slice, Tensor]:
        """Sort by neighbor: the order, which sites, and where those of each begin."""
        ordered, order = self.neighbor.sort()
        return order.to(torch.int32), *_runs(ordered)


def divide(edges: EdgeList, size: int | None) -> list[EdgeBlock]:
    """Divide edges into blocks, each the sum of its two sites' and its features' terms.

    The table that :meth:`EdgeBlock.gather` takes holds one after the other what sites
    give as centers, what they give as neighbors, and what the edge features give.

    Parameters
    ----------
    edges : EdgeList
    size : int or None
        Number of edges of a block. The edges are then to be sorted by their centers.
        None for all of them in one, without a look at any value.

    Returns
    -------
    list of EdgeBlock
    """
    n_edges, n_rows = len(edges), 2 + edges.values.shape[1]
    ends = edges.edge_index.to(torch.int32).contiguous()
    rows = ends.new_empty(n_edges, n_rows)
    rows[:, 0] = ends[0]
    torch.add(ends[1], edges.n_sites, out=rows[:, 1])
    torch.add(edges.columns.to(torch.int32), 2 * edges.n_sites, out=rows[:, 2:])
    factors = edges.values.new_ones(n_edges, n_rows)
    factors[:, 2:] = edges.values
    step = max(n_edges, 1) if size is None else size
    one_by_one = torch.arange(min(step, n_edges), dtype=torch.int32, device=ends.device)
    blocks = []
    for start in range(0, n_edges, step):
        part = slice(start, min(start + step, n_edges))
        length = part.stop - start
        blocks.append(
            EdgeBlock(
                edges=part,
                center=ends[0, part],
                neighbor=ends[1, part],
                weights=edges.weights[part],
                rows=rows[part],
                factors=factors[part],
                one_by_one=one_by_one[:length],
                starts=one_by_one[:length] * n_rows,
                first_feature=2 * edges.n_sites,
                n_features=edges.n_features,
                is_sorted=size is not None,
            )
        )
    return blocks


def block_size(with_gradient: bool) -> int:
    """Choose the number of edges of a block.

    Parameters
    ----------
    with_gradient : bool
        Whether a gradient is to follow.

    Returns
    -------
    int
    """
    return _BLOCK if with_gradient else _BLOCK_WITHOUT_GRADIENT


def _sum_rows(
    table: Tensor, rows: Tensor, starts: Tensor, factors: Tensor | None
) -> Tensor:
    """Sum runs of rows of a table, times factors."""
    # Not that of torch.nn.functional, whose checks take longer than a small sum.
    summed: Tensor = torch.embedding_bag(
        table, rows, starts, mode=0, per_sample_weights=factors
    )[0]
    return summed


def _runs(owners: Tensor) -> tuple[slice, Tensor]:
    """Say which owners there are among sorted ones, and where those of each begin."""
    first, last = int(owners[0]), int(owners[-1])
    all_owners = torch.arange(first, last + 1, dtype=owners.dtype)
    starts = torch.searchsorted(owners, all_owners, out_int32=True)
    return slice(first, last + 1), starts


def _taken(rows: Tensor, index: Tensor | None, factors: Tensor | None) -> Tensor:
    """Take rows, times factors."""
    rows = rows if index is None else rows.index_select(0, index)
    return rows if factors is None else rows * factors[:, None]
