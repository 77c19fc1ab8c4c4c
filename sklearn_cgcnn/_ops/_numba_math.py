"""Functions that compiled loops call, and how these loops are compiled."""

from typing import Any

from llvmlite import ir
from numba import float32, njit, types
from numba.extending import intrinsic

from sklearn_cgcnn._ops._numba_cache import store_on_disk

# The compiler may replace a division by a product with the inverse, and fuse a product
# and a sum into one operation. It may not change the order of sums, nor assume that all
# numbers are finite.
_options: Any = {"error_model": "numpy", "fastmath": {"arcp", "contract", "nsz"}}
# For functions that only loops call. LLVM inlines them; that Numba does so itself, with
# inline="always", makes loops no faster, and takes longer to compile.
inline: Any = njit(no_cfunc_wrapper=True, no_cpython_wrapper=True, **_options)


def compile_loop(loop: Any) -> Any:
    """Compile a loop at its first call, and store the result on disk if possible.

    Parameters
    ----------
    loop : function
        The loop, in Python.

    Returns
    -------
    function
    """
    # Without Python's global interpreter lock, threads can share the work.
    return store_on_disk(njit(nogil=True, no_cfunc_wrapper=True, **_options)(loop))


ZERO, HALF, ONE, TWO = float32(0), float32(0.5), float32(1), float32(2)
_SMALL = float32(0.1)
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


@inline
def exp(x: Any) -> Any:
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
    q = q * r + HALF
    return (q * (r * r) + r + ONE) * _last_bits_as_exponent(shifted)


@inline
def positive(x: Any) -> Any:
    """Return max(x, 0), or NaN for NaN."""
    return ZERO if x < ZERO else x


@inline
def log1p(t: Any) -> Any:
    """Compute log(1 + t), for t from 0 to 1, to a relative error of 1e-7."""
    z = t / (TWO + t)
    s = z * z
    # Minimax polynomial of 2 artanh(z) / z, in z ** 2.
    q = float32(0.2817831)
    q = q * s + float32(0.27960608)
    q = q * s + float32(0.4002491)
    q = q * s + float32(0.66666315)
    q = q * s + TWO
    return q * z


@inline
def softplus_slope(softplus: Any) -> Any:
    """Return the slope of a softplus, 1 - exp(-softplus), from its value."""
    s = softplus
    # Near zero a difference from one would lose digits.
    series = s * (ONE - s / 2 * (ONE - s / 3 * (ONE - s / 4 * (ONE - s / 5))))
    return series if s < _SMALL else ONE - exp(-s)


@inline
def sigmoid(x: Any) -> Any:
    """Compute 1 / (1 + exp(-x))."""
    return ONE / (ONE + exp(-x))


@inline
def softplus(x: Any) -> Any:
    """Compute log(1 + exp(x))."""
    return positive(x) + log1p(exp(-abs(x)))
