"""The parts of a gated layer beside its messages, in loops that Numba compiles.

A layer and its gradient are computed in these steps, of which those with a range can be
shared by threads. Their arrays are contiguous and in single precision, and sums over
rows are accumulated in double precision. :mod:`sklearn_cgcnn._ops._interface` defines
terms and their coefficients.

sites : (n_sites, n_channels)
    Site vectors.
weight : (2 * n_channels + n_features, width)
    The linear map, transposed: first for the sites as centers, then for the sites as
    neighbors, then for the edge features.
site_means : (2, n_channels)
    Means of the sites as centers and as neighbors.
terms : (2 * n_sites + n_features, width)
    Terms of the sites as centers, of the sites as neighbors, and of the edge features.
covariances : (2 * n_sites + n_features, width)
    Covariances of z with the coefficients of the terms.
coefficients : (2 * n_sites + n_features,), float64
    Mean coefficients of the terms.
by_site : (2 * n_sites, n_features), covariance : (n_features, n_features)
    Covariances of the features with the coefficients of the sites' terms, and among
    themselves.
features_mean : (width,)
    Mean of what the features contribute to z.

The remaining arrays are results, unless a docstring says otherwise.
"""

from typing import Any

import numpy as np
from numba import float32

from sklearn_cgcnn._ops._numba_math import (
    ZERO,
    compile_loop,
    exp,
    log1p,
    positive,
    softplus_slope,
)


@compile_loop
def prepare_layer(
    sites: Any,
    weight: Any,
    coefficients: Any,
    site_means: Any,
    terms: Any,
    features_mean: Any,
    mean: Any,
) -> None:
    """Compute the terms of the features, and the means of sites, features and z."""
    (n_sites, n_channels), width = sites.shape, len(mean)
    for c in range(width):
        mean[c], features_mean[c] = ZERO, ZERO
    for side in range(2):
        total = np.zeros(n_channels)
        for i in range(n_sites):
            fraction = coefficients[side * n_sites + i]
            for k in range(n_channels):
                total[k] += fraction * sites[i, k]
        for k in range(n_channels):
            site_means[side, k] = total[k]
            for c in range(width):
                mean[c] += site_means[side, k] * weight[side * n_channels + k, c]
    for r in range(2 * n_sites, len(terms)):
        coefficient, row = float32(coefficients[r]), r - 2 * n_sites + 2 * n_channels
        for c in range(width):
            terms[r, c] = weight[row, c]
        for c in range(width):
            features_mean[c] += coefficient * terms[r, c]
    for c in range(width):
        mean[c] += features_mean[c]


@compile_loop
def sum_covariances(
    start: int,
    stop: int,
    first_edges: Any,
    neighbors: Any,
    fractions: Any,
    coefficients: Any,
    by_site: Any,
    sites: Any,
    site_means: Any,
    weight: Any,
    terms: Any,
    covariances: Any,
    from_sites: Any,
    var: Any,
) -> None:
    """Compute terms and covariances of a range of sites.

    What they contribute to the covariances of the features is written to `from_sites`,
    of shape (n_features, width), and to the variance, to `var`, in double precision.
    """
    (n_sites, n_channels), width = sites.shape, terms.shape[1]
    centered = np.empty((stop - start, n_channels), np.float32)
    product = np.empty_like(from_sites)
    for r in range(len(from_sites)):
        for c in range(width):
            from_sites[r, c] = ZERO
    for side in range(2):
        first, last = side * n_sites + start, side * n_sites + stop
        for i in range(start, stop):
            for k in range(n_channels):
                centered[i - start, k] = sites[i, k] - site_means[side, k]
        part = weight[side * n_channels : (side + 1) * n_channels]
        np.dot(centered, part, terms[first:last])
        np.dot(by_site[first:last], weight[2 * n_channels :], covariances[first:last])
        np.dot(by_site[first:last].T, terms[first:last], product)
        for r in range(len(from_sites)):
            for c in range(width):
                from_sites[r, c] += product[r, c]
    for i in range(start, stop):
        j = n_sites + i
        at_center, at_neighbor = float32(coefficients[i]), float32(coefficients[j])
        for c in range(width):
            covariances[i, c] += at_center * terms[i, c]
        for c in range(width):
            covariances[j, c] += at_neighbor * terms[j, c]
    for i in range(start, stop):
        for e in range(first_edges[i], first_edges[i + 1]):
            j, fraction = n_sites + neighbors[e], fractions[e]
            for c in range(width):
                covariances[i, c] += fraction * terms[j, c]
            for c in range(width):
                covariances[j, c] += fraction * terms[i, c]
    for c in range(width):
        var[c] = 0.0
    for i in range(start, stop):
        j = n_sites + i
        for c in range(width):
            var[c] += covariances[i, c] * terms[i, c] + covariances[j, c] * terms[j, c]


@compile_loop
def normalize_layer(
    covariance: Any,
    terms: Any,
    features_mean: Any,
    from_sites: Any,
    sum_of_squares: Any,
    scale: Any,
    shift: Any,
    eps: float,
    covariances: Any,
    var: Any,
    inverse_std: Any,
    z_scale: Any,
    z_shift: Any,
) -> None:
    """Complete the covariances, and combine normalization, scale and shift.

    `from_sites` and `sum_of_squares` are the sums of what `sum_covariances` returned.
    `z_scale` and `z_shift` are applied to the sum of the terms of an edge.
    """
    width, first = len(scale), len(terms) - len(from_sites)
    from_features = np.empty_like(from_sites)
    np.dot(covariance, terms[first:], from_features)
    for r in range(len(from_sites)):
        for c in range(width):
            covariances[first + r, c] = from_sites[r, c] + from_features[r, c]
            sum_of_squares[c] += terms[first + r, c] * covariances[first + r, c]
    for c in range(width):
        # Rounding may leave a variance of zero slightly negative.
        var[c] = max(sum_of_squares[c], 0.0)
        inverse_std[c] = 1 / np.sqrt(var[c] + eps)
        z_scale[c] = scale[c] * inverse_std[c]
        z_shift[c] = shift[c] - z_scale[c] * features_mean[c]


