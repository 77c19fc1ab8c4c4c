"""Ragged arrays: items that lie one after another, and offsets of their owners.

Owner ``i`` has the items ``offsets[i]:offsets[i + 1]``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def offsets_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the offsets of owners that have `counts` items.

    Parameters
    ----------
    counts : ndarray of shape (n_owners,), int64
        Number of items of each owner.

    Returns
    -------
    ndarray of shape (n_owners + 1,), int64
    """
    return np.concatenate([[0], np.cumsum(counts)])


def take_ragged(
    offsets: NDArray[np.int64], rows: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the items that `rows` own, and their new offsets.

    Parameters
    ----------
    offsets : ndarray of shape (n_owners + 1,), int64
        Where the items of each owner begin.
    rows : ndarray of shape (n_rows,), int
        The owners to select.

    Returns
    -------
    items : ndarray of shape (n_items,), int64
        Positions of the items of all selected owners.
    new_offsets : ndarray of shape (n_rows + 1,), int64
        Where the items of each selected owner begin among them.
    """
    counts = offsets[rows + 1] - offsets[rows]
    taken = offsets_of(counts)
    shift = np.repeat(offsets[rows] - taken[:-1], counts)
    return shift + np.arange(taken[-1]), taken


def join_offsets(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the offsets of the owners of several parts, one part after another.

    Parameters
    ----------
    parts : sequence of ndarray, int64
        The offsets of each part.

    Returns
    -------
    ndarray of int64
    """
    return offsets_of(np.concatenate([np.diff(part) for part in parts]))
