"""Loops over edges, compiled by Numba.

Each goes over the edges of a run of centers, from ``start`` to ``stop``, unless it says
otherwise, and keeps in the fastest cache what it computes for an edge. The arrays are
contiguous, of single precision, unless they say otherwise, and of 32-bit integers:

first_edges : (n_sites + 1,)
    Which is the first edge of each center, and of the next.
neighbors : (n_edges,)
columns, values : (n_edges, n_entries)
    Edge features, as :meth:`EdgeBasis.entries` gives them.
weights, shares : (n_edges,)
    How many equal edges of its center each stands for; what it counts in statistics.
terms : (2 * n_sites + n_edge_features, width)
    Of sites as centers, of sites as neighbors, of edge features.
scale, shift : (width,)
    What makes y of a sum of terms: first of the gates, then of the cores.

The rest are room for what is computed, and results.
"""

from typing import Any

from llvmlite import ir
from numba import float32, float64, njit, types
from numba.extending import intrinsic

# A division may become a product with the inverse, a product and a sum one operation;
# the order of sums stays, and what is not finite is heeded. Compiled code is kept on
# disk. Without the interpreter's lock, threads can share the work.
_how: Any = {"error_model": "numpy", "fastmath": {"arcp", "contract", "nsz"}}
_inline: Any = njit(inline="always", **_how)


def _compile(loop: Any) -> Any:
    """Compile a loop when it is first called, and keep the result where one can."""
    try:
        return njit(cache=True, nogil=True, **_how)(loop)
    except RuntimeError:  # neither this folder nor the user's can be written to
        return njit(nogil=True, **_how)(loop)


_ZERO, _HALF, _ONE, _TWO = float32(0), float32(0.5), float32(1), float32(2)
# Beyond these an exponential, or its inverse, is no normal number.
_LOWEST, _HIGHEST = float32(-87), float32(87)
_LOG2_E, _LOG_2 = float32(1.4426950408889634), float32(0.6931471805599453)
# What this is added to is rounded to an integer, which then stands in the last bits,
# with the bias of an exponent added.
_TO_INTEGER = float32(1.5 * 2**23 + 127)


