"""The one door for crystals and targets."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import IStructure
from sklearn.utils import column_or_1d

from sklearn_cgcnn.graphs import CrystalGraphs

_WANTED = (
    "a list, 1-D array or Series of pymatgen Structures, or CrystalGraphs made by "
    "CrystalGraphFeaturizer"
)


def check_crystals(X: Any) -> list[IStructure] | CrystalGraphs:
    """Tell structures from graphs, whatever they come in.

    Parameters
    ----------
    X : sequence of Structure, or CrystalGraphs
        A list, tuple, 1-D or one-column object array, Series or one-column DataFrame
        of structures; or packed graphs; or a sequence of such graphs.

    Returns
    -------
    list of Structure, or CrystalGraphs

    Raises
    ------
    TypeError
        If X or one of its items is something else.
    ValueError
        If X is empty or has several columns.
    """
    if isinstance(X, CrystalGraphs):
        if not len(X):
            raise ValueError("X holds no crystals; give at least one")
        return X
    crystals = _as_list(X)
    if not crystals:
        raise ValueError("X holds no crystals; give at least one")
    kind = CrystalGraphs if isinstance(crystals[0], CrystalGraphs) else IStructure
    for index, crystal in enumerate(crystals):
        if not isinstance(crystal, kind):
            raise TypeError(
                f"X[{index}] is of type {type(crystal).__name__}; X must be {_WANTED}"
            )
    if kind is CrystalGraphs:
        return CrystalGraphs.concatenate(crystals)
    return crystals


def _as_list(X: Any) -> list[Any]:
    # A Structure is itself a sequence (of its sites), and numpy takes equally long
    # structures for a matrix of sites: neither may get past here unnoticed.
    if isinstance(X, IStructure):
        raise TypeError(f"X is a single structure; write [X]. X must be {_WANTED}")
    if isinstance(X, str | bytes | dict) or not hasattr(X, "__len__"):
        raise TypeError(f"X is of type {type(X).__name__}; it must be {_WANTED}")
    if hasattr(X, "shape"):
        return list(_one_column(X))
    if isinstance(X, Sequence):
        return list(X)
    raise TypeError(f"X is of type {type(X).__name__}; it must be {_WANTED}")


def _one_column(X: Any) -> Iterator[Any]:
    if len(X.shape) == 2 and X.shape[1] == 1:
        return iter(X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0])
    if len(X.shape) == 1:
        return iter(X)
    raise ValueError(
        f"X has shape {X.shape}; it must be a single column: {_WANTED}. (An array made "
        "from a list of structures holds their sites; pass the list itself.)"
    )


def check_regression_target(y: Any, n_crystals: int) -> NDArray[np.float64]:
    """Check one finite number per crystal.

    Parameters
    ----------
    y : array-like of shape (n_crystals,)
    n_crystals : int

    Returns
    -------
    ndarray of shape (n_crystals,), float64

    Raises
    ------
    ValueError
        If y is missing, of another length, or holds values that are no finite numbers.
    """
    values = _check_target(y, n_crystals)
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y must hold numbers, got values of type {values.dtype}; for labels use "
            "CGCNNClassifier"
        ) from error
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise ValueError(
            f"y[{bad[0]}] is {numbers[bad[0]]}, and {len(bad)} of {n_crystals} values "
            "are not finite; leave those crystals out"
        )
    return numbers


def check_class_target(
    y: Any, n_crystals: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Check one label per crystal and number the classes.

    Parameters
    ----------
    y : array-like of shape (n_crystals,)
        Labels of any type that can be sorted.
    n_crystals : int

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The distinct labels in ascending order.
    codes : ndarray of shape (n_crystals,), int64
        Each label's position among them.

    Raises
    ------
    ValueError
        If y is missing, of another length, continuous, or holds fewer than two classes.
    """
    from sklearn.utils.multiclass import check_classification_targets

    values = _check_target(y, n_crystals)
    check_classification_targets(values)
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y holds a single class, {classes[0]!r}; a classifier needs at least two"
        )
    return classes, codes.astype(np.int64)


def _check_target(y: Any, n_crystals: int) -> NDArray[Any]:
    if y is None:
        raise ValueError("y is None; a target of one value per crystal is required")
    values: NDArray[Any] = column_or_1d(y, warn=True)
    if len(values) != n_crystals:
        raise ValueError(f"y has {len(values)} values for {n_crystals} crystals in X")
    return values
