"""Edges with sums in loops that Numba compiles, shared out among threads."""

from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from sklearn_cgcnn._ops import _numba_loops
from sklearn_cgcnn._ops._interface import EdgeList, Messages
from sklearn_cgcnn._ops._linear_terms import split_terms
from sklearn_cgcnn._ops._threads import even_parts, run_parts, sum_parts
from sklearn_cgcnn._ops._torch_backend import TorchEdges
from sklearn_cgcnn._ops._torch_blocks import block_size

# Of so many features a matrix product makes the covariance in less time than loops that
# know which of them are zero.
_MANY = 16


class NumbaEdges:
    """Edges with sums in loops that Numba compiles.

    On the CPU, and of single precision.

    Parameters
    ----------
    edges : EdgeList
        Sorted by their centers.
    n_threads : int
        Number of threads that share the sites.
    """

    def __init__(self, edges: EdgeList, n_threads: int) -> None:
        self.edges, self._n_threads = edges, n_threads
        # Loops do not look whether they read and write what is theirs.
        _check_range("edge_index", edges.edge_index, edges.n_sites)
        _check_range("columns", edges.columns, edges.n_features)
        self._center, self._neighbor = edges.edge_index.to(torch.int32).contiguous()
        all_sites = torch.arange(edges.n_sites + 1, dtype=torch.int32)
        self._first_edges = torch.searchsorted(self._center, all_sites, out_int32=True)
        #: What the loops take first.
        self.arrays = _as_arrays(
            self._first_edges,
            self._neighbor,
            edges.columns.to(torch.int32).contiguous(),
            edges.values.contiguous(),
            edges.weights.contiguous(),
        )

    @cached_property
    def parts_by_center(self) -> list[tuple[int, int]]:
        """Divide the sites into runs of about as many edges for each thread."""
        cuts = torch.searchsorted(self._first_edges, self._wanted_cuts)
        return list(pairwise([0, *cuts.tolist(), self.edges.n_sites]))

    @cached_property
    def parts(self) -> list[tuple[int, int]]:
        """Divide the sites into runs between which there are no edges.

        One for each thread, as far as there are so many. So no two threads add to the
        same site.
        """
        if self._n_threads == 1 or not len(self._center):
            return [(0, self.edges.n_sites)]
        first = torch.minimum(self._center, self._neighbor)
        last = torch.maximum(self._center, self._neighbor)
        last_so_far = last.cummax(dim=0).values
        first_to_come = first.flip(0).cummin(dim=0).values.flip(0)
        possible = (last_so_far[:-1] < first_to_come[1:]).nonzero()[:, 0].int() + 1
        if not len(possible):
            return [(0, self.edges.n_sites)]
        nearby = torch.searchsorted(possible, self._wanted_cuts)
        nearby.clamp_(max=len(possible) - 1)
        # Not where the next edges begin, which may lead to a site without edges before.
        cuts = first_to_come[possible[nearby].unique()]
        return list(pairwise([0, *cuts.tolist(), self.edges.n_sites]))

    @cached_property
    def _wanted_cuts(self) -> Tensor:
        """Say at which edges there would be as many for each thread."""
        parts = even_parts(len(self._center), self._n_threads)
        return torch.tensor([start for start, _ in parts[1:]], dtype=torch.int32)

    def messages(self, terms: Tensor, scale: Tensor, shift: Tensor) -> Messages:
        """As :meth:`Edges.messages`."""
        return _NumbaMessages(self, terms, scale, shift)

    def sum_features(self, shares: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As :meth:`Edges.sum_features`."""
        if self.edges.values.shape[1] > _MANY:
            by_torch = TorchEdges(self.edges, block_size(False)).sum_features(shares)
            mean, covariance, by_site, share_of_site = by_torch
            return mean, covariance, by_site.contiguous(), share_of_site.contiguous()
        width = self.edges.n_features
        by_site = shares.new_zeros(2 * self.edges.n_sites, width)
        share_of_site = shares.new_zeros(2 * self.edges.n_sites)
        arrays = *self.arrays[:4], *_as_arrays(shares, by_site, share_of_site)

        def sum_part(start: int, stop: int) -> Tensor:
            # The mean, and half of the products, which are added to their transpose.
            sums = shares.new_zeros(1 + width, width, dtype=torch.float64)
            _numba_loops.sum_features(
                start, stop, *arrays, *_as_arrays(sums[0], sums[1:])
            )
            return sums

        sums = sum_parts(sum_part, self.parts)
        mean, products = sums[0], sums[1:] + sums[1:].T
        # Rounded, the shares are not exactly of sum one.
        excess = float(shares.double().sum()) - 1
        covariance = products.addr_(mean, mean, alpha=excess - 1).to(shares.dtype)
        mean = mean.to(shares.dtype)
        by_site.addr_(share_of_site, mean, alpha=-1)
        return mean, covariance, by_site, share_of_site

    def add_ends(
        self, shares: Tensor, share_of_site: Tensor, terms: Tensor, sums: Tensor
    ) -> Tensor:
        """As :meth:`Edges.add_ends`."""
        arrays = _as_arrays(shares, share_of_site, terms, sums)

        def add_part(start: int, stop: int) -> Tensor:
            var = terms.new_zeros(terms.shape[1], dtype=torch.float64)
            _numba_loops.add_ends(start, stop, *self.arrays[:2], *arrays, var.numpy())
            return var

        var = sum_parts(add_part, self.parts)
        return var.to(terms.dtype)

    def take_out(
        self,
        sums: Tensor,
        terms: Tensor,
        shares: Tensor,
        to_shift: Tensor,
        covariances: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """As :meth:`Edges.take_out`."""
        parts = even_parts(len(sums), self._n_threads)
        arrays = _as_arrays(sums, terms, shares, to_shift)

        def multiply_part(start: int, stop: int) -> Tensor:
            total = torch.zeros_like(to_shift, dtype=torch.float64)
            _numba_loops.multiply_without_shares(start, stop, *arrays, total.numpy())
            return total

        total = sum_parts(multiply_part, parts).to(terms.dtype)
        to_scale = total * inverse_std
        slope = inverse_std * to_scale
        rest = _as_arrays(sums, shares, to_shift, covariances, slope)
        run_parts(lambda *part: _numba_loops.take_out(*part, *rest), parts)
        return to_scale


class _NumbaMessages:
    """Messages of terms, scaled and shifted."""

    def __init__(
        self, edges: NumbaEdges, terms: Tensor, scale: Tensor, shift: Tensor
    ) -> None:
        self._sums, self._terms = edges, terms
        self._args = [*edges.arrays, *_as_arrays(terms, scale, shift)]

    def sum(self) -> Tensor:
        """As :meth:`Messages.sum`."""
        terms, n_sites = self._terms, self._sums.edges.n_sites
        summed = terms.new_empty(n_sites, terms.shape[1] // 2)

        def sum_part(start: int, stop: int) -> None:
            room = terms.new_empty(terms.shape[1])
            _numba_loops.sum_messages(
                start, stop, *self._args, *_as_arrays(room, summed)
            )

        run_parts(sum_part, self._sums.parts_by_center)
        return summed

    def sum_gradients(self, grad: Tensor) -> Tensor:
        """As :meth:`Messages.sum_gradients`."""
        terms, n_sites = self._terms, self._sums.edges.n_sites
        sums, grad = torch.empty_like(terms), grad.contiguous()
        _, to_neighbor, to_features = split_terms(sums, n_sites)

        def sum_part(start: int, stop: int) -> Tensor:
            to_neighbor[start:stop] = 0
            of_part = torch.zeros_like(to_features)
            room = terms.new_empty(2, terms.shape[1])
            arrays = _as_arrays(grad, room, sums, of_part)
            _numba_loops.sum_gradients(start, stop, *self._args, *arrays)
            return of_part

        to_features.copy_(sum_parts(sum_part, self._sums.parts))
        return sums


def _check_range(name: str, index: Tensor, size: int) -> None:
    """Check that an index leads to nothing that is not there."""
    if not index.numel():
        return
    least, most = (int(each) for each in index.aminmax())
    if least < 0 or most >= size:
        raise IndexError(f"{name} holds {least} to {most}, and must be within {size}")


def _as_arrays(*tensors: Tensor) -> list[Any]:
    """See tensors as arrays, as Numba takes them."""
    return [tensor.numpy() for tensor in tensors]
