"""A gated layer in loops that Numba compiles, divided among threads."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_cgcnn._ops import _numba_layer_loops as loops
from sklearn_cgcnn._ops._interface import LayerParameters
from sklearn_cgcnn._ops._numba_edges import NumbaEdges
from sklearn_cgcnn._ops._numba_messages import NumbaMessages
from sklearn_cgcnn._ops._numba_moments import NumbaMoments
from sklearn_cgcnn._ops._threads import run_over_ranges


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
        self._weight = weight.T.contiguous().numpy()
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
            self._standard,
            self._updated,
            *self._site_vectors,
        )

    def _normalize(self, scale: Any, shift: Any, eps: float) -> None:
        """Compute terms, and mean and variance of their sums over the edges."""
        moments, sites, weight = self._moments, self._sites, self._weight
        terms, covariances = self._terms, self._covariances
        mean, var, z_scale, z_shift, inverse_std, features_mean = self._edge_vectors
        site_means = np.empty((2, sites.shape[1]), np.float32)
        loops.prepare_layer(
            sites,
            weight,
            moments.coefficients,
            site_means,
            terms,
            features_mean,
            mean,
        )

        def sum_range(start: int, stop: int) -> tuple[Any, Any]:
            from_sites = np.empty((len(moments.covariance), terms.shape[1]), np.float32)
            squares = np.empty(terms.shape[1])
            loops.sum_covariances(
                start,
                stop,
                *moments.edges,
                moments.coefficients,
                moments.by_site,
                sites,
                site_means,
                weight,
                terms,
                covariances,
                from_sites,
                squares,
            )
            return from_sites, squares

        (from_sites, squares), *others = run_over_ranges(sum_range, moments.site_ranges)
        for other_sites, other_squares in others:
            from_sites += other_sites
            squares += other_squares
        loops.normalize_layer(
            moments.covariance,
            terms,
            features_mean,
            from_sites,
            squares,
            scale,
            shift,
            eps,
            covariances,
            var,
            inverse_std,
            z_scale,
            z_shift,
        )

    def outputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Implement :meth:`GatedLayer.outputs`."""
        arrays = self._updated, *self._edge_vectors[:2], *self._site_vectors[:2]
        sites, edge_mean, edge_var, site_mean, site_var = map(torch.from_numpy, arrays)
        return sites, edge_mean, edge_var, site_mean, site_var

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
            grad_sites,
            grad_summed,
            *site_grads,
        )
        grads = self._messages.sum_row_gradients(grad_summed)
        _, _, z_scale, _, inverse_std, features_mean = self._edge_vectors
        n_sites, width = len(sites), len(z_scale)
        edge_grads = np.empty((2, width), np.float32)
        loops.normalize_layer_backward(
            self._terms, grads, n_sites, features_mean, inverse_std, *edge_grads
        )
        constants = (
            moments.coefficients,
            self._covariances,
            inverse_std,
            z_scale,
            *edge_grads,
        )

        def project_range(start: int, stop: int) -> Any:
            grad_weight = np.empty_like(weight)
            loops.project_gradients(
                start, stop, *constants, sites, weight, grads, grad_sites, grad_weight
            )
            return grad_weight

        grad_weight, *others = run_over_ranges(project_range, moments.site_ranges)
        for other in others:
            grad_weight[: 2 * sites.shape[1]] += other[: 2 * sites.shape[1]]
        results = grad_sites, grad_weight.T, *edge_grads, *site_grads
        return tuple(map(torch.from_numpy, results))
