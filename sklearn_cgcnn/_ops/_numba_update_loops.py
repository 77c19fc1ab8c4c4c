"""The site-wise parts of a layer with a learned update, in loops that Numba compiles.

Matrix products are not among them: :mod:`sklearn_cgcnn._ops._numba_update_layer` leaves
them to NumPy. The loops run over all sites. Arrays are contiguous and in single
precision, and sums over rows are accumulated in double precision.
:mod:`sklearn_cgcnn._ops._numba_site_norm` describes the arguments of the norm. The
arrays that a docstring does not mention are results.
"""

from typing import Any

from sklearn_cgcnn._ops._numba_math import ONE, compile_loop, sigmoid, softplus
from sklearn_cgcnn._ops._numba_site_norm import standardize, standardize_backward


@compile_loop
def normalize_sums(
    summed: Any,
    fractions: Any,
    scale: Any,
    shift: Any,
    eps: float,
    total: Any,
    standard: Any,
    normalized: Any,
    mean: Any,
    var: Any,
    inverse_std: Any,
) -> None:
    """Normalize sums of messages over the sites, then apply `scale` and `shift`.

    `total` is a buffer.
    """
    standardize(summed, fractions, eps, total, standard, mean, var, inverse_std)
    n_sites, n_channels = summed.shape
    for i in range(n_sites):
        for c in range(n_channels):
            normalized[i, c] = standard[i, c] * scale[c] + shift[c]


@compile_loop
def normalize_sums_backward(
    grad: Any,
    standard: Any,
    fractions: Any,
    scale: Any,
    inverse_std: Any,
    total_scale: Any,
    total_shift: Any,
    grad_summed: Any,
    grad_scale: Any,
    grad_shift: Any,
) -> None:
    """Compute the gradients of `normalize_sums` from that of `normalized`.

    `total_scale` and `total_shift` are buffers.
    """
    standardize_backward(
        grad,
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
def update_sites(
    sites: Any, parts: Any, bias: Any, is_silu: bool, slopes: Any, updated: Any
) -> None:
    """Add the activation of the updates to the sites.

    `parts`, of shape (2, n_sites, n_channels), is what sites and normalized sums
    contribute to the argument of the activation, and `slopes` are the derivatives of
    the activation.
    """
    n_sites, n_channels = sites.shape
    for i in range(n_sites):
        for c in range(n_channels):
            x = parts[0, i, c] + parts[1, i, c] + bias[c]
            slope = sigmoid(x)
            if is_silu:
                slopes[i, c] = slope * (ONE + x * (ONE - slope))
                updated[i, c] = sites[i, c] + x * slope
            else:
                slopes[i, c] = slope
                updated[i, c] = sites[i, c] + softplus(x)


@compile_loop
def update_sites_backward(
    grad: Any, slopes: Any, total: Any, grad_argument: Any, grad_bias: Any
) -> None:
    """Compute gradients of the argument of the activation and of the bias.

    `grad` is the gradient of the new site vectors. `total`, of shape (n_channels,), in
    double precision, is a buffer.
    """
    n_sites, n_channels = grad.shape
    for c in range(n_channels):
        total[c] = 0.0
    for i in range(n_sites):
        for c in range(n_channels):
            grad_argument[i, c] = grad[i, c] * slopes[i, c]
            total[c] += grad_argument[i, c]
    for c in range(n_channels):
        grad_bias[c] = total[c]
