"""Read the table of ids and properties in a folder of CIF files."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import CIFDirectoryError

TABLE_NAME = "id_prop.csv"

# ASCII digits without underscores, unlike int() and float(): the screw axis 6_3 is not
# the number 63.
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)",
    re.IGNORECASE | re.ASCII,
)


def read_table(table: Path) -> dict[str, list[str]]:
    """Read a table of ids and properties.

    Parameters
    ----------
    table : pathlib.Path
        A CSV file without a header.

    Returns
    -------
    dict of str to list of str
        Maps each id to its properties, in the order of the table.

    Raises
    ------
    CIFDirectoryError
        If the table cannot be read or is empty, has lines of different lengths, repeats
        an id, or has an id that cannot be a file name.
    """
    lines = _read_lines(table)
    if not lines:
        raise CIFDirectoryError(
            f"{table} is empty; write one line per crystal, with its id and property"
        )
    first_number, first_line = lines[0]
    line_numbers: dict[str, int] = {}
    for number, (id_, *fields) in lines:
        if len(fields) != len(first_line) - 1:
            raise CIFDirectoryError(
                f"{table} has {len(fields)} properties in line {number} ({id_!r}), but "
                f"{len(first_line) - 1} in line {first_number}; write the same number "
                "of properties for each crystal"
            )
        if id_ in line_numbers:
            raise CIFDirectoryError(
                f"{table} has the id {id_!r} in line {line_numbers[id_]} and again in "
                f"line {number}; delete one of them"
            )
        if not id_ or Path(id_).name != id_:
            raise CIFDirectoryError(
                f"{table} has the id {id_!r} in line {number}, but an id must be the "
                "name of a CIF file in this folder, without .cif; correct this line"
            )
        line_numbers[id_] = number
    return {id_: fields for _, (id_, *fields) in lines}


def _read_lines(table: Path) -> list[tuple[int, list[str]]]:
    """Return the number and the fields of each line that is not blank."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            lines = [(reader.line_num, [field.strip() for field in r]) for r in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CIFDirectoryError(
            f"{table} cannot be read ({error}); write it as a CSV file in UTF-8, with "
            "one line per crystal"
        ) from error
    return [(number, fields) for number, fields in lines if any(fields)]


def as_target(rows: list[list[str]]) -> NDArray[Any] | None:
    """Convert properties to numbers if all of them are numbers.

    Parameters
    ----------
    rows : list of list of str
        The properties of each crystal.

    Returns
    -------
    ndarray of shape (n_samples,) or (n_samples, n_targets), or None
        Integers, real numbers (NaN for empty fields) or labels. None if there are no
        properties.
    """
    texts = np.array(rows, dtype=str)
    if texts.size == 0:
        return None
    if texts.shape[1] == 1:
        texts = texts[:, 0]
    values = texts.ravel().tolist()
    if all(map(_INTEGER.fullmatch, values)):
        try:
            return texts.astype(np.int64)
        except OverflowError:
            return texts.astype(np.float64)
    if all(map(is_number, values)):
        return np.where(texts == "", "nan", texts).astype(np.float64)
    return texts


def is_number(text: str) -> bool:
    """Return whether a property is a number, or empty, which is NaN.

    Parameters
    ----------
    text : str
        A field of the table.

    Returns
    -------
    bool
    """
    return not text or _NUMBER.fullmatch(text) is not None
