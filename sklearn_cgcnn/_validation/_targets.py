"""Check that y contains one target per crystal."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets


def check_regression_target(
    y: Any, n_crystals: int, name: str = "y"
) -> NDArray[np.float64]:
    """Check that y contains one number, or one row of numbers, per crystal.

    Parameters
    ----------
    y : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
        Targets. NaN marks a missing value, which is allowed only if y is
        two-dimensional.
    n_crystals : int
        Number of crystals in X.
    name : str, default="y"
        Name of the argument, for messages. "y_val" belongs to "X_val".

    Returns
    -------
    ndarray of shape (n_crystals,) or (n_crystals, n_outputs), float64
        The targets, in the shape of y.

    Raises
    ------
    TypeError
        If y is a sparse matrix.
    ValueError
        If y is None, has the wrong shape, contains a value that is not a finite
        number, or has a column of NaN alone.
    """
    values = _check_target(y, n_crystals, 2, name)
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{_describe_first_non_number(values, name)}, but a regressor needs "
            f"numbers; convert {name} to numbers, or use CGCNNClassifier if it "
            "contains labels"
        ) from error
    missing = np.isnan(numbers)
    bad = np.isinf(numbers) if numbers.ndim == 2 else missing | np.isinf(numbers)
    if bad.any():
        position = tuple(np.argwhere(bad)[0].tolist())
        raise ValueError(
            f"{_name_entry(name, position)} is {numbers[position]}, but targets must "
            f"be finite; leave these crystals out (not finite: {bad.sum()} of "
            f"{bad.size} values)"
        )
    if numbers.ndim == 2 and missing.all(axis=0).any():
        column = int(missing.all(axis=0).argmax())
        raise ValueError(
            f"{name}[:, {column}] is NaN for every crystal; leave this column out"
        )
    return numbers


def check_class_target(
    y: Any, n_crystals: int, name: str = "y"
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Check that y contains one label per crystal, and encode the labels as integers.

    Parameters
    ----------
    y : array-like of shape (n_crystals,)
        Labels of any type that can be sorted.
    n_crystals : int
        Number of crystals in X.
    name : str, default="y"
        Name of the argument, for messages. "y_val" belongs to "X_val".

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The distinct labels in ascending order.
    codes : ndarray of shape (n_crystals,), int64
        Index of each crystal's label in `classes`.

    Raises
    ------
    TypeError
        If y is a sparse matrix.
    ValueError
        If y is None, has the wrong shape, is continuous, or contains fewer than two
        classes.
    """
    values = check_labels(y, n_crystals, name)
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{name} contains only one class, {classes.tolist()[0]!r}, but a "
            "classifier needs at least two; add crystals of another class"
        )
    return classes, codes.astype(np.int64)


def check_labels(y: Any, n_crystals: int, name: str = "y") -> NDArray[Any]:
    """Check that y contains one label per crystal.

    Parameters
    ----------
    y : array-like of shape (n_crystals,)
        Labels of any type that can be sorted.
    n_crystals : int
        Number of crystals in X.
    name : str, default="y"
        Name of the argument, for messages. "y_val" belongs to "X_val".

    Returns
    -------
    ndarray of shape (n_crystals,)

    Raises
    ------
    TypeError
        If y is a sparse matrix.
    ValueError
        If y is None, has the wrong shape, is continuous, or contains labels that are
        not finite or cannot be sorted.
    """
    values = _check_target(y, n_crystals, 1, name)
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        index = int(np.argmin(np.isfinite(values)))
        raise ValueError(
            f"{name}[{index}] is {values[index]}, but labels must be finite; leave "
            "this crystal out"
        )
    try:
        np.unique(values)
    except TypeError as error:
        raise ValueError(
            f"{name} contains labels that cannot be sorted ({error}); convert all "
            "labels to one type"
        ) from error
    check_classification_targets(values)
    return values


def _check_target(
    y: Any, n_crystals: int, max_dimensions: int, name: str
) -> NDArray[Any]:
    # scikit-learn's estimator checks expect the words "requires y to be passed, but the
    # target y is None" and "Complex data not supported".
    if y is None:
        raise ValueError(
            f"requires {name} to be passed, but the target {name} is None; pass one "
            "value per crystal"
        )
    if hasattr(y, "toarray"):
        raise TypeError(
            f"{name} is a sparse matrix, but must be dense; pass {name}.toarray()"
        )
    try:
        values = np.asarray(y)
    except ValueError as error:
        raise ValueError(
            f"{name} has rows of different lengths; pass the same number of values for "
            f"each crystal ({error})"
        ) from error
    if values.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} is complex; pass {name}.real"
        )
    if values.ndim == 2 and values.shape[1] == 1 and max_dimensions == 1:
        values = column_or_1d(values, warn=True)
    if not 1 <= values.ndim <= max_dimensions or 0 in values.shape[1:]:
        shapes = ["(n_crystals,)", "(n_crystals, n_outputs)"][:max_dimensions]
        raise ValueError(
            f"{name} has shape {values.shape}, but must have shape "
            f"{' or '.join(shapes)}"
        )
    if len(values) != n_crystals:
        raise ValueError(
            f"{name} has {len(values)} values for {n_crystals} crystals in "
            f"X{name[1:]}; pass one per crystal"
        )
    if values.dtype == object:
        _check_no_none(values, name)
    return values


def _check_no_none(values: NDArray[Any], name: str) -> None:
    for position, value in np.ndenumerate(values):
        if value is None:
            remedy = "leave this crystal out"
            if values.ndim == 2:
                remedy += ", or mark the missing value with NaN"
            raise ValueError(
                f"{_name_entry(name, position)} is None, but every crystal needs a "
                f"value; {remedy}"
            )


def _describe_first_non_number(values: NDArray[Any], name: str) -> str:
    for position, value in np.ndenumerate(values):
        try:
            float(value)
        except (TypeError, ValueError):
            return f"{_name_entry(name, position)} is of type {type(value).__name__}"
    return f"{name} is of dtype {values.dtype}"


def _name_entry(name: str, position: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, position))}]"
