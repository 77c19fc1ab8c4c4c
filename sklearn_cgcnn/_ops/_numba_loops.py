"""Loops over edges that Numba compiles.

Each loop runs over the edges of a range of centers, from ``start`` to ``stop``, unless
its docstring says otherwise. What it computes for one edge stays in the fastest cache.
The arrays are contiguous. Numbers are in single precision unless the docstring says
otherwise, and indices are 32-bit integers:

first_edges : (n_sites + 1,)
    Index of the first edge of each center, followed by the number of edges.
neighbors : (n_edges,)
    Neighbor of each edge.
columns, values : (n_edges, n_entries)
    Sparse edge features: their indices and their values.
weights : (n_edges,)
    Number of equal edges of the same center that each edge stands for.
fractions : (n_edges,)
    Weight of each edge in the statistics.
terms : (2 * n_sites + n_features, width)
    Terms of the sites as centers, of the sites as neighbors, and of the edge features.
scale, shift : (width,)
    Applied to the sum of terms of each edge. The first half belongs to the gates, the
    second half to the cores (the arguments of the softplus).

The remaining arrays are buffers and results.
"""

from typing import Any

from llvmlite import ir
from numba import float32, float64, njit, types
from numba.extending import intrinsic

from sklearn_cgcnn._ops._numba_cache import store_on_disk

# The compiler may replace a division by a product with the inverse, and fuse a product
# and a sum into one operation. It may not change the order of sums, nor assume that all
# numbers are finite.
_options: Any = {"error_model": "numpy", "fastmath": {"arcp", "contract", "nsz"}}
_inline: Any = njit(inline="always", **_options)


def _compile(loop: Any) -> Any:
    """Compile a loop at its first call, and store the result on disk if possible."""
    # Without Python's global interpreter lock, threads can share the work.
    return store_on_disk(njit(nogil=True, **_options)(loop))


_ZERO, _HALF, _ONE, _TWO = float32(0), float32(0.5), float32(1), float32(2)
# Beyond these limits an exponential, or its inverse, is not a normal number.
_LOWEST, _HIGHEST = float32(-87), float32(87)
_LOG2_E, _LOG_2 = float32(1.4426950408889634), float32(0.6931471805599453)
# Adding this number rounds another one to an integer. The last bits of the sum then
# hold this integer plus the bias of an exponent, 127.
_TO_INTEGER = float32(1.5 * 2**23 + 127)


