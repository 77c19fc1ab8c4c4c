"""Read structures from JSON lines, one after another."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from sklearn_cgcnn._sklearn_compat import StrOptions, validate_params
from sklearn_cgcnn.datasets._entries import (
    CrystalEntry,
    checked,
    open_text,
    structure_or_failure,
)
from sklearn_cgcnn.graphs import Failure


@validate_params(
    {
        "path": [str, os.PathLike],
        "structure_key": [str],
        "id_key": [str, None],
        "on_error": [StrOptions({"raise", "collect"})],
    },
    prefer_skip_nested_validation=True,
)
def iter_json_lines(
    path: str | os.PathLike[str],
    *,
    structure_key: str = "structure",
    id_key: str | None = None,
    on_error: str = "raise",
) -> Iterator[CrystalEntry]:
    """Read a file with one JSON object per line.

    Each object is a structure, as ``Structure.as_dict`` of pymatgen returns it, or has
    such a structure under the key `structure_key`, beside other values. The file may be
    compressed with gzip. One line is in memory at a time.

    Parameters
    ----------
    path : str or path-like
        The file.
    structure_key : str, default="structure"
        Key of the structure.
    id_key : str or None, default=None
        Key of the id, such as ``"material_id"``. None numbers the entries.
    on_error : {"raise", "collect"}, default="raise"
        What to do about lines that cannot be read. "raise" raises an error at the first
        of them, "collect" yields a Failure with the reason in their place.

    Yields
    ------
    CrystalEntry
        Id, crystal, and the other values of the object as properties. Empty lines are
        skipped.

    Raises
    ------
    StructureError
        If a line cannot be read, and `on_error` is "raise".
    OSError
        If the file does not exist, or its compression is damaged.

    See Also
    --------
    sklearn_cgcnn.streams.iter_predictions : Predict while the file is read.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_cgcnn.datasets import iter_json_lines, make_ionic_crystals
    >>> crystal = make_ionic_crystals(1, random_state=0).data[0]
    >>> line = {"material_id": "a-1", "structure": crystal.as_dict(), "gap": 1.5}
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "crystals.jsonl")
    ...     _ = file.write_text(json.dumps(line))
    ...     [entry] = iter_json_lines(file, id_key="material_id")
    >>> entry.id, entry.crystal == crystal, entry.properties
    ('a-1', True, {'gap': 1.5})
    """
    entries = _read_lines(Path(path), structure_key, id_key)
    return checked(entries, Path(path), on_error)


def _read_lines(
    path: Path, structure_key: str, id_key: str | None
) -> Iterator[CrystalEntry]:
    index = 0
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _read_line(line, number, str(index), structure_key, id_key)
                index += 1


def _read_line(
    line: str, number: int, position: str, structure_key: str, id_key: str | None
) -> CrystalEntry:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        return _bad(position, f"line {number} is not JSON ({error})", {})
    if not isinstance(item, dict):
        kind = type(item).__name__
        return _bad(position, f"line {number} is a {kind}, not a JSON object", {})
    id_, properties = position, dict[str, Any]()
    is_structure = structure_key not in item and "lattice" in item and "sites" in item
    if not is_structure:
        properties = dict(item)
        item = properties.pop(structure_key, None)
        if id_key in properties:
            id_ = str(properties.pop(id_key))
    if not isinstance(item, dict):
        problem = f"line {number} has no structure under the key {structure_key!r}"
        return _bad(id_, problem, properties)
    crystal = structure_or_failure(Structure.from_dict, item)
    return CrystalEntry(id_, crystal, properties)


def _bad(id_: str, problem: str, properties: dict[str, Any]) -> CrystalEntry:
    return CrystalEntry(id_, Failure(problem), properties)
