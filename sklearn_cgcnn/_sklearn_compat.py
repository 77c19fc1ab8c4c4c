"""The one place that imports private names of scikit-learn, with their types."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sklearn.base import _fit_context
from sklearn.utils import _param_validation
from sklearn.utils._param_validation import Interval, StrOptions

__all__ = ["Interval", "StrOptions", "fit_context", "validate_params"]

Function = TypeVar("Function", bound=Callable[..., Any])


def fit_context(
    *, prefer_skip_nested_validation: bool
) -> Callable[[Function], Function]:
    """Return the decorator that validates parameters before a fit method runs.

    Parameters
    ----------
    prefer_skip_nested_validation : bool
        Whether to skip the validation of estimators that the method itself uses.

    Returns
    -------
    callable
    """
    decorator: Callable[[Function], Function] = _fit_context(
        prefer_skip_nested_validation=prefer_skip_nested_validation
    )
    return decorator


def validate_params(
    constraints: Mapping[str, Any], *, prefer_skip_nested_validation: bool
) -> Callable[[Function], Function]:
    """Return the decorator that validates the arguments of a function.

    Parameters
    ----------
    constraints : mapping of str to list
        Constraints by the name of the argument.
    prefer_skip_nested_validation : bool
        Whether to skip the validation in functions that the function itself calls.

    Returns
    -------
    callable
    """
    decorator: Callable[[Function], Function] = _param_validation.validate_params(
        constraints, prefer_skip_nested_validation=prefer_skip_nested_validation
    )
    return decorator
