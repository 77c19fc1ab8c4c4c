"""Equality of parameters by their content, where ``==`` compares identity."""

import functools
import types
from numbers import Number
from typing import Any

import numpy as np
import torch


def is_equal(left: Any, right: Any) -> bool:
    """Return whether two parameter values are equal by their content.

    Copies of modules, partials and other objects do not compare equal in Python. Here
    they are equal if they have the same class and equal attributes.

    Parameters
    ----------
    left, right : object
        The values.

    Returns
    -------
    bool
    """
    if left is right:
        return True
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        has_nan = left.dtype.kind in "fc" and right.dtype.kind in "fc"
        return np.array_equal(left, right, equal_nan=has_nan)
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return False
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return is_equal(left.detach().cpu().numpy(), right.detach().cpu().numpy())
    if isinstance(left, Number | str | type | types.FunctionType):
        return bool(left == right)
    if type(left) is not type(right):
        return False
    if isinstance(left, types.MethodType):
        same_function = left.__func__ is right.__func__
        return same_function and is_equal(left.__self__, right.__self__)
    if isinstance(left, dict):
        same_keys = left.keys() == right.keys()
        return same_keys and all(is_equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        pairs = zip(left, right, strict=False)
        return len(left) == len(right) and all(is_equal(*pair) for pair in pairs)
    if isinstance(left, functools.partial):
        return all(
            is_equal(getattr(left, name), getattr(right, name))
            for name in ("func", "args", "keywords")
        )
    if hasattr(left, "__dict__"):
        return is_equal(vars(left), vars(right))
    return bool(left == right)
