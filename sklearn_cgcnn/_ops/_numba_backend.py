"""Sums over edges in loops that Numba compiles, divided among threads."""

from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from sklearn_cgcnn._ops import _numba_loops
from sklearn_cgcnn._ops._edge_list import EdgeList
from sklearn_cgcnn._ops._interface import GatedMessages
from sklearn_cgcnn._ops._linear_terms import split_terms
from sklearn_cgcnn._ops._threads import run_over_ranges, split_evenly, sum_over_ranges
from sklearn_cgcnn._ops._torch_backend import TorchEdgeSums
from sklearn_cgcnn._ops._torch_blocks import block_size

# Above this number of entries per edge, a matrix product of the dense features computes
# their covariance in less time than loops over the sparse ones.
_MAX_SPARSE_ENTRIES = 16


class NumbaEdgeSums:
    """Compute the sums in loops that Numba compiles, for single precision on a CPU.

    Means, covariances and variances are accumulated in double precision.

    Parameters
    ----------
    edges : EdgeList
        Sorted by their centers, with float32 weights and values.
    n_threads : int
        Largest number of threads that share the work.

    Raises
    ------
    IndexError
        If an index of a site or of an edge feature is out of range.
    """

    def __init__(self, edges: EdgeList, n_threads: int) -> None:
        self.edges, self._n_threads = edges, n_threads
        # Compiled loops do not check their indices.
        _check_range("edge_index", edges.edge_index, edges.n_sites)
        _check_range("columns", edges.columns, edges.n_features)
        self._center, self._neighbor = edges.edge_index.to(torch.int32).contiguous()
        all_sites = torch.arange(edges.n_sites + 1, dtype=torch.int32)
        self._first_edges = torch.searchsorted(self._center, all_sites, out_int32=True)
        #: The first arguments of the loops.
        self.arrays = _as_arrays(
            self._first_edges,
            self._neighbor,
            edges.columns.to(torch.int32).contiguous(),
            edges.values.contiguous(),
            edges.weights.contiguous(),
        )

    @cached_property
    def center_ranges(self) -> list[tuple[int, int]]:
        """Return ranges of sites with about the same number of edges from them.

        There is one for each thread. They suit loops that write only to the centers.
        """
        cuts = torch.searchsorted(self._first_edges, self._even_cuts)
        return list(pairwise([0, *cuts.tolist(), self.edges.n_sites]))

    @cached_property
    def site_ranges(self) -> list[tuple[int, int]]:
        """Return ranges of sites that no edge connects with each other.

        There is one for each thread, or fewer if the graph does not have enough
        disconnected parts. So no two threads add to the same site.
        """
        if self._n_threads == 1 or not len(self._center):
            return [(0, self.edges.n_sites)]
        first = torch.minimum(self._center, self._neighbor)
        last = torch.maximum(self._center, self._neighbor)
        last_so_far = last.cummax(dim=0).values
        first_from_here = first.flip(0).cummin(dim=0).values.flip(0)
        is_cut = last_so_far[:-1] < first_from_here[1:]
        possible_cuts = is_cut.nonzero()[:, 0].int() + 1
        if not len(possible_cuts):
            return [(0, self.edges.n_sites)]
        nearest = torch.searchsorted(possible_cuts, self._even_cuts)
        nearest.clamp_(max=len(possible_cuts) - 1)
        # Not at the center of the next edge: sites that are only neighbors may come
        # before it.
        cuts = first_from_here[possible_cuts[nearest].unique()]
        return list(pairwise([0, *cuts.tolist(), self.edges.n_sites]))

    @cached_property
    def _even_cuts(self) -> Tensor:
        """Return the edges at which cuts would give each thread as many edges."""
        ranges = split_evenly(len(self._center), self._n_threads)
        return torch.tensor([start for start, _ in ranges[1:]], dtype=torch.int32)

    def messages(self, terms: Tensor, scale: Tensor, shift: Tensor) -> GatedMessages:
        """Implement :meth:`EdgeSums.messages`."""
        return _NumbaMessages(self, terms, scale, shift)

    def feature_moments(
        self, fractions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Implement :meth:`EdgeSums.feature_moments`."""
        if self.edges.values.shape[1] > _MAX_SPARSE_ENTRIES:
            torch_sums = TorchEdgeSums(self.edges, block_size(False))
            mean, covariance, by_site, site_fractions = torch_sums.feature_moments(
                fractions
            )
            return mean, covariance, by_site.contiguous(), site_fractions.contiguous()
        width = self.edges.n_features
        by_site = fractions.new_zeros(2 * self.edges.n_sites, width)
        site_fractions = fractions.new_zeros(2 * self.edges.n_sites)
        arrays = *self.arrays[:4], *_as_arrays(fractions, by_site, site_fractions)

        def sum_range(start: int, stop: int) -> Tensor:
            # First the mean, then half of each product: the sum with the transpose
            # makes it whole.
            sums = fractions.new_zeros(1 + width, width, dtype=torch.float64)
            _numba_loops.sum_features(
                start, stop, *arrays, *_as_arrays(sums[0], sums[1:])
            )
            return sums

        sums = sum_over_ranges(sum_range, self.site_ranges)
        mean, products = sums[0], sums[1:] + sums[1:].T
        # In single precision the fractions do not sum to exactly one.
        excess = float(fractions.double().sum()) - 1
        covariance = products.addr_(mean, mean, alpha=excess - 1).to(fractions.dtype)
        mean = mean.to(fractions.dtype)
        by_site.addr_(site_fractions, mean, alpha=-1)
        return mean, covariance, by_site, site_fractions

    def add_endpoint_terms(
        self, fractions: Tensor, site_fractions: Tensor, terms: Tensor, sums: Tensor
    ) -> Tensor:
        """Implement :meth:`EdgeSums.add_endpoint_terms`."""
        arrays = _as_arrays(fractions, site_fractions, terms, sums)

        def add_range(start: int, stop: int) -> Tensor:
            var = terms.new_zeros(terms.shape[1], dtype=torch.float64)
            _numba_loops.add_endpoint_terms(
                start, stop, *self.arrays[:2], *arrays, var.numpy()
            )
            return var

        var = sum_over_ranges(add_range, self.site_ranges)
        return var.to(terms.dtype)

    def project_gradients(
        self,
        sums: Tensor,
        terms: Tensor,
        mean_coefficients: Tensor,
        grad_shift: Tensor,
        covariances: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """Implement :meth:`EdgeSums.project_gradients`."""
        row_ranges = split_evenly(len(sums), self._n_threads)
        arrays = _as_arrays(sums, terms, mean_coefficients, grad_shift)

        def multiply_range(start: int, stop: int) -> Tensor:
            total = torch.zeros_like(grad_shift, dtype=torch.float64)
            _numba_loops.sum_scale_gradients(start, stop, *arrays, total.numpy())
            return total

        total = sum_over_ranges(multiply_range, row_ranges).to(terms.dtype)
        grad_scale = total * inverse_std
        slope = inverse_std * grad_scale
        args = _as_arrays(sums, mean_coefficients, grad_shift, covariances, slope)
        run_over_ranges(
            lambda start, stop: _numba_loops.project_gradients(start, stop, *args),
            row_ranges,
        )
        return grad_scale


class _NumbaMessages:
    """Messages of all edges, computed anew for their sum and for their gradients."""

    def __init__(
        self, sums: NumbaEdgeSums, terms: Tensor, scale: Tensor, shift: Tensor
    ) -> None:
        self._sums, self._terms = sums, terms
        self._args = [*sums.arrays, *_as_arrays(terms, scale, shift)]

    def sum(self) -> Tensor:
        """Implement :meth:`GatedMessages.sum`."""
        terms, n_sites = self._terms, self._sums.edges.n_sites
        summed = terms.new_empty(n_sites, terms.shape[1] // 2)

        def sum_range(start: int, stop: int) -> None:
            buffer = terms.new_empty(terms.shape[1])
            _numba_loops.sum_messages(
                start, stop, *self._args, *_as_arrays(buffer, summed)
            )

        run_over_ranges(sum_range, self._sums.center_ranges)
        return summed

    def sum_gradients(self, grad: Tensor) -> Tensor:
        """Implement :meth:`GatedMessages.sum_gradients`."""
        terms, n_sites = self._terms, self._sums.edges.n_sites
        sums, grad = torch.empty_like(terms), grad.contiguous()
        _, neighbor_sums, feature_sums = split_terms(sums, n_sites)

        def sum_range(start: int, stop: int) -> Tensor:
            neighbor_sums[start:stop] = 0
            range_feature_sums = torch.zeros_like(feature_sums)
            buffer = terms.new_empty(2, terms.shape[1])
            arrays = _as_arrays(grad, buffer, sums, range_feature_sums)
            _numba_loops.sum_gradients(start, stop, *self._args, *arrays)
            return range_feature_sums

        feature_sums.copy_(sum_over_ranges(sum_range, self._sums.site_ranges))
        return sums


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


def _as_arrays(*tensors: Tensor) -> list[Any]:
    """Return tensors as NumPy arrays that share their memory, as Numba takes them."""
    return [tensor.numpy() for tensor in tensors]
