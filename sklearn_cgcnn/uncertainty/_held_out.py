"""Crystals held out of the training, to learn the errors of predictions from."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_cgcnn.graphs import AnyGraphs


def hold_out(
    n_crystals: int, name: str, fraction: float, random_state: Any
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the positions of the crystals to train on, and of those held out.

    Parameters
    ----------
    n_crystals : int
        Number of crystals.
    name : str
        Name of the parameter `fraction`, for messages.
    fraction : float
        Fraction of the crystals to hold out.
    random_state : int, RandomState instance or None
        Determines which.

    Returns
    -------
    train : ndarray of int
        Positions to train on.
    held_out : ndarray of int
        The others.

    Raises
    ------
    ValueError
        If no crystals are left to train on.
    """
    n_held_out = math.ceil(fraction * n_crystals)
    if n_held_out == n_crystals:
        raise ValueError(
            f"{name}={fraction} of {n_crystals} crystals leaves none to train on; pass "
            "more crystals, or a smaller fraction"
        )
    order = check_random_state(random_state).permutation(n_crystals)
    return order[n_held_out:], order[:n_held_out]


def take(
    crystals: list[Any] | AnyGraphs, rows: NDArray[np.intp]
) -> list[Any] | AnyGraphs:
    """Return the crystals at some positions.

    Parameters
    ----------
    crystals : list of Structure, or CrystalGraphs
        The crystals.
    rows : ndarray of int
        The positions.

    Returns
    -------
    list of Structure, or CrystalGraphs
    """
    if isinstance(crystals, AnyGraphs):
        return crystals[rows]
    return [crystals[row] for row in rows]
