"""Sums over edges in loops that Numba compiles, divided among threads."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from typing import ClassVar

import torch
from torch import Tensor

from sklearn_cgcnn._ops._edge_list import EdgeList
from sklearn_cgcnn._ops._interface import (
    Activation,
    EdgeMoments,
    GatedLayer,
    GatedMessages,
    LayerParameters,
    NormalizedTerms,
    UpdateLayer,
    UpdateParameters,
)
from sklearn_cgcnn._ops._numba_edges import NumbaEdges
from sklearn_cgcnn._ops._numba_layer import NumbaLayer
from sklearn_cgcnn._ops._numba_messages import NumbaMessages
from sklearn_cgcnn._ops._numba_moments import NumbaMoments
from sklearn_cgcnn._ops._numba_update_layer import NumbaUpdateLayer
from sklearn_cgcnn._ops._torch_backend import TorchEdgeSums
from sklearn_cgcnn._ops._torch_blocks import block_size
from sklearn_cgcnn._ops._torch_layer import TorchLayer


class NumbaEdgeSums(NumbaEdges):
    """Compute the sums in loops that Numba compiles, for single precision on a CPU.

    Coefficients, covariances of features and variances are accumulated in double
    precision.

    Parameters
    ----------
    edges : EdgeList
        With float32 weights and values.
    n_threads : int
        Largest number of threads that share the work.

    Raises
    ------
    IndexError
        If an index of a site or of an edge feature is out of range.
    """

    has_update_layers: ClassVar[bool] = True

    def messages(
        self,
        terms: Tensor,
        scale: Tensor,
        shift: Tensor,
        activation: Activation = "softplus",
    ) -> GatedMessages:
        """Implement :meth:`EdgeSums.messages`."""
        return NumbaMessages(
            self, terms.numpy(), scale.numpy(), shift.numpy(), activation
        )

    def moments(self, multiplicity: Tensor) -> EdgeMoments:
        """Implement :meth:`EdgeSums.moments`."""
        _prepare_layer_loops()
        return _Moments(self, multiplicity)

    def update_layer(
        self,
        sites: Tensor,
        site_fractions: Tensor,
        parameters: UpdateParameters,
        activation: Activation,
    ) -> UpdateLayer:
        """Implement :meth:`UpdateSums.update_layer`."""
        _prepare_update_loops()
        return NumbaUpdateLayer(self, sites, site_fractions, parameters, activation)


class _Moments:
    """Implement :class:`EdgeMoments`."""

    def __init__(self, sums: NumbaEdgeSums, multiplicity: Tensor) -> None:
        self.arrays = NumbaMoments(sums, multiplicity)
        self._sums, self._multiplicity = sums, multiplicity

    @cached_property
    def _by_torch(self) -> EdgeMoments:
        """The same moments, computed by torch."""
        sums = TorchEdgeSums(self._sums.edges, block_size(with_gradient=True))
        return sums.moments(self._multiplicity)

    def normalize(
        self, sites: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, eps: float
    ) -> NormalizedTerms:
        """Implement :meth:`EdgeMoments.normalize`.

        Torch computes it, because it is needed only in rare cases: in layers with one
        norm frozen, and for rounded weights.
        """
        return self._by_torch.normalize(sites, weight, scale, shift, eps)

    def layer(
        self, sites: Tensor, site_fractions: Tensor, parameters: LayerParameters
    ) -> GatedLayer:
        """Implement :meth:`EdgeMoments.layer`."""
        if parameters.weight.dtype != torch.float32:  # rounded, under autocast
            return TorchLayer(self, sites, site_fractions, parameters)
        return NumbaLayer(self._sums, self.arrays, sites, site_fractions, parameters)


@cache
def prepare_loops() -> None:
    """Compile the loops that every network needs, or load them from the disk.

    This takes two seconds if nothing is on the disk, and is done once in a process.
    """
    with _paused_garbage_collection():
        messages = _smallest_sums().messages(torch.ones(3, 2), *torch.ones(2, 2))
        messages.sum()
        messages.sum_gradients(torch.ones(1, 1))


@cache
def _prepare_layer_loops() -> None:
    """Compile the loops of a gated layer with a norm over the edges, or load them.

    This takes two seconds if nothing is on the disk, and is done once in a process.
    """
    one, two = torch.ones(1), torch.ones(2)
    parameters = LayerParameters(torch.ones(2, 3), two, two, one, one, 1e-5)
    with _paused_garbage_collection(), torch.no_grad():
        layer = _Moments(_smallest_sums(), one).layer(torch.ones(1, 1), one, parameters)
        layer.backward(torch.ones(1, 1))


@cache
def _prepare_update_loops() -> None:
    """Compile the loops of a layer with a learned update, or load them.

    This takes a second if nothing is on the disk, and is done once in a process.
    """
    one, two = torch.ones(1), torch.ones(2)
    parameters = UpdateParameters(
        None, torch.ones(2, 3), two, one, one, torch.ones(1, 2), one, 1e-5
    )
    with _paused_garbage_collection(), torch.no_grad():
        layer = NumbaUpdateLayer(
            _smallest_sums(), torch.ones(1, 1), one, parameters, "silu"
        )
        layer.backward(torch.ones(1, 1))


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Pause Python's garbage collection.

    Compiling creates many objects, and each collection would visit all those of torch
    and pymatgen too, which takes a third of the time.
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_collecting:
            gc.enable()


def _smallest_sums() -> NumbaEdgeSums:
    """Return the sums of a graph with one site, one edge and one feature."""
    edges = EdgeList(
        edge_index=torch.zeros(2, 1, dtype=torch.int64),
        weights=torch.ones(1),
        n_sites=1,
        columns=torch.zeros(1, 1, dtype=torch.int64),
        values=torch.ones(1, 1),
        n_features=1,
    )
    return NumbaEdgeSums(edges, n_threads=1)
