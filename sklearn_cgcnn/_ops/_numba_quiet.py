"""Functions that do not warn of numbers that are too large."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")


def quiet(function: Callable[..., Result]) -> Callable[..., Result]:
    """Silence a function's warnings of numbers that are too large.

    They appear if a training diverges, which the loss then shows.

    Parameters
    ----------
    function : callable

    Returns
    -------
    callable
    """

    @wraps(function)
    def call(*args: Any) -> Result:
        with np.errstate(over="ignore", invalid="ignore"):
            return function(*args)

    return call