@compile_loop
def update_sites(
    sites: Any,
    summed: Any,
    fractions: Any,
    scale: Any,
    shift: Any,
    eps: float,
    standard: Any,
    updated: Any,
    mean: Any,
    var: Any,
    inverse_std: Any,
) -> None:
    """Compute softplus(sites + normalized sums), and the statistics of the sums.

    `fractions` are the weights of the sites in the statistics. `standard` are the sums
    with mean zero and variance one, before scale and shift.
    """
    n_sites, n_channels = sites.shape
    total = np.zeros(n_channels)
    for i in range(n_sites):
        for c in range(n_channels):
            total[c] += fractions[i] * summed[i, c]
    for c in range(n_channels):
        mean[c] = total[c]
    for c in range(n_channels):
        total[c] = 0.0
    for i in range(n_sites):
        for c in range(n_channels):
            deviation = summed[i, c] - mean[c]
            standard[i, c] = deviation
            total[c] += fractions[i] * (deviation * deviation)
    for c in range(n_channels):
        var[c] = total[c]
        inverse_std[c] = 1 / np.sqrt(total[c] + eps)
    for i in range(n_sites):
        for c in range(n_channels):
            normal = standard[i, c] * inverse_std[c]
            standard[i, c] = normal
            x = sites[i, c] + (normal * scale[c] + shift[c])
            updated[i, c] = positive(x) + log1p(exp(-abs(x)))


@compile_loop
def update_sites_backward(
    grad: Any,
    updated: Any,
    standard: Any,
    fractions: Any,
    scale: Any,
    inverse_std: Any,
    grad_sites: Any,
    grad_summed: Any,
    grad_scale: Any,
    grad_shift: Any,
) -> None:
    """Compute the gradients of `update_sites`."""
    n_sites, n_channels = grad.shape
    total_shift, total_scale = np.zeros(n_channels), np.zeros(n_channels)
    for i in range(n_sites):
        for c in range(n_channels):
            grad_sites[i, c] = grad[i, c] * softplus_slope(updated[i, c])
            total_shift[c] += grad_sites[i, c]
            total_scale[c] += grad_sites[i, c] * standard[i, c]
    for c in range(n_channels):
        grad_shift[c], grad_scale[c] = total_shift[c], total_scale[c]
    for i in range(n_sites):
        for c in range(n_channels):
            along = grad_shift[c] + standard[i, c] * grad_scale[c]
            grad_summed[i, c] = (grad_sites[i, c] - fractions[i] * along) * (
                scale[c] * inverse_std[c]
            )


@compile_loop
def normalize_layer_backward(
    terms: Any,
    grads: Any,
    n_sites: int,
    features_mean: Any,
    inverse_std: Any,
    grad_scale: Any,
    grad_shift: Any,
) -> None:
    """Compute the gradients of scale and shift.

    `grads`, of the shape of the terms, are the sums of gradients of y over the edges
    that each term contributes to.
    """
    width = len(grad_scale)
    products, total = np.zeros(width), np.zeros(width)
    for r in range(len(terms)):
        for c in range(width):
            products[c] += terms[r, c] * grads[r, c]
    for i in range(n_sites):
        for c in range(width):
            total[c] += grads[i, c]
    for c in range(width):
        grad_shift[c] = total[c]
        # The terms of the sites have mean zero, those of the features do not.
        grad_scale[c] = (products[c] - features_mean[c] * total[c]) * inverse_std[c]


@compile_loop
def project_gradients(
    start: int,
    stop: int,
    coefficients: Any,
    covariances: Any,
    inverse_std: Any,
    z_scale: Any,
    grad_scale: Any,
    grad_shift: Any,
    sites: Any,
    weight: Any,
    grads: Any,
    grad_sites: Any,
    grad_weight: Any,
) -> None:
    """Compute the gradients of terms, sites and weight, for a range of sites.

    The gradients of the terms replace those of y in `grads`. Those of the sites are
    added to `grad_sites`. The first range also computes those of the features.
    """
    (n_sites, n_channels), width = sites.shape, len(z_scale)
    product = np.empty((stop - start, n_channels), np.float32)
    for part in range(3 if start == 0 else 2):
        first, last = part * n_sites + start, part * n_sites + stop
        if part == 2:
            first, last = 2 * n_sites, len(grads)
        for r in range(first, last):
            coefficient = float32(coefficients[r])
            for c in range(width):
                along = covariances[r, c] * (grad_scale[c] * inverse_std[c])
                along += coefficient * grad_shift[c]
                grads[r, c] = (grads[r, c] - along) * z_scale[c]
        if part == 2:
            for r in range(first, last):
                for c in range(width):
                    grad_weight[2 * n_channels + r - first, c] = grads[r, c]
        else:
            top, bottom = part * n_channels, (part + 1) * n_channels
            np.dot(grads[first:last], weight[top:bottom].T, product)
            for i in range(start, stop):
                for k in range(n_channels):
                    grad_sites[i, k] += product[i - start, k]
            np.dot(sites[start:stop].T, grads[first:last], grad_weight[top:bottom])
