"""A layer with a learned update, in loops that Numba compiles and products of NumPy.

Only the normalization over the sites needs all sites of the batch. What comes before it
and after it is computed for a range of sites at a time, one range in each thread. There
are only four such parts in a step, because threads wait for each other after each.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_cgcnn._ops import _numba_update_loops as loops
from sklearn_cgcnn._ops._interface import Activation, UpdateParameters
from sklearn_cgcnn._ops._numba_edges import NumbaEdges
from sklearn_cgcnn._ops._numba_messages import NumbaMessages
from sklearn_cgcnn._ops._numba_quiet import quiet
from sklearn_cgcnn._ops._numba_sides import columns_by_side, rows_by_side
from sklearn_cgcnn._ops._numba_site_norm import standardize_backward
from sklearn_cgcnn._ops._threads import run_over_ranges


class NumbaUpdateLayer:
    """Implement :class:`UpdateLayer`, in single precision.

    Parameters
    ----------
    edges : NumbaEdges
    sites : Tensor of shape (n_sites, n_channels)
    site_fractions : Tensor of shape (n_sites,)
    parameters : UpdateParameters
    activation : {"softplus", "silu"}
    """

    def __init__(
        self,
        edges: NumbaEdges,
        sites: Tensor,
        site_fractions: Tensor,
        parameters: UpdateParameters,
        activation: Activation,
    ) -> None:
        table, *tensors, self._eps = parameters
        (
            weight,
            shift,
            self._site_scale,
            self._site_shift,
            update_weight,
            self._update_bias,
        ) = (each.numpy() for each in tensors)
        self._table = None if table is None else table.numpy()
        n_sites, n_channels = sites.shape
        self._ranges, self._fractions = edges.site_ranges, site_fractions.numpy()
        # Site vectors and, when they are known, normalized sums.
        self._inputs = np.empty((2, n_sites, n_channels), np.float32)
        self._inputs[0] = sites.numpy()
        self._is_silu = activation == "silu"
        self._site_weight = columns_by_side(weight, n_channels)
        self._feature_weight = weight[:, 2 * n_channels :]
        self._update_weight = columns_by_side(update_weight, n_channels)

        self._terms = self._begin_terms(n_sites)
        self._messages = NumbaMessages(
            edges, self._terms, np.ones_like(shift), shift, activation
        )
        summed = self._messages.begin()
        run_over_ranges(partial(self._sum_messages, summed), self._ranges)
        self._normalize(summed)
        self._slopes, self._updated = np.empty((2, n_sites, n_channels), np.float32)
        run_over_ranges(self._update, self._ranges)

    @quiet
    def _begin_terms(self, n_sites: int) -> Any:
        """Return the terms, of which those of the features are computed."""
        of_features = self._feature_weight.T
        if self._table is not None:
            of_features = np.matmul(self._table, of_features)
        n_features, width = of_features.shape
        terms = np.empty((2 * n_sites + n_features, width), np.float32)
        terms[2 * n_sites :] = of_features
        return terms

    @quiet
    def _sum_messages(self, summed: Any, start: int, stop: int) -> None:
        """Compute the terms of a range of sites, and sum the messages to them."""
        _, n_sites, _ = self._inputs.shape
        np.matmul(
            self._inputs[0, start:stop],
            self._site_weight,
            out=rows_by_side(self._terms, n_sites)[:, start:stop],
        )
        self._messages.sum_range(summed, start, stop)

    def _normalize(self, summed: Any) -> None:
        """Normalize the sums of messages over the sites."""
        n_channels = summed.shape[1]
        self._standard = np.empty_like(summed)
        self._mean, self._var, self._inverse_std = np.empty((3, n_channels), np.float32)
        loops.normalize_sums(
            summed,
            self._fractions,
            self._site_scale,
            self._site_shift,
            self._eps,
            np.empty(n_channels),
            self._standard,
            self._inputs[1],
            self._mean,
            self._var,
            self._inverse_std,
        )

    @quiet
    def _update(self, start: int, stop: int) -> None:
        """Compute the new vectors of a range of sites."""
        loops.update_sites(
            start,
            stop,
            self._inputs[0],
            np.matmul(self._inputs[:, start:stop], self._update_weight),
            self._update_bias,
            self._is_silu,
            self._slopes,
            self._updated,
        )

    def outputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Implement :meth:`UpdateLayer.outputs`."""
        return (
            torch.from_numpy(self._updated),
            torch.from_numpy(self._mean),
            torch.from_numpy(self._var),
        )

    @quiet
    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Implement :meth:`UpdateLayer.backward`."""
        grad_updated = grad.contiguous().numpy()
        grad_inputs = np.empty_like(self._inputs)
        of_update = partial(self._update_gradients, grad_updated, grad_inputs)
        grad_weight, grad_bias = _sum(run_over_ranges(of_update, self._ranges))
        grad_update = _joined(grad_weight), grad_bias.astype(np.float32)
        grad_summed, *grad_norm = self._norm_gradients(grad_inputs[1])
        grad_sites = grad_updated + grad_inputs[0]
        of_messages = partial(self._message_gradients, grad_summed, grad_sites)
        sums = _sum(run_over_ranges(of_messages, self._ranges))
        grads = grad_sites, *self._weight_gradients(*sums), *grad_norm, *grad_update
        return tuple(None if each is None else torch.from_numpy(each) for each in grads)

    @quiet
    def _update_gradients(
        self, grad: Any, grad_inputs: Any, start: int, stop: int
    ) -> tuple[Any, Any]:
        """Write the gradients of the inputs of the update, for a range of sites.

        Return what the range adds to the gradients of the weight and of the bias.
        """
        grad_argument = np.empty((stop - start, grad.shape[1]), np.float32)
        grad_bias = np.zeros(grad.shape[1])
        loops.update_sites_backward(
            start, stop, grad, self._slopes, grad_argument, grad_bias
        )
        weight = self._update_weight.transpose(0, 2, 1)
        np.matmul(grad_argument, weight, out=grad_inputs[:, start:stop])
        inputs = self._inputs[:, start:stop]
        grad_weight = np.matmul(inputs.transpose(0, 2, 1), grad_argument)
        return grad_weight, grad_bias

    def _norm_gradients(self, grad: Any) -> tuple[Any, Any, Any]:
        """Return the gradients of the sums of messages, and of site scale and shift."""
        n_channels = grad.shape[1]
        grad_summed = np.empty_like(grad)
        grad_scale, grad_shift = np.empty((2, n_channels), np.float32)
        standardize_backward(
            grad,
            self._standard,
            self._fractions,
            self._site_scale,
            self._inverse_std,
            *np.empty((2, n_channels)),
            grad_summed,
            grad_scale,
            grad_shift,
        )
        return grad_summed, grad_scale, grad_shift

    @quiet
    def _message_gradients(
        self, grad_summed: Any, grad_sites: Any, start: int, stop: int
    ) -> tuple[Any, Any, Any]:
        """Add what the messages contribute to the gradients of a range of sites.

        Return what the range adds to the gradients of the terms of the features, of the
        part of the weight that acts on the sites, and of the shift.
        """
        _, n_sites, _ = self._inputs.shape
        # The terms themselves are not needed any more.
        grads = self._terms
        of_features = self._messages.sum_gradients_of_range(
            grad_summed, grads, start, stop
        )
        of_sites = rows_by_side(grads, n_sites)[:, start:stop]
        inputs = self._inputs[0, start:stop]
        from_terms = np.matmul(of_sites, self._site_weight.transpose(0, 2, 1))
        grad_sites[start:stop] += from_terms[0]
        grad_sites[start:stop] += from_terms[1]
        grad_weight = np.matmul(inputs.T, of_sites)
        # Every edge has one center, so that the rows of the centers hold every edge.
        grad_shift = np.ones(stop - start, np.float32) @ of_sites[0]
        return of_features, grad_weight, grad_shift

    @quiet
    def _weight_gradients(
        self, of_features: Any, of_sites: Any, grad_shift: Any
    ) -> tuple[Any, Any, Any]:
        """Return the gradients of the table, if there is one, the weight and the shift.

        `of_features` and `of_sites` are what features and sites contribute to that of
        the weight.
        """
        grad_table, from_features = None, of_features
        if self._table is not None:
            grad_table = of_features @ self._feature_weight
            from_features = self._table.T @ of_features
        return grad_table, _joined([*of_sites, from_features]), grad_shift


def _sum(parts: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Sum the results of several ranges, one by one."""
    return tuple(
        sum(others, start=first) for first, *others in zip(*parts, strict=True)
    )


def _joined(blocks: Any) -> Any:
    """Join blocks of rows, and return the transposed matrix, contiguous."""
    return np.ascontiguousarray(np.concatenate(blocks).T)
