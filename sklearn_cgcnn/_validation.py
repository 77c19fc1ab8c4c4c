"""Checks of the inputs of estimators: crystals, targets and sample weights."""

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

_EXPECTED_X = (
    "X must be a list, 1-D array or Series of pymatgen Structures or ASE Atoms, or "
    "CrystalGraphs made by CrystalGraphFeaturizer"
)


# Crystals


def check_crystals(X: Any, first: int = 0) -> list[IStructure] | CrystalGraphs:
    """Check that X contains structures or graphs, and unpack its container.

    Parameters
    ----------
    X : sequence of Structure, CrystalGraphs, or sequence of CrystalGraphs
        A sequence is a list, a tuple, a 1-D or one-column array of dtype object, a
        Series or a one-column DataFrame. Structures are pymatgen Structures or ASE
        Atoms.
    first : int, default=0
        Index by which error messages refer to the first item of X.

    Returns
    -------
    list of Structure, or CrystalGraphs

    Raises
    ------
    TypeError
        If X is of another type, or contains an item of another type.
    ValueError
        If X is empty, has several columns, or contains complex numbers.
    GraphSettingsError
        If X contains graphs made with different settings.
    StructureError
        If ASE Atoms cannot be converted to a structure.
    """
    crystals = X if isinstance(X, CrystalGraphs) else _as_list(X)
    if not len(crystals):
        raise ValueError(
            f"X contains no crystals: the {type(X).__name__} is empty; pass at least "
            "one crystal"
        )
    if isinstance(crystals, CrystalGraphs):
        return crystals
    if isinstance(crystals[0], CrystalGraphs):
        _check_items(crystals, CrystalGraphs, first)
        try:
            return CrystalGraphs.concatenate(crystals)
        except GraphSettingsError as error:
            # The user knows these graphs as items of X, not of the argument `parts`.
            raise GraphSettingsError(str(error).replace("parts[", "X[")) from None
    crystals = [_from_ase(item, index) for index, item in enumerate(crystals, first)]
    _check_items(crystals, IStructure, first)
    return crystals


def check_elements(graphs: CrystalGraphs, known_elements: NDArray[np.bool_]) -> None:
    """Check that features are available for every element of the crystals.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.
    known_elements : ndarray of shape (n_elements,), bool
        Whether an element has features, indexed by its atomic number.

    Raises
    ------
    StructureError
        If a crystal contains an element without features. The error refers to the
        first such crystal.
    """
    known = np.zeros(256, dtype=bool)
    known[: len(known_elements)] = known_elements
    unknown = np.flatnonzero(~known[graphs.atomic_numbers])
    if len(unknown):
        site = unknown[0]
        index = int(np.searchsorted(graphs.site_offsets, site, side="right")) - 1
        element = Element.from_Z(int(graphs.atomic_numbers[site])).symbol
        raise StructureError(
            f"X[{index}] contains {element}, but site_features has no features, or no "
            "finite ones, for this element; add them, or leave this crystal out",
            index=index,
        )


def _as_list(X: Any) -> list[Any]:
    # A Structure is itself a sequence (of its sites), and numpy converts a list of
    # structures of equal length to a 2-D array of sites. Without a check, both would
    # pass for sequences of crystals.
    type_name = type(X).__name__
    if isinstance(X, IStructure) or _is_ase_atoms(X):
        raise TypeError(f"X is a single {type_name}; pass [X]. {_EXPECTED_X}")
    if isinstance(X, IMolecule):
        raise TypeError(
            f"X is a {type_name}, which has no lattice; give it one with "
            f"get_boxed_structure, and pass the result in a list. {_EXPECTED_X}"
        )
    if isinstance(X, str | bytes | os.PathLike):
        raise TypeError(
            f"X is a {type_name}; read the structures first, with Structure.from_file "
            f"or a loader from sklearn_cgcnn.datasets. {_EXPECTED_X}"
        )
    if isinstance(X, dict):
        raise TypeError(f"X is a {type_name}; pass list(X.values()). {_EXPECTED_X}")
    if getattr(X, "shape", None) is not None:
        return _as_one_column(X)
    if isinstance(X, list | tuple):
        return list(X)
    if isinstance(X, Iterable) and not isinstance(X, Sized):
        raise TypeError(
            f"X is a {type_name}, which can be read only once; pass list(X). "
            f"{_EXPECTED_X}"
        )
    raise TypeError(f"X is of type {type_name}. {_EXPECTED_X}")