@intrinsic
def _last_bits_as_exponent(_: Any, x: Any) -> Any:
    """Return the power of 2 whose exponent is stored in the last bits of a number."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        bits = builder.bitcast(args[0], integer)
        bits = builder.shl(bits, ir.Constant(integer, 23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.float32), build


@_inline
def _exp(x: Any) -> Any:
    """Compute exp(x), with x limited to [-87, 87], to a relative error of 3e-7."""
    x = _LOWEST if x < _LOWEST else x  # this comparison keeps NaN
    x = _HIGHEST if x > _HIGHEST else x
    shifted = x * _LOG2_E + _TO_INTEGER
    r = x - (shifted - _TO_INTEGER) * _LOG_2
    # Minimax polynomial of (exp(r) - 1 - r) / r ** 2 for abs(r) <= log(2) / 2.
    q = float32(1.39411e-3)
    q = q * r + float32(8.36318e-3)
    q = q * r + float32(4.166638e-2)
    q = q * r + float32(0.16666577)
    q = q * r + _HALF
    return (q * (r * r) + r + _ONE) * _last_bits_as_exponent(shifted)


@_inline
def _positive(x: Any) -> Any:
    """Return max(x, 0), or NaN for NaN."""
    return _ZERO if x < _ZERO else x


@_inline
def _log1p(t: Any) -> Any:
    """Compute log(1 + t), for t from 0 to 1, to a relative error of 1e-7."""
    z = t / (_TWO + t)
    s = z * z
    # Minimax polynomial of 2 artanh(z) / z, in z ** 2.
    q = float32(0.2817831)
    q = q * s + float32(0.27960608)
    q = q * s + float32(0.4002491)
    q = q * s + float32(0.66666315)
    q = q * s + _TWO
    return q * z


@_inline
def _sum_terms(
    terms: Any,
    scale: Any,
    shift: Any,
    columns: Any,
    values: Any,
    center: Any,
    neighbor: Any,
    edge: Any,
    first_feature_row: Any,
    y: Any,
) -> None:
    """Compute y, the scaled and shifted sum of the terms of one edge."""
    width = len(y)
    for c in range(width):
        y[c] = terms[center, c] + terms[neighbor, c]
    n_entries = values.shape[1]
    # Four entries at a time, so that y is read and written less often.
    for k in range(0, n_entries - 3, 4):
        u0, r0 = values[edge, k], first_feature_row + columns[edge, k]
        u1, r1 = values[edge, k + 1], first_feature_row + columns[edge, k + 1]
        u2, r2 = values[edge, k + 2], first_feature_row + columns[edge, k + 2]
        u3, r3 = values[edge, k + 3], first_feature_row + columns[edge, k + 3]
        for c in range(width):
            y[c] += (u0 * terms[r0, c] + u1 * terms[r1, c]) + (
                u2 * terms[r2, c] + u3 * terms[r3, c]
            )
    for k in range(n_entries // 4 * 4, n_entries):
        u0, r0 = values[edge, k], first_feature_row + columns[edge, k]
        for c in range(width):
            y[c] += u0 * terms[r0, c]
    for c in range(width):
        y[c] = y[c] * scale[c] + shift[c]


@_compile
def sum_messages(
    start: int,
    stop: int,
    first_edges: Any,
    neighbors: Any,
    columns: Any,
    values: Any,
    weights: Any,
    terms: Any,
    scale: Any,
    shift: Any,
    y: Any,
    summed: Any,
) -> None:
    """Sum the weighted messages to each center, in `summed`."""
    n_sites, half = summed.shape
    for i in range(start, stop):
        for c in range(half):
            summed[i, c] = _ZERO
        for e in range(first_edges[i], first_edges[i + 1]):
            j = n_sites + neighbors[e]
            _sum_terms(terms, scale, shift, columns, values, i, j, e, 2 * n_sites, y)
            weight = weights[e]
            for c in range(half):
                core = y[half + c]
                gate = _ONE / (_ONE + _exp(-y[c]))
                softplus = _positive(core) + _log1p(_exp(-abs(core)))
                summed[i, c] += weight * gate * softplus


@_compile
def sum_gradients(
    start: int,
    stop: int,
    first_edges: Any,
    neighbors: Any,
    columns: Any,
    values: Any,
    weights: Any,
    terms: Any,
    scale: Any,
    shift: Any,
    grad: Any,
    buffer: Any,
    sums: Any,
    feature_sums: Any,
) -> None:
    """Sum the gradients of y over the edges that each term contributes to.

    The rows of the centers in `sums` are overwritten. The sums of the neighbors, in
    `sums`, and those of the features, in `feature_sums`, are added to the values that
    these arrays hold.
    """
    n_sites, half = grad.shape
    y, grad_y = buffer[0], buffer[1]
    width, n_entries = len(y), values.shape[1]
    for i in range(start, stop):
        for c in range(width):
            sums[i, c] = _ZERO
        for e in range(first_edges[i], first_edges[i + 1]):
            j = n_sites + neighbors[e]
            _sum_terms(terms, scale, shift, columns, values, i, j, e, 2 * n_sites, y)
            weight = weights[e]
            for c in range(half):
                core, exp_gate = y[half + c], _exp(-y[c])
                gate = _ONE / (_ONE + exp_gate)
                exp_core = _exp(-abs(core))
                slope = _ONE / (_ONE + exp_core)
                softplus = _positive(core) + _log1p(exp_core)
                grad_core = weight * grad[i, c] * gate
                grad_y[c] = grad_core * softplus * (exp_gate * gate)
                grad_y[half + c] = grad_core * (
                    exp_core * slope if core < _ZERO else slope
                )
            for c in range(width):
                sums[i, c] += grad_y[c]
            for c in range(width):
                sums[j, c] += grad_y[c]
            for k in range(n_entries):
                u, r = values[e, k], columns[e, k]
                for c in range(width):
                    feature_sums[r, c] += u * grad_y[c]


@_compile
def sum_features(
    start: int,
    stop: int,
    first_edges: Any,
    neighbors: Any,
    columns: Any,
    values: Any,
    fractions: Any,
    by_site: Any,
    site_fractions: Any,
    total: Any,
    half_products: Any,
) -> None:
    """Sum the features of the edges, and half of their products, times the fractions.

    `total` and `half_products` are in double precision, because a number of almost the
    same size will be subtracted from them.
    """
    n_sites, n_entries = len(by_site) // 2, values.shape[1]
    for i in range(start, stop):
        for e in range(first_edges[i], first_edges[i + 1]):
            j, fraction = n_sites + neighbors[e], float64(fractions[e])
            site_fractions[i] += fractions[e]
            site_fractions[j] += fractions[e]
            for k in range(n_entries):
                u, r = fraction * values[e, k], columns[e, k]
                by_site[i, r] += u
                by_site[j, r] += u
                total[r] += u
                half_products[r, r] += u * values[e, k] / 2
                for m in range(k):
                    half_products[r, columns[e, m]] += u * values[e, m]


@_compile
def add_endpoint_terms(
    start: int,
    stop: int,
    first_edges: Any,
    neighbors: Any,
    fractions: Any,
    site_fractions: Any,
    terms: Any,
    sums: Any,
    var: Any,
) -> None:
    """Add the terms of both sites of each edge, times its fraction, to both `sums`.

    Then add the products of the new sums and the terms to `var`, in double precision.
    """
    n_sites, width = len(site_fractions) // 2, sums.shape[1]
    for i in range(start, stop):
        j = n_sites + i
        for c in range(width):
            sums[i, c] += site_fractions[i] * terms[i, c]
        for c in range(width):
            sums[j, c] += site_fractions[j] * terms[j, c]
    for i in range(start, stop):
        for e in range(first_edges[i], first_edges[i + 1]):
            j, fraction = n_sites + neighbors[e], fractions[e]
            for c in range(width):
                sums[i, c] += fraction * terms[j, c]
            for c in range(width):
                sums[j, c] += fraction * terms[i, c]
    for i in range(start, stop):
        j = n_sites + i
        for c in range(width):
            var[c] += sums[i, c] * terms[i, c] + sums[j, c] * terms[j, c]


@_compile
def sum_scale_gradients(
    start: int,
    stop: int,
    sums: Any,
    terms: Any,
    mean_coefficients: Any,
    grad_shift: Any,
    total: Any,
) -> None:
    """Add the products of terms and centered gradients to `total`.

    This loop runs over rows from `start` to `stop`, and adds in double precision. The
    gradients, in `sums`, are centered by subtracting the mean coefficients times the
    gradient of the shift. The total is the gradient of the scale before the division by
    the standard deviation.
    """
    for r in range(start, stop):
        for c in range(len(grad_shift)):
            total[c] += terms[r, c] * (
                sums[r, c] - mean_coefficients[r] * grad_shift[c]
            )


@_compile
def project_gradients(
    start: int,
    stop: int,
    sums: Any,
    mean_coefficients: Any,
    grad_shift: Any,
    covariances: Any,
    slope: Any,
) -> None:
    """Project gradients through a normalization, in place in `sums`.

    This loop runs over rows from `start` to `stop`. `slope` is the gradient of the
    scale over the standard deviation.
    """
    for r in range(start, stop):
        for c in range(len(grad_shift)):
            sums[r, c] -= (
                mean_coefficients[r] * grad_shift[c] + covariances[r, c] * slope[c]
            )
