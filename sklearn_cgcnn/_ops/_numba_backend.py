"""Sums over edges in loops that Numba compiles, divided among threads."""

import torch
from torch import Tensor

from sklearn_cgcnn._ops._interface import (
    EdgeMoments,
    GatedLayer,
    GatedMessages,
    LayerParameters,
    NormalizedTerms,
)
from sklearn_cgcnn._ops._numba_edges import NumbaEdges
from sklearn_cgcnn._ops._numba_layer import NumbaLayer
from sklearn_cgcnn._ops._numba_messages import NumbaMessages
from sklearn_cgcnn._ops._numba_moments import NumbaMoments
from sklearn_cgcnn._ops._torch_backend import TorchEdgeSums
from sklearn_cgcnn._ops._torch_blocks import block_size
from sklearn_cgcnn._ops._torch_layer import TorchLayer


class NumbaEdgeSums(NumbaEdges):
    """Compute the sums in loops that Numba compiles, for single precision on a CPU.

    Means, covariances and variances are accumulated in double precision.

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

    def messages(self, terms: Tensor, scale: Tensor, shift: Tensor) -> GatedMessages:
        """Implement :meth:`EdgeSums.messages`."""
        return NumbaMessages(self, terms.numpy(), scale.numpy(), shift.numpy())

    def moments(self, multiplicity: Tensor) -> EdgeMoments:
        """Implement :meth:`EdgeSums.moments`."""
        return _Moments(self, multiplicity)


class _Moments:
    """Implement :class:`EdgeMoments`."""

    def __init__(self, sums: NumbaEdgeSums, multiplicity: Tensor) -> None:
        self.arrays = NumbaMoments(sums, multiplicity)
        self._sums, self._multiplicity = sums, multiplicity

    def normalize(
        self, sites: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, eps: float
    ) -> NormalizedTerms:
        """Implement :meth:`EdgeMoments.normalize`.

        Torch computes it, as it is for rare cases: layers with one norm frozen, and
        rounded weights.
        """
        sums = TorchEdgeSums(self._sums.edges, block_size(with_gradient=True))
        moments = sums.moments(self._multiplicity)
        return moments.normalize(sites, weight, scale, shift, eps)

    def layer(
        self, sites: Tensor, site_fractions: Tensor, parameters: LayerParameters
    ) -> GatedLayer:
        """Implement :meth:`EdgeMoments.layer`."""
        if parameters.weight.dtype != torch.float32:  # rounded, under autocast
            return TorchLayer(self, sites, site_fractions, parameters)
        return NumbaLayer(self._sums, self.arrays, sites, site_fractions, parameters)
