"""A gated layer in loops that Numba compiles and products of NumPy, in threads."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from sklearn_cgcnn._ops import _numba_layer_loops as loops
from sklearn_cgcnn._ops._interface import LayerParameters
from sklearn_cgcnn._ops._numba_edges import NumbaEdges
from sklearn_cgcnn._ops._numba_messages import NumbaMessages
from sklearn_cgcnn._ops._numba_moments import NumbaMoments
from sklearn_cgcnn._ops._threads import run_over_ranges

Result = TypeVar("Result")


def _quiet(function: Callable[..., Result]) -> Callable[..., Result]:
    """Let a function not warn of numbers that are too large.

    They appear in a training that diverges, and then the loss tells.
    """

    @wraps(function)
    def call(*args: Any) -> Result:
        with np.errstate(over="ignore", invalid="ignore"):
            return function(*args)

    return call


class NumbaLayer:
    """Implement :class:`GatedLayer`, in single precision.

    Parameters
    ----------
    edges : NumbaEdges
    moments : NumbaMoments
    sites : Tensor of shape (n_sites, n_channels)
    site_fractions : Tensor of shape (n_sites,)
    parameters : LayerParameters
    """

    def __init__(
        self,
        edges: NumbaEdges,
        moments: NumbaMoments,
        sites: Tensor,
        site_fractions: Tensor,
        parameters: LayerParameters,
    ) -> None:
        self._moments, self._site_fractions = moments, site_fractions.numpy()
        self._sites = sites.contiguous().numpy()
        weight, edge_scale, edge_shift, site_scale, site_shift, eps = parameters
        n_channels, width = sites.shape[1], len(weight)
        self._weight = weight.numpy()
        shape = len(moments.coefficients), width
        self._terms, self._covariances = np.empty((2, *shape), np.float32)
        self._edge_vectors = np.empty((6, width), np.float32)
        self._site_vectors = np.empty((3, n_channels), np.float32)
        self._site_scale = site_scale.numpy()
        self._normalize(edge_scale.numpy(), edge_shift.numpy(), eps)
        z_scale, z_shift = self._edge_vectors[2:4]
        self._messages = NumbaMessages(edges, self._terms, z_scale, z_shift)
        self._standard, self._updated = np.empty((2, *sites.shape), np.float32)
        loops.update_sites(
            self._sites,
            self._messages.sum_rows(),
            self._site_fractions,
            self._site_scale,
            site_shift.numpy(),
            eps,
            np.empty(n_channels),
            self._standard,
            self._updated,
            *self._site_vectors,
        )

    @_quiet
    def _normalize(self, scale: Any, shift: Any, eps: float) -> None:
        """Compute terms, and mean and variance of their sums over the edges."""
        moments, sites, weight = self._moments, self._sites, self._weight
        terms, covariances = self._terms, self._covariances
        mean, var, z_scale, z_shift, inverse_std, features_mean = self._edge_vectors
        n_sites, n_channels = sites.shape
        feature_terms = terms[2 * n_sites :]
        feature_terms[:] = weight[:, 2 * n_channels :].T
        np.dot(moments.features_mean, feature_terms, out=features_mean)
        site_means = moments.site_coefficients @ sites
        np.dot(weight[:, : 2 * n_channels], site_means.ravel(), out=mean)
        mean += features_mean
        site_weight, by_side = _by_side(weight, n_channels), (2, n_sites, len(weight))
        site_terms = terms[: 2 * n_sites].reshape(by_side)
        site_covariances = covariances[: 2 * n_sites].reshape(by_side)

        @_quiet
        def sum_range(start: int, stop: int) -> tuple[Any, Any]:
            """Compute terms and covariances of a range of sites."""
            rows, var = slice(start, stop), np.zeros(len(mean))
            by_site, range_terms = moments.by_site[:, rows], site_terms[:, rows]
            centered = sites[rows] - site_means[:, None]
            np.matmul(centered, site_weight, out=range_terms)
            np.matmul(by_site, feature_terms, out=site_covariances[:, rows])
            from_sites = np.matmul(by_site.transpose(0, 2, 1), range_terms)
            loops.sum_covariances(
                start,
                stop,
                *moments.edges,
                moments.coefficients,
                terms,
                covariances,
                var,
            )
            return from_sites[0] + from_sites[1], var

        (from_sites, total_var), *others = run_over_ranges(
            sum_range, moments.site_ranges
        )
        for other_sites, other_var in others:
            from_sites += other_sites
            total_var += other_var
        from_sites += moments.covariance @ feature_terms
        covariances[2 * n_sites :] = from_sites
        total_var += np.einsum("rc,rc->c", feature_terms, from_sites)
        # Rounding may leave a variance of zero slightly negative.
        np.maximum(total_var, 0, out=var)
        inverse_std[:] = 1 / np.sqrt(var + eps)
        np.multiply(scale, inverse_std, out=z_scale)
        np.subtract(shift, z_scale * features_mean, out=z_shift)

    def outputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Implement :meth:`GatedLayer.outputs`."""
        arrays = self._updated, *self._edge_vectors[:2], *self._site_vectors[:2]
        sites, edge_mean, edge_var, site_mean, site_var = map(torch.from_numpy, arrays)
        return sites, edge_mean, edge_var, site_mean, site_var

    @_quiet
    def backward(self, grad: Tensor) -> tuple[Tensor, ...]:
        """Implement :meth:`GatedLayer.backward`."""
        moments, sites, weight = self._moments, self._sites, self._weight
        grad_sites, grad_summed = np.empty((2, *sites.shape), np.float32)
        site_grads = np.empty((2, sites.shape[1]), np.float32)
        loops.update_sites_backward(
            grad.contiguous().numpy(),
            self._updated,
            self._standard,
            self._site_fractions,
            self._site_scale,
            self._site_vectors[2],
            *np.empty((2, sites.shape[1])),
            grad_sites,
            grad_summed,
            *site_grads,
        )
        grads = self._messages.sum_row_gradients(grad_summed)
        _, _, z_scale, _, inverse_std, features_mean = self._edge_vectors
        (n_sites, n_channels), width = sites.shape, len(z_scale)
        edge_grads = np.empty((2, width), np.float32)
        loops.normalize_layer_backward(
            self._terms,
            grads,
            n_sites,
            features_mean,
            inverse_std,
            *np.empty((2, width)),
            *edge_grads,
        )
        constants = (
            moments.coefficients,
            self._covariances,
            inverse_std,
            z_scale,
            *edge_grads,
            n_sites,
            grads,
        )

        site_weight = _by_side(weight, n_channels)
        term_grads = grads[: 2 * n_sites].reshape(2, n_sites, width)

        @_quiet
        def project_range(start: int, stop: int) -> Any:
            """Compute gradients of terms, sites and weight, for a range of sites."""
            loops.term_gradients(start, stop, *constants)
            range_grads = term_grads[:, start:stop]
            first, second = np.matmul(range_grads, site_weight.transpose(0, 2, 1))
            grad_sites[start:stop] += first
            grad_sites[start:stop] += second
            grad_weight = np.empty(weight.shape, np.float32)
            np.matmul(
                range_grads.transpose(0, 2, 1),
                sites[start:stop],
                out=_by_side(grad_weight, n_channels).transpose(0, 2, 1),
            )
            return grad_weight

        grad_weight, *others = run_over_ranges(project_range, moments.site_ranges)
        for other in others:
            grad_weight[:, : 2 * n_channels] += other[:, : 2 * n_channels]
        grad_weight[:, 2 * n_channels :] = grads[2 * n_sites :].T
        results = grad_sites, grad_weight, *edge_grads, *site_grads
        return tuple(map(torch.from_numpy, results))


def _by_side(weight: Any, n_channels: int) -> Any:
    """Return what a weight applies to the sites, as centers and as neighbors.

    It is a view of the weight, of shape (2, n_channels, width).
    """
    columns = weight[:, : 2 * n_channels]
    return columns.reshape(len(weight), 2, n_channels).transpose(1, 2, 0)
