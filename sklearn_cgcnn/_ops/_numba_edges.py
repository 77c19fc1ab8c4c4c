"""The edges of a batch as Numba takes them, divided among threads."""

from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_cgcnn._ops import _numba_loops
from sklearn_cgcnn._ops._edge_list import EdgeList, sorted_by_center
from sklearn_cgcnn._ops._threads import split_evenly

# Threads wait for each other several times in each layer, a tenth of a millisecond each
# time. With fewer edges for each of them they save less than that.
_LEAST_EDGES_A_THREAD = 3_000


class NumbaEdges:
    """The edges of a batch as arrays, indexed and divided among threads.

    Parameters
    ----------
    edges : EdgeList
        With float32 weights and values.
    n_threads : int
        Largest number of threads that share the work. There are fewer for few edges.

    Raises
    ------
    IndexError
        If an index of a site or of an edge feature is out of range.
    """

    def __init__(self, edges: EdgeList, n_threads: int) -> None:
        useful = len(edges) // _LEAST_EDGES_A_THREAD
        self._n_threads = min(n_threads, max(useful, 1))
        first_edges = np.zeros(edges.n_sites + 1, np.int32)
        neighbors = np.empty(len(edges), np.int32)
        if not self._index(edges, first_edges, neighbors):
            edges = sorted_by_center(edges)
            first_edges[:] = 0
            self._index(edges, first_edges, neighbors)
        self.edges = edges
        #: The first arguments of the loops.
        self.arrays = (
            first_edges,
            neighbors,
            edges.columns.to(torch.int32).contiguous().numpy(),
            edges.values.contiguous().numpy(),
            edges.weights.contiguous().numpy(),
        )

    @staticmethod
    def _index(edges: EdgeList, first_edges: Any, neighbors: Any) -> bool:
        """Index the edges by their centers, and return whether they are sorted."""
        columns = edges.columns.to(torch.int32).contiguous()
        outcome: int = _numba_loops.index_edges(
            edges.edge_index.contiguous().numpy(),
            columns.numpy(),
            edges.n_features,
            first_edges,
            neighbors,
        )
        # Compiled loops do not check their indices.
        if outcome == _numba_loops.OUT_OF_RANGE:
            _check_range("edge_index", edges.edge_index, edges.n_sites)
            _check_range("columns", edges.columns, edges.n_features)
        return outcome == _numba_loops.INDEXED

    @cached_property
    def center_ranges(self) -> list[tuple[int, int]]:
        """Return ranges of sites with about the same number of edges from them.

        There is one for each thread. They suit loops that write only to the centers.
        """
        if self._n_threads == 1:
            return [(0, self.edges.n_sites)]
        cuts = np.searchsorted(self.arrays[0], self._even_cuts)
        return list(pairwise([0, *cuts.tolist(), self.edges.n_sites]))

    @cached_property
    def site_ranges(self) -> list[tuple[int, int]]:
        """Return ranges of sites that no edge connects with each other.

        There is one for each thread, or fewer if the graph does not have enough
        disconnected parts. So no two threads add to the same site.
        """
        if self._n_threads == 1 or not len(self.edges):
            return [(0, self.edges.n_sites)]
        center, neighbor = self.edges.edge_index
        first, last = torch.minimum(center, neighbor), torch.maximum(center, neighbor)
        last_so_far = last.cummax(dim=0).values
        first_from_here = first.flip(0).cummin(dim=0).values.flip(0)
        is_cut = last_so_far[:-1] < first_from_here[1:]
        possible_cuts = is_cut.nonzero()[:, 0] + 1
        if not len(possible_cuts):
            return [(0, self.edges.n_sites)]
        # Each even cut moves to the next possible one, or to the last.
        chosen = torch.searchsorted(possible_cuts, torch.tensor(self._even_cuts))
        chosen.clamp_(max=len(possible_cuts) - 1)
        # Not at the center of the next edge: sites that are only neighbors may come
        # before it.
        cuts = first_from_here[possible_cuts[chosen].unique()]
        return list(pairwise([0, *cuts.tolist(), self.edges.n_sites]))

    @cached_property
    def _even_cuts(self) -> list[int]:
        """Return the edges at which cuts would give each thread as many edges."""
        ranges = split_evenly(len(self.edges), self._n_threads)
        return [start for start, _ in ranges[1:]]


def _check_range(name: str, index: Tensor, size: int) -> None:
    """Check that all indices are from 0 to size - 1."""
    if not index.numel():
        return
    least, most = (int(each) for each in index.aminmax())
    if least < 0 or most >= size:
        raise IndexError(
            f"{name} must hold indices from 0 to {size - 1}, and holds indices from "
            f"{least} to {most}"
        )
