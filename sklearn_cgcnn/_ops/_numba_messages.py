"""Sums of messages in loops that Numba compiles."""

from functools import partial
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
        summed = self.begin(keep)
        run_over_ranges(partial(self.sum_range, summed), self._edges.center_ranges)
        return summed

    def begin(self, keep: bool = True) -> Any:
        """Return an array that `sum_range` can write to.

        Parameters
        ----------
        keep : bool, default=True
            Whether to keep what the gradients need.

        Returns
        -------
        ndarray of shape (n_sites, n_channels)
        """
        n_sites, width = self._edges.edges.n_sites, self._shape[1]
        self._buffer = Buffer(len(self._edges.edges) if keep else 0, width)
        return np.empty((n_sites, width // 2), np.float32)

    def sum_range(self, summed: Any, start: int, stop: int) -> None:
        """Sum the weighted messages to a range of sites, after `begin`.

        Parameters
        ----------
        summed : ndarray of shape (n_sites, n_channels)
            What `begin` returned.
        start, stop : int
            The range.
        """
        buffer = np.empty((2, self._shape[1]), np.float32)
        _numba_loops.sum_messages(
            start, stop, *self._args, buffer, summed, self._buffer.array
        )

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
        sums, n_sites = np.empty(self._shape, np.float32), len(grad)
        work = partial(self.sum_gradients_of_range, grad, sums)
        first, *others = run_over_ranges(work, self._edges.site_ranges)
        sums[2 * n_sites :] = sum(others, start=first)
        return sums

    def sum_gradients_of_range(
        self, grad: Any, sums: Any, start: int, stop: int
    ) -> Any:
        """Sum the gradients of y over the edges of a range of sites.

        Parameters
        ----------
        grad : ndarray of shape (n_sites, n_channels)
            Gradient of the sums of the messages.
        sums : ndarray of shape (2 * n_sites + n_features, 2 * n_channels)
            Where the sums of the terms of these sites are written.
        start, stop : int
            The range. No edge connects it with other sites.

        Returns
        -------
        ndarray of shape (n_features, 2 * n_channels)
            What these edges add to the sums of the terms of the features.
        """
        n_sites, (n_rows, width) = len(grad), self._shape
        sums[n_sites + start : n_sites + stop] = 0
        feature_sums = np.zeros((n_rows - 2 * n_sites, width), np.float32)
        _numba_loops.sum_gradients(
            start,
            stop,
            *self._edges.arrays,
            self._is_silu,
            self._buffer.array,
            grad,
            np.empty(width, np.float32),
            sums,
            feature_sums,
        )
        return feature_sums
