"""Moments of the edges of a batch, in loops that Numba compiles."""

import numpy as np
import torch
from torch import Tensor

from sklearn_cgcnn._ops import _numba_loops
from sklearn_cgcnn._ops._numba_edges import NumbaEdges


class NumbaMoments:
    """Weighted moments of the edge features of a batch.

    Parameters
    ----------
    edges : NumbaEdges
    multiplicity : Tensor of shape (n_sites,)
        Number of equivalent sites of its crystal that each site stands for.

    Attributes
    ----------
    site_ranges : list of tuple of int and int
        Ranges of sites, one for each thread.
    edges : tuple of ndarray
        First edges, neighbors, and the weight of each edge in the statistics.
    mean_coefficients : ndarray of shape (2 * n_sites + n_features,), float64
        Means of the coefficients of the terms.
    site_coefficients : ndarray of shape (2, n_sites)
        Those of the sites as centers and as neighbors, in single precision.
    by_site : ndarray of shape (2, n_sites, n_features)
        Covariances of the features with the coefficients of the sites' terms.
    covariance : ndarray of shape (n_features, n_features)
        Covariances of the features.
    feature_means : ndarray of shape (n_features,)
        Means of the features.
    """

    def __init__(self, edges: NumbaEdges, multiplicity: Tensor) -> None:
        self.site_ranges = edges.site_ranges
        n_sites, n_features = edges.edges.n_sites, edges.edges.n_features
        n_rows = 2 * n_sites
        fractions = np.empty(len(edges.edges), np.float32)
        self.edges = *edges.arrays[:2], fractions
        self.mean_coefficients = np.zeros(n_rows + n_features)
        by_site = np.zeros((n_rows, n_features), np.float32)
        covariance = np.zeros((n_features, n_features))
        _numba_loops.sum_features(
            *edges.arrays,
            multiplicity.to(torch.float32).numpy(),
            fractions,
            self.mean_coefficients,
            by_site,
            covariance,
        )
        self.by_site = by_site.reshape(2, n_sites, n_features)
        self.covariance = covariance.astype(np.float32)
        rounded = self.mean_coefficients.astype(np.float32)
        self.site_coefficients = rounded[:n_rows].reshape(2, n_sites)
        self.feature_means = rounded[n_rows:]
