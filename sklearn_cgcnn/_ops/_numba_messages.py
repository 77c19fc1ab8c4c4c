"""Sums of messages in loops that Numba compiles."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_cgcnn._ops import _numba_loops
from sklearn_cgcnn._ops._interface import Activation
from sklearn_cgcnn._ops._numba_buffers import Buffer
from sklearn_cgcnn._ops._numba_edges import NumbaEdges
from sklearn_cgcnn._ops._threads import run_over_ranges


class NumbaMessages:
    """Messages of all edges. What the gradients need is kept from the sums.

    Parameters
    ----------
    edges : NumbaEdges
    terms : ndarray of shape (2 * n_sites + n_features, 2 * n_channels)
    scale, shift : ndarray of shape (2 * n_channels,)
    activation : {"softplus", "silu"}, default="softplus"
    """

    def __init__(
        self,
        edges: NumbaEdges,
        terms: Any,
        scale: Any,
        shift: Any,
        activation: Activation = "softplus",
    ) -> None:
        self._edges, self._is_silu = edges, activation == "silu"
        self._args = [*edges.arrays, terms, scale, shift, self._is_silu]
        self._shape = terms.shape

    def sum(self, keep: bool = True) -> Tensor:
        """Implement :meth:`GatedMessages.sum`."""
        return torch.from_numpy(self.sum_rows(keep))

    def sum_gradients(self, grad: Tensor) -> Tensor:
        """Implement :meth:`GatedMessages.sum_gradients`."""
        return torch.from_numpy(self.sum_row_gradients(grad.contiguous().numpy()))

    def sum_rows(self, keep: bool = True) -> Any:
        """Sum the weighted messages to each site.

        Parameters
        ----------
        keep : bool, default=True
            Whether to keep what the gradients need.

        Returns
        -------
        ndarray of shape (n_sites, n_channels)
        """
        n_sites, width = self._edges.edges.n_sites, self._shape[1]
        summed = np.empty((n_sites, width // 2), np.float32)
        n_kept = len(self._edges.edges) if keep else 0
        self._buffer = Buffer(n_kept, width)
        kept = self._buffer.array

        def sum_range(start: int, stop: int) -> None:
            buffer = np.empty((2, width), np.float32)
            _numba_loops.sum_messages(start, stop, *self._args, buffer, summed, kept)

        run_over_ranges(sum_range, self._edges.center_ranges)
        return summed

    def sum_row_gradients(self, grad: Any) -> Any:
        """Sum the gradients of y over the edges that each term contributes to.

        Parameters
        ----------
        grad : ndarray of shape (n_sites, n_channels)
            Gradient of the sums of the messages.

        Returns
        -------
        ndarray of shape (2 * n_sites + n_features, 2 * n_channels)
        """
        n_sites, (n_rows, width) = self._edges.edges.n_sites, self._shape
        sums = np.empty(self._shape, np.float32)
        neighbor_sums, feature_sums = sums[n_sites : 2 * n_sites], sums[2 * n_sites :]

        def sum_range(start: int, stop: int) -> Any:
            neighbor_sums[start:stop] = 0
            range_feature_sums = np.zeros((n_rows - 2 * n_sites, width), np.float32)
            buffer = np.empty(width, np.float32)
            _numba_loops.sum_gradients(
                start,
                stop,
                *self._edges.arrays,
                self._is_silu,
                self._buffer.array,
                grad,
                buffer,
                sums,
                range_feature_sums,
            )
            return range_feature_sums

        first, *others = run_over_ranges(sum_range, self._edges.site_ranges)
        feature_sums[:] = sum(others, start=first)
        return sums
