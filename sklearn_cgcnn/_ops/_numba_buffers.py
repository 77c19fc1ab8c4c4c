"""Buffers that are used again, for arrays with a row for each edge.

The memory of a large array that was freed goes back to the system, and a new array of
its size is slow at first: the system clears each page when it is first written to. For
the arrays that every layer of every step needs, this takes longer than what is computed
with them.
"""

from threading import Lock
from typing import Any

import numpy as np

# Largest number of bytes that are held while nobody uses them.
_MAX_HELD = 2**28
# The length of memory is a multiple of this, so that memory of one batch also suffices
# for batches with slightly more edges.
_GRANULE = 2**18

_lock = Lock()
_held: list[Any] = []  # from the shortest to the longest


class Buffer:
    """An array from the pool, which goes back to it with the last reference.

    Parameters
    ----------
    n_rows, width : int
        Shape of the array, in single precision.

    Attributes
    ----------
    array : ndarray
        Its content is arbitrary at first.
    """

    def __init__(self, n_rows: int, width: int) -> None:
        self._memory = _take(n_rows * width)
        self.array: Any = self._memory[: n_rows * width].reshape(n_rows, width)

    def __del__(self) -> None:
        _give(self.__dict__.pop("_memory", None))


def free_buffers() -> None:
    """Give all memory that is held back to the system."""
    with _lock:
        _held.clear()


def _take(size: int) -> Any:
    """Return memory for this many numbers: the smallest held that suffices, or new."""
    with _lock:
        for i, memory in enumerate(_held):
            if len(memory) >= size:
                return _held.pop(i)
        _held.clear()  # all of it is too small
    return np.empty(-(-max(size, 1) // _GRANULE) * _GRANULE, np.float32)


def _give(memory: Any) -> None:
    """Hold memory for the next buffer, unless too much would be held."""
    if memory is None:
        return
    with _lock:
        if memory.nbytes + sum(each.nbytes for each in _held) <= _MAX_HELD:
            _held.append(memory)
            _held.sort(key=len)
