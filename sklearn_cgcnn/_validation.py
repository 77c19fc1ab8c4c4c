"""The one door for crystals, targets and weights."""

import os
import sys
from collections.abc import Iterable, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import IMolecule, IStructure
from sklearn.utils.multiclass import check_classification_targets

from sklearn_cgcnn.exceptions import GraphSettingsError, StructureError
from sklearn_cgcnn.graphs import CrystalGraphs

_WANTED = (
    "X must be a list, 1-D array or Series of pymatgen Structures, or CrystalGraphs "
    "made by CrystalGraphFeaturizer"
)


# Crystals


def check_crystals(X: Any, first: int = 0) -> list[IStructure] | CrystalGraphs:
    """Tell structures from graphs, whatever they come in.

    Parameters
    ----------
    X : sequence of Structure, or CrystalGraphs
        A list, tuple, 1-D or one-column object array, Series or one-column DataFrame
        of structures (of pymatgen, or Atoms of ASE); or packed graphs; or a sequence
        of such graphs.
    first : int, default=0
        By which number errors are to call the first.

    Returns
    -------
    list of Structure, or CrystalGraphs

    Raises
    ------
    TypeError
        If X or one of its items is something else.
    ValueError
        If X is empty, has several columns, or holds numbers.
    StructureError
        If ASE's atoms cannot become a structure.
    """
    crystals = X if isinstance(X, CrystalGraphs) else _as_list(X)
    if not len(crystals):
        raise ValueError("X holds no crystals: it is empty; give at least one")
    if isinstance(crystals, CrystalGraphs):
        return crystals
    if isinstance(crystals[0], CrystalGraphs):
        _check_items(crystals, CrystalGraphs, first)
        try:
            return CrystalGraphs.concatenate(crystals)
        except GraphSettingsError as error:
            raise GraphSettingsError(str(error).replace("parts[", "X[")) from None
    crystals = [_from_ase(each, index) for index, each in enumerate(crystals, first)]
    _check_items(crystals, IStructure, first)
    return crystals


def check_elements(graphs: CrystalGraphs, known_elements: NDArray[np.bool_]) -> None:
    """Check that there are features of every element that occurs.

    Parameters
    ----------
    graphs : CrystalGraphs
    known_elements : ndarray of shape (n_elements,), bool
        By atomic number, whether there are.

    Raises
    ------
    StructureError
        At the first crystal with an element without features.
    """
    known = np.zeros(256, dtype=bool)
    known[: len(known_elements)] = known_elements
    unknown = np.flatnonzero(~known[graphs.atomic_numbers])
    if len(unknown):
        site = unknown[0]
        index = int(np.searchsorted(graphs.site_offsets, site, side="right")) - 1
        element = Element.from_Z(int(graphs.atomic_numbers[site])).symbol
        raise StructureError(
            f"X[{index}] holds {element}, of which site_features has no features, or "
            "none that are finite; add them, or leave the crystal out",
            index=index,
        )


def _as_list(X: Any) -> list[Any]:
    # A Structure is itself a sequence (of its sites), and numpy takes equally long
    # structures for a matrix of sites: neither may get past here unnoticed.
    kind = type(X).__name__
    if isinstance(X, IStructure) or _is_ase_atoms(X):
        raise TypeError(f"X is a single {kind}; write [X]. {_WANTED}")
    if isinstance(X, IMolecule):
        raise TypeError(f"X is a {kind}, which has no lattice. {_WANTED}")
    if isinstance(X, str | bytes | os.PathLike):
        raise TypeError(
            f"X is a {kind}; read the structures first, with Structure.from_file or a "
            f"loader of sklearn_cgcnn.datasets. {_WANTED}"
        )
    if isinstance(X, dict):
        raise TypeError(f"X is a {kind}; pass list(X.values()). {_WANTED}")
    if getattr(X, "shape", None) is not None:
        return _one_column(X)
    if isinstance(X, list | tuple):
        return list(X)
    if isinstance(X, Iterable) and not isinstance(X, Sized):
        raise TypeError(
            f"X is a {kind}, used up by reading it; pass list(X). {_WANTED}"
        )
    raise TypeError(f"X is of type {kind}. {_WANTED}")


def _one_column(X: Any) -> list[Any]:
    # scikit-learn's checks of foreign estimators ask for this sentence.
    if np.issubdtype(getattr(X, "dtype", object), np.complexfloating):
        raise ValueError(f"Complex data not supported: X holds numbers. {_WANTED}")
    if len(X.shape) == 2 and X.shape[1] == 1:
        return list(X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0])
    if len(X.shape) == 1:
        return list(X)
    raise ValueError(
        f"X has shape {X.shape}; choose its one column of structures. {_WANTED}. (An "
        "array made from a list of structures holds their sites; pass the list itself)"
    )


def _check_items(crystals: list[Any], kind: type, first: int) -> None:
    for index, crystal in enumerate(crystals, first):
        if isinstance(crystal, kind):
            continue
        found = f"X[{index}] is of type {type(crystal).__name__}"
        if isinstance(crystal, IMolecule):
            formula = crystal.composition.formula
            raise TypeError(
                f"{found} ({formula}), which has no lattice; give it one with "
                "get_boxed_structure, or leave it out"
            )
        if isinstance(crystal, IStructure | CrystalGraphs):
            raise TypeError(
                f"{found}, X[{first}] of type {type(crystals[0]).__name__}; featurize "
                "all of X or none of it"
            )
        raise TypeError(f"{found}; convert it, or leave it out. {_WANTED}")


def _is_ase_atoms(crystal: Any) -> bool:
    # Whoever holds Atoms has imported ASE; nobody else needs it.
    ase = sys.modules.get("ase")
    return ase is not None and isinstance(crystal, ase.Atoms)


