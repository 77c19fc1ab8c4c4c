"""A layer with a learned update, in loops that Numba compiles and products of NumPy."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_cgcnn._ops import _numba_update_loops as loops
from sklearn_cgcnn._ops._interface import Activation, UpdateParameters
from sklearn_cgcnn._ops._numba_edges import NumbaEdges
from sklearn_cgcnn._ops._numba_messages import NumbaMessages
from sklearn_cgcnn._ops._numba_sides import columns_by_side, quiet, rows_by_side
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
            self._weight,
            shift,
            self._site_scale,
            site_shift,
            self._update_weight,
            update_bias,
        ) = (each.numpy() for each in tensors)
        self._table = None if table is None else table.numpy()
        self._ranges, self._fractions = edges.site_ranges, site_fractions.numpy()
        # Site vectors and, when they are known, normalized sums.
        self._inputs = np.empty((2, *sites.shape), np.float32)
        self._inputs[0] = sites.numpy()
        self._messages = NumbaMessages(
            edges, self._terms(), np.ones_like(shift), shift, activation
        )
        self._normalize(self._messages.sum_rows(), site_shift)
        self._update(update_bias, activation)

    @quiet
    def _terms(self) -> Any:
        """Compute the terms of the arguments of the gates."""
        _, n_sites, n_channels = self._inputs.shape
        of_features = self._weight[:, 2 * n_channels :].T
        n_features = len(of_features if self._table is None else self._table)
        terms = np.empty((2 * n_sites + n_features, len(self._weight)), np.float32)
        if self._table is None:
            terms[2 * n_sites :] = of_features
        else:
            np.matmul(self._table, of_features, out=terms[2 * n_sites :])
        _multiply(
            self._inputs[:1],
            columns_by_side(self._weight, n_channels),
            rows_by_side(terms, n_sites),
            self._ranges,
        )
        return terms

    def _normalize(self, summed: Any, shift: Any) -> None:
        """Normalize the sums of messages over the sites."""
        n_channels = summed.shape[1]
        self._standard = np.empty_like(summed)
        self._mean, self._var, self._inverse_std = np.empty((3, n_channels), np.float32)
        loops.normalize_sums(
            summed,
            self._fractions,
            self._site_scale,
            shift,
            self._eps,
            np.empty(n_channels),
            self._standard,
            self._inputs[1],
            self._mean,
            self._var,
            self._inverse_std,
        )

    @quiet
    def _update(self, bias: Any, activation: Activation) -> None:
        """Compute the new site vectors from the old ones and the normalized sums."""
        parts = np.empty_like(self._inputs)
        weight = columns_by_side(self._update_weight, len(bias))
        _multiply(self._inputs, weight, parts, self._ranges)
        self._slopes, self._updated = np.empty_like(parts)
        loops.update_sites(
            self._inputs[0],
            parts,
            bias,
            activation == "silu",
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
        grad_rows = grad.contiguous().numpy()
        grad_inputs, *grad_update = self._update_gradients(grad_rows)
        grad_summed, *grad_norm = self._norm_gradients(grad_inputs[1])
        grads = self._messages.sum_row_gradients(grad_summed)
        n_sites, n_channels = grad_rows.shape
        weight = columns_by_side(self._weight, n_channels)
        of_sites = rows_by_side(grads, n_sites)
        from_terms = np.empty_like(self._inputs)
        _multiply(of_sites, weight.transpose(0, 2, 1), from_terms, self._ranges)
        grad_sites = grad_rows + grad_inputs[0]
        grad_sites += from_terms[0]
        grad_sites += from_terms[1]
        grad_table, grad_weight = self._weight_gradients(grads, of_sites)
        # Every edge has one center, so that the rows of the centers hold every edge.
        grad_shift = np.ones(n_sites, np.float32) @ grads[:n_sites]
        results = (
            grad_sites,
            grad_table,
            grad_weight,
            grad_shift,
            *grad_norm,
            *grad_update,
        )
        return tuple(
            None if each is None else torch.from_numpy(each) for each in results
        )

    def _weight_gradients(self, grads: Any, of_sites: Any) -> tuple[Any, Any]:
        """Return the gradients of the table, if there is one, and of the weight."""
        _, n_sites, n_channels = self._inputs.shape
        of_features, grad_table = grads[2 * n_sites :], None
        grad_weight = np.empty_like(self._weight)
        _write_weight_gradient(self._inputs[:1], of_sites, self._ranges, grad_weight)
        if self._table is None:
            grad_weight[:, 2 * n_channels :] = of_features.T
        else:
            grad_weight[:, 2 * n_channels :] = of_features.T @ self._table
            grad_table = of_features @ self._weight[:, 2 * n_channels :]
        return grad_table, grad_weight

    def _update_gradients(self, grad: Any) -> tuple[Any, Any, Any]:
        """Return the gradients of the inputs, the weight and the bias of the update."""
        n_channels = grad.shape[1]
        grad_argument = np.empty((1, *grad.shape), np.float32)
        grad_bias = np.empty(n_channels, np.float32)
        loops.update_sites_backward(
            grad, self._slopes, np.empty(n_channels), grad_argument[0], grad_bias
        )
        weight = columns_by_side(self._update_weight, n_channels)
        grad_inputs = np.empty_like(self._inputs)
        _multiply(grad_argument, weight.transpose(0, 2, 1), grad_inputs, self._ranges)
        grad_weight = np.empty_like(self._update_weight)
        _write_weight_gradient(self._inputs, grad_argument, self._ranges, grad_weight)
        return grad_inputs, grad_weight, grad_bias

    def _norm_gradients(self, grad: Any) -> tuple[Any, Any, Any]:
        """Return the gradients of the sums of messages, and of site scale and shift."""
        n_channels = grad.shape[1]
        grad_summed = np.empty_like(grad)
        grad_scale, grad_shift = np.empty((2, n_channels), np.float32)
        loops.normalize_sums_backward(
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


def _multiply(rows: Any, weight: Any, out: Any, ranges: Any) -> None:
    """Multiply rows of both sides with the weights of both sides, range by range.

    `rows`, `weight` and `out` have the shapes (2, n_sites, n), (2, n, m) and (2,
    n_sites, m). The first dimension of `rows` may be one.
    """
    run_over_ranges(partial(_multiply_range, rows, weight, out), ranges)


@quiet
def _multiply_range(rows: Any, weight: Any, out: Any, start: int, stop: int) -> None:
    np.matmul(rows[:, start:stop], weight, out=out[:, start:stop])


def _write_weight_gradient(inputs: Any, grads: Any, ranges: Any, out: Any) -> None:
    """Compute the gradient of a weight, in the columns that belong to the two sides.

    `inputs` and `grads` have the shapes (2, n_sites, n) and (2, n_sites, m). The first
    dimension of one of them may be one.
    """
    work = partial(_multiply_columns, inputs, grads)
    total, *others = run_over_ranges(work, ranges)
    for other in others:
        total += other
    columns_by_side(out, inputs.shape[2])[:] = total


@quiet
def _multiply_columns(inputs: Any, grads: Any, start: int, stop: int) -> Any:
    return np.matmul(inputs[:, start:stop].transpose(0, 2, 1), grads[:, start:stop])
