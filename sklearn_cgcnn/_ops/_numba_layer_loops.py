"""The parts of a gated layer beside its messages, in loops that Numba compiles.

Matrix products are not among them: :mod:`sklearn_cgcnn._ops._numba_layer` leaves them
to NumPy. The loops with a range can be shared by threads. Their arrays are contiguous
and in single precision, and sums over rows are accumulated in double precision.
:mod:`sklearn_cgcnn._ops._interface` defines terms and their coefficients.

sites : (n_sites, n_channels)
    Site vectors.
terms : (2 * n_sites + n_features, width)
    Terms of the sites as centers, of the sites as neighbors, and of the edge features.
covariances : (2 * n_sites + n_features, width)
    Covariances of z with the coefficients of the terms.
mean_coefficients : (2 * n_sites + n_features,), float64
    Means of the coefficients of the terms.
mean_from_features : (width,)
    Mean of what the features contribute to z.

The remaining arrays are results, unless a docstring says otherwise.
"""

from typing import Any

from numba import float32

from sklearn_cgcnn._ops._numba_math import (
    compile_loop,
    exp,
    log1p,
    positive,
    softplus_slope,
)
from sklearn_cgcnn._ops._numba_site_norm import standardize, standardize_backward


@compile_loop
def sum_covariances(
    start: int,
    stop: int,
    first_edges: Any,
    neighbors: Any,
    fractions: Any,
    mean_coefficients: Any,
    terms: Any,
    covariances: Any,
    var: Any,
) -> None:
    """Add what the terms of a range of sites contribute to their covariances.

    The covariances hold the contributions of the edge features before. What the sites
    contribute to the variance is added to `var`, in double precision.
    """
    n_sites, width = len(first_edges) - 1, terms.shape[1]
    for i in range(start, stop):
        j = n_sites + i
        at_center = float32(mean_coefficients[i])
        at_neighbor = float32(mean_coefficients[j])
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
    for i in range(start, stop):
        j = n_sites + i
        for c in range(width):
            var[c] += covariances[i, c] * terms[i, c] + covariances[j, c] * terms[j, c]


@compile_loop
def update_sites(
    sites: Any,
    summed: Any,
    fractions: Any,
    scale: Any,
    shift: Any,
    eps: float,
    total: Any,
    standard: Any,
    updated: Any,
    mean: Any,
    var: Any,
    inverse_std: Any,
) -> None:
    """Compute softplus(sites + normalized sums), and the statistics of the sums.

    `fractions` are the weights of the sites in the statistics. `standard` are the sums
    with mean zero and variance one, before scale and shift. `total`, of shape
    (n_channels,), in double precision, is a buffer.
    """
    standardize(summed, fractions, eps, total, standard, mean, var, inverse_std)
    n_sites, n_channels = sites.shape
    for i in range(n_sites):
        for c in range(n_channels):
            x = sites[i, c] + (standard[i, c] * scale[c] + shift[c])
            updated[i, c] = positive(x) + log1p(exp(-abs(x)))


@compile_loop
def update_sites_backward(
    grad: Any,
    updated: Any,
    standard: Any,
    fractions: Any,
    scale: Any,
    inverse_std: Any,
    total_scale: Any,
    total_shift: Any,
    grad_sites: Any,
    grad_summed: Any,
    grad_scale: Any,
    grad_shift: Any,
) -> None:
    """Compute the gradients of `update_sites`.

    `total_scale` and `total_shift`, in double precision, are buffers.
    """
    n_sites, n_channels = grad.shape
    for i in range(n_sites):
        for c in range(n_channels):
            grad_sites[i, c] = grad[i, c] * softplus_slope(updated[i, c])
    standardize_backward(
        grad_sites,
        standard,
        fractions,
        scale,
        inverse_std,
        total_scale,
        total_shift,
        grad_summed,
        grad_scale,
        grad_shift,
    )


@compile_loop
def normalize_layer_backward(
    terms: Any,
    grads: Any,
    n_sites: int,
    mean_from_features: Any,
    inverse_std: Any,
    products: Any,
    total: Any,
    grad_scale: Any,
    grad_shift: Any,
) -> None:
    """Compute the gradients of scale and shift.

    `grads`, of the shape of the terms, are the sums of gradients of y over the edges
    that each term contributes to. `products` and `total`, in double precision, are
    buffers.
    """
    width = len(grad_scale)
    for c in range(width):
        products[c], total[c] = 0.0, 0.0
    for r in range(len(terms)):
        for c in range(width):
            products[c] += terms[r, c] * grads[r, c]
    for i in range(n_sites):
        for c in range(width):
            total[c] += grads[i, c]
    for c in range(width):
        grad_shift[c] = total[c]
        # The terms of the sites have mean zero, those of the features do not.
        product = products[c] - mean_from_features[c] * total[c]
        grad_scale[c] = product * inverse_std[c]


@compile_loop
def term_gradients(
    start: int,
    stop: int,
    mean_coefficients: Any,
    covariances: Any,
    inverse_std: Any,
    z_scale: Any,
    grad_scale: Any,
    grad_shift: Any,
    n_sites: int,
    grads: Any,
) -> None:
    """Replace gradients of y by those of the terms, in `grads`.

    This concerns the terms of a range of sites, and in the first range also those of
    the features.
    """
    for part in range(3 if start == 0 else 2):
        first, last = part * n_sites + start, part * n_sites + stop
        if part == 2:
            first, last = 2 * n_sites, len(grads)
        for r in range(first, last):
            coefficient = float32(mean_coefficients[r])
            for c in range(len(z_scale)):
                along = covariances[r, c] * (grad_scale[c] * inverse_std[c])
                along += coefficient * grad_shift[c]
                grads[r, c] = (grads[r, c] - along) * z_scale[c]
