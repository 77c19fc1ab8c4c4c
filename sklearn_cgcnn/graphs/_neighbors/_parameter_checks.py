"""Checks of the parameters of edge rules."""

from math import inf
from numbers import Integral, Real
from typing import Any


def check_count(name: str, value: Any) -> int:
    """Return a number of neighbors as an int.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error message.
    value : object
        Value of the parameter.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the value is not an integer of at least 1.
    """
    if isinstance(value, Integral) and int(value) >= 1:
        return int(value)
    raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


def check_cutoff(value: Any) -> float:
    """Return a cutoff as a float.

    Parameters
    ----------
    value : object
        Value of the parameter ``cutoff``, in Å.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the value is not a positive, finite number.
    """
    if isinstance(value, Real) and 0 < float(value) < inf:
        return float(value)
    raise ValueError(f"cutoff must be a positive, finite distance in Å, got {value!r}")


def check_choice(name: str, value: Any, *choices: str) -> None:
    """Check that a parameter is one of several strings.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error message.
    value : object
        Value of the parameter.
    *choices : str
        The allowed strings.

    Raises
    ------
    ValueError
        If the value is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        allowed = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
