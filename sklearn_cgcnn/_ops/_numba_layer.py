"""A gated layer in loops that Numba compiles and products of NumPy, in threads."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_cgcnn._ops import _numba_layer_loops as loops
from sklearn_cgcnn._ops._interface import LayerParameters
from sklearn_cgcnn._ops._numba_edges import NumbaEdges
from sklearn_cgcnn._ops._numba_messages import NumbaMessages
from sklearn_cgcnn._ops._numba_moments import NumbaMoments
from sklearn_cgcnn._ops._numba_quiet import quiet
from sklearn_cgcnn._ops._numba_sides import columns_by_side, rows_by_side
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
        weight, edge_scale, edge_shift, site_scale, site_shift, eps = parameters
        self._moments, self._site_fractions = moments, site_fractions.numpy()
        self._sites, self._weight = sites.contiguous().numpy(), weight.numpy()
        self._site_scale = site_scale.numpy()
        self._normalize(edge_scale.numpy(), edge_shift.numpy(), eps)
        self._messages = NumbaMessages(edges, self._terms, self._z_scale, self._z_shift)
        self._update_sites(self._messages.sum_rows(), site_shift.numpy(), eps)

    @quiet
    def _normalize(self, scale: Any, shift: Any, eps: float) -> None:
        """Compute the terms of z, and the scale and the shift that normalize it."""
        moments, weight = self._moments, self._weight
        n_sites, n_channels = self._sites.shape
        shape = len(moments.mean_coefficients), len(weight)
        self._terms, self._covariances = np.empty((2, *shape), np.float32)
        feature_terms = self._terms[2 * n_sites :]
        feature_terms[:] = weight[:, 2 * n_channels :].T
        self._mean_from_features = np.dot(moments.feature_means, feature_terms)
        site_means = moments.site_coefficients @ self._sites
        self._mean = np.dot(weight[:, : 2 * n_channels], site_means.ravel())
        self._mean += self._mean_from_features
        var = self._compute_covariances(site_means)
        # Rounding may leave a variance of zero slightly negative.
        self._var = np.maximum(var, 0).astype(np.float32)
        self._inverse_std = 1 / np.sqrt(self._var + eps)
        self._z_scale = scale * self._inverse_std
        self._z_shift = shift - self._z_scale * self._mean_from_features

    def _compute_covariances(self, site_means: Any) -> Any:
        """Compute the terms of the sites and all covariances. Return the variance.

        `site_means`, of shape (2, n_channels), are subtracted from the sites as centers
        and as neighbors. The variance is in double precision.
        """
        moments, sites = self._moments, self._sites
        terms, covariances = self._terms, self._covariances
        n_sites, n_channels = sites.shape
        feature_terms = terms[2 * n_sites :]
        site_terms, site_covariances = (
            rows_by_side(rows, n_sites) for rows in (terms, covariances)
        )
        site_weight = columns_by_side(self._weight, n_channels)

        @quiet
        def compute_range(start: int, stop: int) -> tuple[Any, Any]:
            """Compute a range of sites, and what it adds to the sums over all sites."""
            rows, var = slice(start, stop), np.zeros(terms.shape[1])
            by_site, range_terms = moments.by_site[:, rows], site_terms[:, rows]
            centered = sites[rows] - site_means[:, None]
            np.matmul(centered, site_weight, out=range_terms)
            np.matmul(by_site, feature_terms, out=site_covariances[:, rows])
            from_sites = np.matmul(by_site.transpose(0, 2, 1), range_terms)
            loops.sum_covariances(
                start,
                stop,
                *moments.edges,
                moments.mean_coefficients,
                terms,
                covariances,
                var,
            )
            return from_sites[0] + from_sites[1], var

        (from_sites, var), *others = run_over_ranges(compute_range, moments.site_ranges)
        for other_sites, other_var in others:
            from_sites += other_sites
            var += other_var
        from_sites += moments.covariance @ feature_terms
        covariances[2 * n_sites :] = from_sites
        return var + np.einsum("rc,rc->c", feature_terms, from_sites)

    def _update_sites(self, summed: Any, shift: Any, eps: float) -> None:
        """Compute the new site vectors from the sums of messages."""
        n_channels = self._sites.shape[1]
        self._standard, self._updated = np.empty((2, *self._sites.shape), np.float32)
        self._site_mean, self._site_var, self._site_inverse_std = np.empty(
            (3, n_channels), np.float32
        )
        loops.update_sites(
            self._sites,
            summed,
            self._site_fractions,
            self._site_scale,
            shift,
            eps,
            np.empty(n_channels),
            self._standard,
            self._updated,
            self._site_mean,
            self._site_var,
            self._site_inverse_std,
        )

    def outputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Implement :meth:`GatedLayer.outputs`."""
        return (
            torch.from_numpy(self._updated),
            torch.from_numpy(self._mean),
            torch.from_numpy(self._var),
            torch.from_numpy(self._site_mean),
            torch.from_numpy(self._site_var),
        )

    @quiet
    def backward(self, grad: Tensor) -> tuple[Tensor, ...]:
        """Implement :meth:`GatedLayer.backward`."""
        grad_sites, grad_summed, *site_grads = self._site_gradients(grad)
        grads = self._messages.sum_row_gradients(grad_summed)
        edge_grads = self._edge_gradients(grads)
        grad_weight = self._weight_gradient(grads, edge_grads, grad_sites)
        results = grad_sites, grad_weight, *edge_grads, *site_grads
        return tuple(map(torch.from_numpy, results))

    def _site_gradients(self, grad: Tensor) -> tuple[Any, Any, Any, Any]:
        """Return the gradients of sites, sums of messages, site scale and site shift.

        That of the sites is incomplete: `_weight_gradient` adds the rest.
        """
        grad_sites, grad_summed = np.empty((2, *self._sites.shape), np.float32)
        grad_scale, grad_shift = np.empty((2, self._sites.shape[1]), np.float32)
        loops.update_sites_backward(
            grad.contiguous().numpy(),
            self._updated,
            self._standard,
            self._site_fractions,
            self._site_scale,
            self._site_inverse_std,
            *np.empty((2, self._sites.shape[1])),
            grad_sites,
            grad_summed,
            grad_scale,
            grad_shift,
        )
        return grad_sites, grad_summed, grad_scale, grad_shift

    def _edge_gradients(self, grads: Any) -> Any:
        """Return the gradients of the scale and the shift of the edges."""
        width = len(self._z_scale)
        edge_grads = np.empty((2, width), np.float32)
        loops.normalize_layer_backward(
            self._terms,
            grads,
            len(self._sites),
            self._mean_from_features,
            self._inverse_std,
            *np.empty((2, width)),
            *edge_grads,
        )
        return edge_grads

    def _weight_gradient(self, grads: Any, edge_grads: Any, grad_sites: Any) -> Any:
        """Return the gradient of the weight, and complete that of the sites in place.

        `grads` are the sums of gradients of y, which are replaced by the gradients of
        the terms.
        """
        sites, weight = self._sites, self._weight
        n_sites, n_channels = sites.shape
        constants = (
            self._moments.mean_coefficients,
            self._covariances,
            self._inverse_std,
            self._z_scale,
            *edge_grads,
            n_sites,
            grads,
        )
        site_weight = columns_by_side(weight, n_channels)
        term_grads = rows_by_side(grads, n_sites)

        @quiet
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
                out=columns_by_side(grad_weight, n_channels).transpose(0, 2, 1),
            )
            return grad_weight

        grad_weight, *others = run_over_ranges(project_range, self._moments.site_ranges)
        for other in others:
            grad_weight[:, : 2 * n_channels] += other[:, : 2 * n_channels]
        grad_weight[:, 2 * n_channels :] = grads[2 * n_sites :].T
        return grad_weight
