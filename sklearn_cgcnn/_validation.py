"""Checks of the inputs of estimators: crystals, targets and sample weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import IStructure
from sklearn.utils.multiclass import check_classification_targets

from sklearn_cgcnn._advice import (
    EXPECTED_X,
    describe_container,
    describe_item,
    is_crystal,
)
from sklearn_cgcnn._ase_atoms import is_ase_atoms, structure_from_ase
from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.graphs import CrystalGraphs, Failure, structure_error

# Crystals


def check_crystals(
    X: Any, *, on_error: str = "raise", first: int = 0
) -> list[IStructure | Failure] | CrystalGraphs:
    """Check that X contains structures or graphs, and unpack its container.

    Parameters
    ----------
    X : sequence of Structure, CrystalGraphs, or sequence of CrystalGraphs
        A sequence is a list, a tuple, a 1-D or one-column array of dtype object, a
        Series or a one-column DataFrame. Structures are pymatgen Structures or ASE
        Atoms.
    on_error : {"raise", "collect"}, default="raise"
        What to do with items of another type. "raise" raises an error, "collect"
        replaces them by failures.
    first : int, default=0
        Index by which error messages refer to the first item of X.

    Returns
    -------
    list of (Structure or Failure), or CrystalGraphs
        A failure takes the place of an item that is no crystal, and of ASE Atoms that
        cannot be converted. The featurizer raises or collects it together with the
        structures that cannot become graphs. Passing the list again changes nothing.

    Raises
    ------
    TypeError
        If X is of another type, contains graphs and structures, or contains an item of
        another type and `on_error` is "raise".
    ValueError
        If X is empty, has several columns, or contains complex numbers.
    GraphSettingsError
        If X contains graphs made with different settings.
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
        return _join_graphs(crystals, first)
    return _as_structures(crystals, on_error, first)


def find_unknown_elements(
    graphs: CrystalGraphs, known_elements: NDArray[np.bool_]
) -> dict[int, str]:
    """Find the crystals that contain an element without features.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.
    known_elements : ndarray of shape (n_elements,), bool
        Whether an element has features, indexed by its atomic number.

    Returns
    -------
    dict of int to str
        The reason for each of these crystals, by its position in ascending order, as
        :meth:`CrystalGraphs.with_failed` takes it.
    """
    known = np.zeros(256, dtype=bool)
    known[: len(known_elements)] = known_elements
    unknown = np.flatnonzero(~known[graphs.atomic_numbers])
    crystals = np.searchsorted(graphs.site_offsets, unknown, side="right") - 1
    crystals, first = np.unique(crystals, return_index=True)
    symbols = [
        Element.from_Z(int(number)).symbol
        for number in graphs.atomic_numbers[unknown[first]]
    ]
    return {
        crystal: (
            f"contains {symbol}, but site_features has no features, or no finite ones, "
            "for this element; add them, or leave this crystal out"
        )
        for crystal, symbol in zip(crystals.tolist(), symbols, strict=True)
    }


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
        If crystals contain elements without features. The error names all of them.
    """
    unknown = find_unknown_elements(graphs, known_elements)
    if unknown:
        failures = {index: Failure(reason) for index, reason in unknown.items()}
        remedy = "Add features for these elements, or leave these crystals out."
        raise structure_error(failures, len(graphs), remedy)


def _as_list(X: Any) -> list[Any]:
    # A Structure is itself a sequence (of its sites), and numpy converts a list of
    # structures of equal length to a 2-D array of sites. Without a check, both would
    # pass for sequences of crystals.
    if isinstance(X, list | tuple):
        return list(X)
    if getattr(X, "shape", None) is not None:
        return _as_one_column(X)
    raise TypeError(describe_container(X))


def _as_one_column(X: Any) -> list[Any]:
    # scikit-learn's estimator checks expect the words "Complex data not supported".
    if np.issubdtype(getattr(X, "dtype", object), np.complexfloating):
        raise ValueError(
            f"Complex data not supported: X contains complex numbers. {EXPECTED_X}"
        )
    if len(X.shape) == 2 and X.shape[1] == 1:
        return list(X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0])
    if len(X.shape) == 1:
        return list(X)
    raise ValueError(
        f"X has shape {X.shape}, but must have one dimension or one column; select the "
        f"column of structures. {EXPECTED_X}. (numpy converts a list of structures to "
        "an array of their sites; pass the list itself.)"
    )


def _join_graphs(parts: list[Any], first: int) -> CrystalGraphs:
    for index, part in enumerate(parts, first):
        if is_crystal(part):
            raise _mixture_error(part, index, parts[0], first)
        if not isinstance(part, CrystalGraphs):
            raise TypeError(f"X[{index}] {describe_item(part)}. {EXPECTED_X}")
    try:
        return CrystalGraphs.concatenate(parts)
    except GraphSettingsError as error:
        # The user knows these graphs as items of X, not of the argument `parts`.
        raise GraphSettingsError(str(error).replace("parts[", "X[")) from None


def _as_structures(
    items: list[Any], on_error: str, first: int
) -> list[IStructure | Failure]:
    """Replace items of X by structures, or by what is wrong with them."""
    structures = list[IStructure | Failure]()
    for index, item in enumerate(items, first):
        if isinstance(item, IStructure | Failure):
            structures.append(item)
        elif is_ase_atoms(item):
            structures.append(structure_from_ase(item))
        elif isinstance(item, CrystalGraphs):
            raise _mixture_error(item, index, items[0], first)
        elif on_error == "collect":
            structures.append(Failure(describe_item(item)))
        else:
            raise TypeError(f"X[{index}] {describe_item(item)}. {EXPECTED_X}")
    return structures


def _mixture_error(item: Any, index: int, first_item: Any, first: int) -> TypeError:
    return TypeError(
        f"X[{index}] is of type {type(item).__name__}, but X[{first}] is of type "
        f"{type(first_item).__name__}; featurize all of X or none of it"
    )


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