@intrinsic
def _last_bits_as_exponent(_: Any, x: Any) -> Any:
    """Make of the last bits of a number the exponent of a power of 2."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        bits = builder.bitcast(args[0], integer)
        bits = builder.shl(bits, ir.Constant(integer, 23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.float32), build


@_inline
def _exp(x: Any) -> Any:
    """Compute an exponential to 3e-7 of itself, of what is held within -87 and 87."""
    x = _LOWEST if x < _LOWEST else x  # so NaN stays
    x = _HIGHEST if x > _HIGHEST else x
    shifted = x * _LOG2_E + _TO_INTEGER
    r = x - (shifted - _TO_INTEGER) * _LOG_2
    # Minimax of (exp(r) - 1 - r) / r ** 2 within half a logarithm of 2.
    q = float32(1.39411e-3)
    q = q * r + float32(8.36318e-3)
    q = q * r + float32(4.166638e-2)
    q = q * r + float32(0.16666577)
    q = q * r + _HALF
    return (q * (r * r) + r + _ONE) * _last_bits_as_exponent(shifted)


@_inline
def _positive(x: Any) -> Any:
    """Give what is positive, zero for what is negative, and NaN for NaN."""
    return _ZERO if x < _ZERO else x


@_inline
def _log1p(t: Any) -> Any:
    """Compute the logarithm of 1 + t, for t from 0 to 1, to 1e-7 of itself."""
    z = t / (_TWO + t)
    s = z * z
    # Minimax of 2 artanh(z) / z.
    q = float32(0.2817831)
    q = q * s + float32(0.27960608)
    q = q * s + float32(0.4002491)
    q = q * s + float32(0.66666315)
    q = q * s + _TWO
    return q * z


@_inline
def _gather(
    terms: Any,
    scale: Any,
    shift: Any,
    columns: Any,
    values: Any,
    center: Any,
    neighbor: Any,
    edge: Any,
    first_feature: Any,
    y: Any,
) -> None:
    """Compute y of an edge."""
    width = len(y)
    for c in range(width):
        y[c] = terms[center, c] + terms[neighbor, c]
    n_entries = values.shape[1]
    # By four, so that y is read and written less often.
    for k in range(0, n_entries - 3, 4):
        u0, r0 = values[edge, k], first_feature + columns[edge, k]
        u1, r1 = values[edge, k + 1], first_feature + columns[edge, k + 1]
        u2, r2 = values[edge, k + 2], first_feature + columns[edge, k + 2]
        u3, r3 = values[edge, k + 3], first_feature + columns[edge, k + 3]
        for c in range(width):
            y[c] += (u0 * terms[r0, c] + u1 * terms[r1, c]) + (
                u2 * terms[r2, c] + u3 * terms[r3, c]
            )
    for k in range(n_entries // 4 * 4, n_entries):
        u0, r0 = values[edge, k], first_feature + columns[edge, k]
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
    """Sum the messages to each center."""
    n_sites, half = summed.shape
    for i in range(start, stop):
        for c in range(half):
            summed[i, c] = _ZERO
        for e in range(first_edges[i], first_edges[i + 1]):
            j = n_sites + neighbors[e]
            _gather(terms, scale, shift, columns, values, i, j, e, 2 * n_sites, y)
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
    room: Any,
    sums: Any,
    sums_of_features: Any,
) -> None:
    """Sum the gradients of y over the edges of which each term is a part.

    Those of neighbors, and of features, are added to what there is.
    """
    n_sites, half = grad.shape
    y, to_y = room[0], room[1]
    width, n_entries = len(y), values.shape[1]
    for i in range(start, stop):
        for c in range(width):
            sums[i, c] = _ZERO
        for e in range(first_edges[i], first_edges[i + 1]):
            j = n_sites + neighbors[e]
            _gather(terms, scale, shift, columns, values, i, j, e, 2 * n_sites, y)
            weight = weights[e]
            for c in range(half):
                core, of_gate = y[half + c], _exp(-y[c])
                gate = _ONE / (_ONE + of_gate)
                of_core = _exp(-abs(core))
                slope = _ONE / (_ONE + of_core)
                softplus = _positive(core) + _log1p(of_core)
                to_core = weight * grad[i, c] * gate
                to_y[c] = to_core * softplus * (of_gate * gate)
                to_y[half + c] = to_core * (of_core * slope if core < _ZERO else slope)
            for c in range(width):
                sums[i, c] += to_y[c]
            for c in range(width):
                sums[j, c] += to_y[c]
            for k in range(n_entries):
                u, r = values[e, k], columns[e, k]
                for c in range(width):
                    sums_of_features[r, c] += u * to_y[c]


@_compile
def sum_features(
    start: int,
    stop: int,
    first_edges: Any,
    neighbors: Any,
    columns: Any,
    values: Any,
    shares: Any,
    by_site: Any,
    share_of_site: Any,
    total: Any,
    half_products: Any,
) -> None:
    """Add up the features of the edges, and half of their products, times the shares.

    The total and the products are of double precision, as about the same is to be
    subtracted from them.
    """
    n_sites, n_entries = len(by_site) // 2, values.shape[1]
    for i in range(start, stop):
        for e in range(first_edges[i], first_edges[i + 1]):
            j, share = n_sites + neighbors[e], float64(shares[e])
            share_of_site[i] += shares[e]
            share_of_site[j] += shares[e]
            for k in range(n_entries):
                u, r = share * values[e, k], columns[e, k]
                by_site[i, r] += u
                by_site[j, r] += u
                total[r] += u
                half_products[r, r] += u * values[e, k] / 2
                for m in range(k):
                    half_products[r, columns[e, m]] += u * values[e, m]


@_compile
def add_ends(
    start: int,
    stop: int,
    first_edges: Any,
    neighbors: Any,
    shares: Any,
    share_of_site: Any,
    terms: Any,
    sums: Any,
    var: Any,
) -> None:
    """Add to each end of the edges what both ends have, times the shares.

    And sum the products of the results and the terms, in double precision.
    """
    n_sites, width = len(share_of_site) // 2, sums.shape[1]
    for i in range(start, stop):
        j = n_sites + i
        for c in range(width):
            sums[i, c] += share_of_site[i] * terms[i, c]
        for c in range(width):
            sums[j, c] += share_of_site[j] * terms[j, c]
    for i in range(start, stop):
        for e in range(first_edges[i], first_edges[i + 1]):
            j, share = n_sites + neighbors[e], shares[e]
            for c in range(width):
                sums[i, c] += share * terms[j, c]
            for c in range(width):
                sums[j, c] += share * terms[i, c]
    for i in range(start, stop):
        j = n_sites + i
        for c in range(width):
            var[c] += sums[i, c] * terms[i, c] + sums[j, c] * terms[j, c]


@_compile
def multiply_without_shares(
    start: int,
    stop: int,
    sums: Any,
    terms: Any,
    shares: Any,
    to_shift: Any,
    total: Any,
) -> None:
    """Multiply terms with what is left of sums without the shares of a gradient.

    For rows from start to stop; the products are added up in double precision.
    """
    for r in range(start, stop):
        for c in range(len(to_shift)):
            total[c] += terms[r, c] * (sums[r, c] - shares[r] * to_shift[c])


@_compile
def take_out(
    start: int,
    stop: int,
    sums: Any,
    shares: Any,
    to_shift: Any,
    covariances: Any,
    slope: Any,
) -> None:
    """Subtract from sums the shares of a gradient, and what goes with covariances.

    For rows from start to stop.
    """
    for r in range(start, stop):
        for c in range(len(to_shift)):
            sums[r, c] -= shares[r] * to_shift[c] + covariances[r, c] * slope[c]
