"""Features of the elements in whatever form a user has them."""

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

_WANTED = (
    'site_features must be "properties", "learned", a sequence of names of properties, '
    "a DataFrame, mapping or array of features by element, or a path to a JSON file of "
    "such a mapping"
)


def element_table(site_features: Any) -> NDArray[np.float32]:
    """Bring features of the elements into the order of their atomic numbers.

    Parameters
    ----------
    site_features : str, path-like, sequence of str, DataFrame, mapping or array-like
        One of

        - ``"properties"``: the nine properties of Table II of the paper;
        - names of some of them, such as ``["group", "period"]``;
        - ``"learned"``: one column for each element, of which a network makes a vector
          for each;
        - a DataFrame with a row for each element, or a mapping to a vector of features
          for each element. Index and keys are symbols, atomic numbers (also as
          strings) or pymatgen's elements;
        - an array whose row Z belongs to the element with atomic number Z; row 0, which
          belongs to none, holds zeros or NaN;
        - a path to a JSON file that holds a mapping, as the ``atom_init.json`` of the
          authors' program does.

    Returns
    -------
    ndarray of shape (104, n_features), float32
        The features by atomic number, NaN for the elements without.

    Raises
    ------
    TypeError
        If `site_features` is none of these.
    ValueError
        If a property or an element is unknown or occurs twice, or the features are no
        numbers or not equally many.
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
    if hasattr(site_features, "iloc"):  # a DataFrame, whether pandas is here or not
        return _from_rows(list(site_features.index), site_features.to_numpy())
    if isinstance(site_features, Mapping):
        return _from_rows(list(site_features), list(site_features.values()))
    return _from_array(site_features)


def _are_names(site_features: Any) -> bool:
    is_column = isinstance(site_features, Sequence) or (
        getattr(site_features, "ndim", None) == 1
    )
    return is_column and any(isinstance(each, str) for each in site_features)


def _read_json(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    path = Path(path)
    if path.suffix != ".json":
        raise ValueError(f"site_features is {os.fspath(path)!r}. {_WANTED}")
    try:
        content = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"site_features={os.fspath(path)!r} cannot be read as JSON ({error}); give "
            "the path of a file with a vector of features for each element"
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(
            f"site_features={os.fspath(path)!r} holds a {type(content).__name__}; it "
            "must hold a mapping from elements to vectors of features"
        )
    return content


def _from_array(values: Any) -> NDArray[np.float32]:
    if not hasattr(values, "__array__") and not isinstance(values, Sequence):
        raise TypeError(f"site_features is of type {type(values).__name__}. {_WANTED}")
    rows = _numbers(values)
    if rows.ndim != 2 or not 1 < len(rows) <= MAX_ATOMIC_NUMBER + 1:
        raise ValueError(
            f"site_features has shape {rows.shape}; as an array it must have a row for "
            f"each atomic number from 0 to {MAX_ATOMIC_NUMBER} at most, and a column "
            "for each feature"
        )
    if np.nan_to_num(rows[0]).any():
        raise ValueError(
            "site_features[0] belongs to no element, and must hold zeros or NaN; if it "
            "was meant for hydrogen, put a row of zeros before it"
        )
    return _placed(np.arange(1, len(rows)), rows[1:])


def _from_rows(keys: list[Any], rows: Any) -> NDArray[np.float32]:
    numbers = [_atomic_number(key) for key in keys]
    seen: dict[int, Any] = {}
    for key, number in zip(keys, numbers, strict=True):
        if number in seen:
            raise ValueError(
                f"site_features has both {seen[number]!r} and {key!r}, which are the "
                "same element; keep one"
            )
        seen[number] = key
    values = _numbers(rows)
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"site_features has values of shape {values.shape}; it must have a vector "
            "of features for each element, all of the same length"
        )
    return _placed(np.array(numbers), values)


def _placed(
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
        # Not through int() alone, which would take 11.5 for 11.
        number = int(key)
        if number == float(key) and 1 <= number <= MAX_ATOMIC_NUMBER:
            return number
    except (ValueError, TypeError, OverflowError):
        pass
    raise ValueError(
        f"site_features has features for {key!r}, which is no element; use symbols or "
        f"atomic numbers from 1 to {MAX_ATOMIC_NUMBER} for the rows"
    )


def _numbers(rows: Any) -> NDArray[np.float64]:
    try:
        return np.array(rows, dtype=np.float64)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"site_features holds what is no matrix of numbers ({error}); give each "
            "element a vector of the same length"
        ) from error
