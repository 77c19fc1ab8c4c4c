"""Normalization over the sites of a batch, for compiled loops.

Sums over the sites are accumulated in double precision. Other numbers are in single
precision.

fractions : (n_sites,)
    Weights of the sites in the statistics. They sum to one.
standard : (n_sites, n_channels)
    Rows with mean zero and variance one.
"""

from math import sqrt
from typing import Any

from sklearn_cgcnn._ops._numba_math import compile_loop, inline


@inline
def standardize(
    rows: Any,
    fractions: Any,
    eps: Any,
    total: Any,
    standard: Any,
    mean: Any,
    var: Any,
    inverse_std: Any,
) -> None:
    """Compute `standard` from rows, and the statistics of the rows.

    `total`, of shape (n_channels,), in double precision, is a buffer.
    """
    n_sites, n_channels = rows.shape
    for c in range(n_channels):
        total[c] = 0.0
    for i in range(n_sites):
        for c in range(n_channels):
            total[c] += fractions[i] * rows[i, c]
    for c in range(n_channels):
        mean[c] = total[c]
        total[c] = 0.0
    for i in range(n_sites):
        for c in range(n_channels):
            deviation = rows[i, c] - mean[c]
            standard[i, c] = deviation
            total[c] += fractions[i] * (deviation * deviation)
    for c in range(n_channels):
        var[c] = total[c]
        inverse_std[c] = 1 / sqrt(total[c] + eps)
    for i in range(n_sites):
        for c in range(n_channels):
            standard[i, c] *= inverse_std[c]


@compile_loop
def standardize_backward(
    grad: Any,
    standard: Any,
    fractions: Any,
    scale: Any,
    inverse_std: Any,
    total_scale: Any,
    total_shift: Any,
    grad_rows: Any,
    grad_scale: Any,
    grad_shift: Any,
) -> None:
    """Compute gradients from that of ``standard * scale + shift``.

    `total_scale` and `total_shift`, in double precision, are buffers.
    """
    n_sites, n_channels = grad.shape
    for c in range(n_channels):
        total_scale[c], total_shift[c] = 0.0, 0.0
    for i in range(n_sites):
        for c in range(n_channels):
            total_shift[c] += grad[i, c]
            total_scale[c] += grad[i, c] * standard[i, c]
    for c in range(n_channels):
        grad_shift[c], grad_scale[c] = total_shift[c], total_scale[c]
    for i in range(n_sites):
        for c in range(n_channels):
            along = grad_shift[c] + standard[i, c] * grad_scale[c]
            grad_rows[i, c] = (grad[i, c] - fractions[i] * along) * (
                scale[c] * inverse_std[c]
            )
