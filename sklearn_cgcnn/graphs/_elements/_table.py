"""Convert element features from any supported form to a table by atomic number."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element, Species

from sklearn_cgcnn.graphs._elements._properties import (
    MAX_ATOMIC_NUMBER,
    one_hot_site_features,
)

_EXPECTED = (
    'site_features must be "properties", "learned", "properties+learned", a sequence '
    "of property names, a DataFrame, mapping or array with the features of each "
    "element, or a path to a JSON file with such a mapping"
)


def element_table(site_features: Any) -> NDArray[np.float32]:
    """Return the features of all elements as a table by atomic number.

    Parameters
    ----------
    site_features : str, path-like, sequence of str, DataFrame, mapping or array-like
        One of

        - ``"properties"``: the nine properties of Table II of the paper;
        - names of some of these properties, such as ``["group", "period"]``;
        - ``"learned"``: the identity matrix, from which a network learns a vector for
          each element;
        - a DataFrame with a row for each element, or a mapping from each element to a
          vector of features. Its index or keys are symbols, atomic numbers (also as
          strings) or pymatgen elements;
        - an array whose row Z belongs to the element with atomic number Z. Row 0
          belongs to no element and must hold zeros or NaN. Elements beyond the last
          row have no features;
        - a path to a JSON file with a mapping, such as the ``atom_init.json`` of the
          original program.

    Returns
    -------
    ndarray of shape (104, n_features), float32
        The features by atomic number. In your own table, elements without features
        have NaN.

    Raises
    ------
    TypeError
        If `site_features` has none of these types.
    ValueError
        If a name or an element is unknown or occurs twice, if a file cannot be read, if
        a feature is not a number, or if the vectors have different lengths.
    """
    if isinstance(site_features, str) and site_features == "properties":
        return one_hot_site_features()
    if isinstance(site_features, str) and site_features == "learned":
        return np.eye(MAX_ATOMIC_NUMBER + 1, dtype=np.float32)
    if isinstance(site_features, str | os.PathLike):
        site_features = _read_json(site_features)
    if _are_names(site_features):
        try:
            return one_hot_site_features(list(site_features))
        except ValueError as error:
            raise ValueError(f"site_features: {error}") from None
    if hasattr(site_features, "iloc"):  # a DataFrame, without importing pandas
        return _from_rows(list(site_features.index), site_features.to_numpy())
    if isinstance(site_features, Mapping):
        return _from_rows(list(site_features), list(site_features.values()))
    return _from_array(site_features)


def _are_names(site_features: Any) -> bool:
    is_sequence = isinstance(site_features, Sequence) or (
        getattr(site_features, "ndim", None) == 1
    )
    return is_sequence and any(isinstance(each, str) for each in site_features)


def _read_json(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    path = Path(path)
    if path.suffix != ".json":
        raise ValueError(f"{_EXPECTED}, got {os.fspath(path)!r}")
    try:
        content = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"site_features={os.fspath(path)!r} cannot be read as JSON ({error}); pass "
            "the path of a file that maps each element to a vector of features"
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(
            f"site_features={os.fspath(path)!r} holds a {type(content).__name__}, "
            "expected a mapping from each element to a vector of features"
        )
    return content


def _from_array(values: Any) -> NDArray[np.float32]:
    if not hasattr(values, "__array__") and not isinstance(values, Sequence):
        raise TypeError(f"{_EXPECTED}, got an object of type {type(values).__name__}")
    rows = _to_matrix(values)
    if rows.ndim != 2 or not 1 < len(rows) <= MAX_ATOMIC_NUMBER + 1:
        raise ValueError(
            f"site_features has shape {rows.shape}; an array must have a row for each "
            f"atomic number, from 0 to at most {MAX_ATOMIC_NUMBER}, and a column for "
            "each feature"
        )
    if np.nan_to_num(rows[0]).any():
        raise ValueError(
            "site_features[0] must hold zeros or NaN, because no element has the "
            "atomic number 0; if the row is meant for hydrogen, put a row of zeros "
            "before it"
        )
    return _fill_table(np.arange(1, len(rows)), rows[1:])


def _from_rows(keys: list[Any], rows: Any) -> NDArray[np.float32]:
    numbers = [_atomic_number(key) for key in keys]
    seen: dict[int, Any] = {}
    for key, number in zip(keys, numbers, strict=True):
        if number in seen:
            raise ValueError(
                f"site_features has both {seen[number]!r} and {key!r}, which are the "
                "same element; keep one of them"
            )
        seen[number] = key
    values = _to_matrix(rows)
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"site_features has values of shape {values.shape}, expected a vector of "
            "features for each element, all of the same length"
        )
    return _fill_table(np.array(numbers), values)


def _fill_table(
    numbers: NDArray[np.intp], rows: NDArray[np.float64]
) -> NDArray[np.float32]:
    table = np.full((MAX_ATOMIC_NUMBER + 1, rows.shape[1]), np.nan, dtype=np.float32)
    table[numbers] = rows
    return table


def _atomic_number(key: Any) -> int:
    try:
        if isinstance(key, str) and not key.isdecimal():
            return int(Element(key).Z)
        if isinstance(key, Element | Species):
            return int(key.Z)
        # int() alone would turn 11.5 into 11.
        number = int(key)
        if number == float(key) and 1 <= number <= MAX_ATOMIC_NUMBER:
            return number
    except (ValueError, TypeError, OverflowError):
        pass
    raise ValueError(
        f"site_features has features for {key!r}, which is not an element; use symbols "
        f"or atomic numbers from 1 to {MAX_ATOMIC_NUMBER}"
    )


def _to_matrix(rows: Any) -> NDArray[np.float64]:
    try:
        return np.array(rows, dtype=np.float64)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"site_features cannot be converted to a matrix of numbers ({error}); give "
            "each element a vector of the same length"
        ) from error