def _as_one_column(X: Any) -> list[Any]:
    # scikit-learn's estimator checks expect the words "Complex data not supported".
    if np.issubdtype(getattr(X, "dtype", object), np.complexfloating):
        raise ValueError(
            f"Complex data not supported: X contains complex numbers. {_EXPECTED_X}"
        )
    if len(X.shape) == 2 and X.shape[1] == 1:
        return list(X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0])
    if len(X.shape) == 1:
        return list(X)
    raise ValueError(
        f"X has shape {X.shape}, but must have one dimension or one column; select the "
        f"column of structures. {_EXPECTED_X}. (numpy converts a list of structures to "
        "an array of their sites; pass the list itself.)"
    )


def _check_items(crystals: list[Any], expected: type, first: int) -> None:
    for index, crystal in enumerate(crystals, first):
        if isinstance(crystal, expected):
            continue
        actual = f"X[{index}] is of type {type(crystal).__name__}"
        if isinstance(crystal, IMolecule):
            formula = crystal.composition.formula
            raise TypeError(
                f"{actual} ({formula}), which has no lattice; give it one with "
                "get_boxed_structure, or leave it out"
            )
        if isinstance(crystal, IStructure | CrystalGraphs):
            raise TypeError(
                f"{actual}, but X[{first}] is of type {type(crystals[0]).__name__}; "
                "featurize all of X or none of it"
            )
        raise TypeError(
            f"{actual}; convert it to a Structure, or leave it out. {_EXPECTED_X}"
        )


def _is_ase_atoms(crystal: Any) -> bool:
    # ASE is optional. If X contains Atoms, the caller has imported it already.
    ase = sys.modules.get("ase")
    return ase is not None and isinstance(crystal, ase.Atoms)


def _from_ase(crystal: Any, index: int) -> Any:
    """Convert ASE Atoms to a Structure, and return anything else unchanged."""
    if not _is_ase_atoms(crystal):
        return crystal
    from pymatgen.io.ase import AseAtomsAdaptor

    try:
        structure = AseAtomsAdaptor.get_structure(crystal)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise StructureError(
            f"X[{index}] ({crystal.get_chemical_formula()}) cannot be converted from "
            f"ASE Atoms to a Structure ({error}); give it a cell, or leave it out",
            index=index,
        ) from error
    return structure


# Targets


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
            f"numbers; convert {name} to numbers, or use CGCNNClassifier if it contains"
            " labels"
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
        values = _ravel_with_warning(values)
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


def _ravel_with_warning(values: NDArray[Any]) -> NDArray[Any]:
    from sklearn.utils import column_or_1d

    column: NDArray[Any] = column_or_1d(values, warn=True)
    return column


def _describe_first_non_number(values: NDArray[Any], name: str) -> str:
    for position, value in np.ndenumerate(values):
        try:
            float(value)
        except (TypeError, ValueError):
            return f"{_name_entry(name, position)} is of type {type(value).__name__}"
    return f"{name} is of dtype {values.dtype}"


def _name_entry(name: str, position: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, position))}]"


# Sample weights


def check_sample_weight(
    sample_weight: Any, n_crystals: int, name: str = "sample_weight"
) -> NDArray[np.float64]:
    """Check that there is one sample weight per crystal.

    Parameters
    ----------
    sample_weight : array-like of shape (n_crystals,), float or None
        Sample weights. A number applies to every crystal. None gives every crystal
        the weight 1.
    n_crystals : int
        Number of crystals in X.
    name : str, default="sample_weight"
        Name of the argument, for messages. "sample_weight_val" belongs to
        "X_val".

    Returns
    -------
    ndarray of shape (n_crystals,), float64

    Raises
    ------
    ValueError
        If the weights have the wrong shape, are negative or not finite, or are all
        zero.
    """
    if sample_weight is None:
        return np.ones(n_crystals)
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} contains values that are not numbers ({error}); pass one "
            "number per crystal"
        ) from error
    if weights.ndim == 0:
        weights = np.full(n_crystals, weights)
    if weights.shape != (n_crystals,):
        raise ValueError(
            f"{name} has shape {weights.shape} for {n_crystals} crystals in "
            f"X{name.removeprefix('sample_weight')}; "
            "pass one weight per crystal"
        )
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ValueError(
            f"{name}[{bad[0]}] is {weights[bad[0]]}, but weights must be finite "
            "and not negative; use zero to leave a crystal out"
        )
    if not weights.any():
        raise ValueError(
            f"{name} is zero for every crystal; pass a positive weight for at least one"
        )
    return weights
