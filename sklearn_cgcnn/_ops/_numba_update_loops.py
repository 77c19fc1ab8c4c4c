"""The site-wise parts of a layer with a learned update, in loops that Numba compiles.

Matrix products are not among them: :mod:`sklearn_cgcnn._ops._numba_update_layer` leaves
them to NumPy. The loops run over the sites, and those with a range over a part of them,
from ``start`` to ``stop``. Arrays are contiguous and in single
precision, and sums over rows are accumulated in double precision.
:mod:`sklearn_cgcnn._ops._numba_site_norm` describes the arguments of the norm. The
arrays that a docstring does not mention are results.
"""

from typing import Any

from sklearn_cgcnn._ops._numba_math import ONE, compile_loop, sigmoid, softplus
from sklearn_cgcnn._ops._numba_site_norm import standardize


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
def update_sites(
    start: int,
    stop: int,
    sites: Any,
    parts: Any,
    bias: Any,
    is_silu: bool,
    slopes: Any,
    updated: Any,
) -> None:
    """Add the activation of the updates to the sites.

    `parts`, of shape (2, stop - start, n_channels), is what sites and normalized sums
    contribute to the argument of the activation, and `slopes` are the derivatives of
    the activation.
    """
    for i in range(start, stop):
        for c in range(len(bias)):
            x = parts[0, i - start, c] + parts[1, i - start, c] + bias[c]
            slope = sigmoid(x)
            if is_silu:
                slopes[i, c] = slope * (ONE + x * (ONE - slope))
                updated[i, c] = sites[i, c] + x * slope
            else:
                slopes[i, c] = slope
                updated[i, c] = sites[i, c] + softplus(x)


@compile_loop
def update_sites_backward(
    start: int, stop: int, grad: Any, slopes: Any, grad_argument: Any, grad_bias: Any
) -> None:
    """Compute gradients of the argument of the activation and of the bias.

    `grad` is the gradient of the new site vectors, and `grad_argument` has the shape
    (stop - start, n_channels). The gradient of the bias is added to
    `grad_bias`, in double precision.
    """
    for i in range(start, stop):
        for c in range(len(grad_bias)):
            grad_argument[i - start, c] = grad[i, c] * slopes[i, c]
            grad_bias[c] += grad_argument[i - start, c]