def _from_ase(crystal: Any, index: int) -> Any:
    if not _is_ase_atoms(crystal):
        return crystal
    from pymatgen.io.ase import AseAtomsAdaptor

    try:
        structure = AseAtomsAdaptor.get_structure(crystal)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise StructureError(
            f"X[{index}] ({crystal.get_chemical_formula()}): ASE's Atoms cannot become "
            f"a structure ({error}); give them a cell, or leave them out",
            index=index,
        ) from error
    return structure


# Targets


def check_regression_target(y: Any, n_crystals: int) -> NDArray[np.float64]:
    """Check one number, or row of numbers, per crystal.

    Parameters
    ----------
    y : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
        A two-dimensional y may lack values: NaN.
    n_crystals : int

    Returns
    -------
    ndarray of the shape of y, float64

    Raises
    ------
    ValueError
        If y is missing, of another length, or holds what is no finite number.
    """
    values = _check_target(y, n_crystals, max_dimensions=2)
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y holds values of type {_kind_of_first_non_number(values)}; a regressor "
            "needs numbers (for labels there is CGCNNClassifier)"
        ) from error
    missing = np.isnan(numbers)
    bad = np.isinf(numbers) if numbers.ndim == 2 else missing | np.isinf(numbers)
    if bad.any():
        where = tuple(np.argwhere(bad)[0].tolist())
        raise ValueError(
            f"y[{', '.join(map(str, where))}] is {numbers[where]}, one of {bad.sum()} "
            "values that are not finite; leave those crystals out"
        )
    if numbers.ndim == 2 and missing.all(axis=0).any():
        column = int(missing.all(axis=0).argmax())
        raise ValueError(f"y[:, {column}] is NaN for every crystal; leave it out")
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
        If y is missing, of another length, continuous, or holds fewer than two
        classes.
    """
    values = check_labels(y, n_crystals)
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y holds one class only, {classes.tolist()[0]!r}; a classifier needs at "
            "least two"
        )
    return classes, codes.astype(np.int64)


def check_labels(y: Any, n_crystals: int) -> NDArray[Any]:
    """Check one label per crystal.

    Parameters
    ----------
    y : array-like of shape (n_crystals,)
    n_crystals : int

    Returns
    -------
    ndarray of shape (n_crystals,)

    Raises
    ------
    ValueError
        If y is missing, of another length, or continuous.
    """
    values = _check_target(y, n_crystals, max_dimensions=1)
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        index = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"y[{index}] is {values[index]}, no label; leave it out")
    try:
        np.unique(values)
    except TypeError as error:
        raise ValueError(
            f"y mixes labels that cannot be sorted ({error}); make them all of one type"
        ) from error
    check_classification_targets(values)
    return values


def _check_target(y: Any, n_crystals: int, max_dimensions: int) -> NDArray[Any]:
    # scikit-learn's own words come first where its checks ask for them.
    if y is None:
        raise ValueError(
            "requires y to be passed, but the target y is None; give one value per "
            "crystal"
        )
    if hasattr(y, "toarray"):
        raise TypeError("y is a sparse matrix; pass y.toarray()")
    try:
        values = np.asarray(y)
    except ValueError as error:
        raise ValueError(f"y is ragged; give one value each ({error})") from error
    if values.dtype.kind == "c":
        raise ValueError("Complex data not supported: y is complex; pass y.real")
    if values.ndim == 2 and values.shape[1] == 1 and max_dimensions == 1:
        values = _ravel_with_warning(values)
    if not 1 <= values.ndim <= max_dimensions or 0 in values.shape[1:]:
        raise ValueError(
            f"y has shape {values.shape}; it must have "
            + " or ".join(["(n_crystals,)", "(n_crystals, n_outputs)"][:max_dimensions])
        )
    if len(values) != n_crystals:
        raise ValueError(
            f"y has {len(values)} values for {n_crystals} crystals in X; give one each"
        )
    if values.dtype == object:
        for index, value in enumerate(values.flat):
            if value is None:
                row = index // (values.size // len(values))
                raise ValueError(f"y[{row}] is None, no value; leave that crystal out")
    return values


def _ravel_with_warning(values: NDArray[Any]) -> NDArray[Any]:
    from sklearn.utils import column_or_1d

    column: NDArray[Any] = column_or_1d(values, warn=True)
    return column


def _kind_of_first_non_number(values: NDArray[Any]) -> str:
    for value in values.flat:
        try:
            float(value)
        except (TypeError, ValueError):
            return type(value).__name__
    return str(values.dtype)


# Weights


def check_sample_weight(sample_weight: Any, n_crystals: int) -> NDArray[np.float64]:
    """Check one weight per crystal.

    Parameters
    ----------
    sample_weight : array-like of shape (n_crystals,), float or None
        None stands for equal weights.
    n_crystals : int

    Returns
    -------
    ndarray of shape (n_crystals,), float64

    Raises
    ------
    ValueError
        If the weights are of another length, negative, not finite, or all zero.
    """
    if sample_weight is None:
        return np.ones(n_crystals)
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"sample_weight holds what is no number ({error}); give one number per "
            "crystal"
        ) from error
    if weights.ndim == 0:
        weights = np.full(n_crystals, weights)
    if weights.shape != (n_crystals,):
        raise ValueError(
            f"sample_weight has shape {weights.shape} for {n_crystals} crystals in X; "
            "give one weight each"
        )
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ValueError(
            f"sample_weight[{bad[0]}] is {weights[bad[0]]}; make it positive and "
            "finite, or zero to leave that crystal out"
        )
    if not weights.any():
        raise ValueError(
            "sample_weight is zero for every crystal; give a positive weight to those "
            "to learn from"
        )
    return weights
