"""Read structures from files and databases of ASE, one after another."""

import io
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from sklearn_cgcnn._ase_atoms import structure_from_ase
from sklearn_cgcnn._sklearn_compat import StrOptions, validate_params
from sklearn_cgcnn.datasets._entries import (
    CrystalEntry,
    checked,
    open_text,
    structure_or_failure,
    with_python_numbers,
)
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import Failure

# Results of ASE that have a row for each site.
_SITE_RESULTS = {
    "born_effective_charges",
    "charges",
    "energies",
    "forces",
    "magmoms",
    "stresses",
}


@validate_params(
    {
        "path": [str, os.PathLike],
        "id_key": [str, None],
        "on_error": [StrOptions({"raise", "collect"})],
    },
    prefer_skip_nested_validation=True,
)
def iter_extended_xyz(
    path: str | os.PathLike[str],
    *,
    id_key: str | None = None,
    on_error: str = "raise",
) -> Iterator[CrystalEntry]:
    """Read a file in the extended XYZ format, frame by frame.

    ASE must be installed. The file may be compressed with gzip. One frame is in memory
    at a time.

    Parameters
    ----------
    path : str or path-like
        The file.
    id_key : str or None, default=None
        Key of the id in the comment lines. None numbers the entries.
    on_error : {"raise", "collect"}, default="raise"
        What to do about frames that cannot be read, for example without a cell. "raise"
        raises an error at the first of them, "collect" yields a Failure with the reason
        in their place.

    Yields
    ------
    CrystalEntry
        Id, crystal, and the values of the comment line as properties, such as
        ``"energy"``. Values of sites, such as forces, are left out.

    Raises
    ------
    StructureError
        If a frame cannot be read, and `on_error` is "raise". Also if a frame does not
        begin with its number of sites, because the next one can then not be found.
    ImportError
        If ASE is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_cgcnn.datasets import iter_extended_xyz
    >>> frame = '''1
    ... Lattice="3.35 0 0 0 3.35 0 0 0 3.35" Properties=species:S:1:pos:R:3 energy=-2.5
    ... Po 0 0 0
    ... '''
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "frames.xyz")
    ...     _ = file.write_text(2 * frame)
    ...     entries = list(iter_extended_xyz(file))
    >>> [(entry.id, entry.properties["energy"]) for entry in entries]
    [('0', -2.5), ('1', -2.5)]
    """
    _require_ase("iter_extended_xyz")
    return checked(_read_frames(Path(path), id_key), Path(path), on_error)


@validate_params(
    {
        "path": [str, os.PathLike],
        "selection": [str, None],
        "on_error": [StrOptions({"raise", "collect"})],
    },
    prefer_skip_nested_validation=True,
)
def iter_ase_database(
    path: str | os.PathLike[str],
    *,
    selection: str | None = None,
    on_error: str = "raise",
) -> Iterator[CrystalEntry]:
    """Read a database of ASE, row by row.

    ASE must be installed.

    Parameters
    ----------
    path : str or path-like
        The database, such as ``"crystals.db"``.
    selection : str or None, default=None
        Which rows to read, in the language of ``ase db``, such as ``"gap>1,O"``. None
        reads all of them.
    on_error : {"raise", "collect"}, default="raise"
        What to do about rows that are no crystals. "raise" raises an error at the first
        of them, "collect" yields a Failure with the reason in their place.

    Yields
    ------
    CrystalEntry
        The id of the row, the crystal, and its key-value pairs as properties. The
        energy is among them, if the row has one.

    Raises
    ------
    StructureError
        If a row is no crystal, and `on_error` is "raise".
    FileNotFoundError
        If there is no such file.
    ImportError
        If ASE is not installed.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import ase.build
    >>> import ase.db
    >>> from sklearn_cgcnn.datasets import iter_ase_database
    >>> with TemporaryDirectory() as folder:
    ...     path = f"{folder}/crystals.db"
    ...     with ase.db.connect(path) as database:
    ...         _ = database.write(ase.build.bulk("Si"), gap=1.1)
    ...         _ = database.write(ase.build.bulk("C"), gap=5.5)
    ...     entries = list(iter_ase_database(path, selection="gap>2"))
    >>> [(entry.id, entry.crystal.formula, entry.properties) for entry in entries]
    [('2', 'C2', {'gap': 5.5})]
    """
    _require_ase("iter_ase_database")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist or is not a file")
    return checked(_read_rows(Path(path), selection), Path(path), on_error)


def _require_ase(name: str) -> None:
    try:
        import ase  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{name} needs ASE: pip install ase") from error


def _read_frames(path: Path, id_key: str | None) -> Iterator[CrystalEntry]:
    with open_text(path) as file:
        for index, frame in enumerate(_split_into_frames(file, path)):
            yield _read_frame(frame, str(index), id_key)


def _split_into_frames(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the text of each frame: the number of sites, a comment, and the sites."""
    number = 0
    for line in file:
        number += 1
        if not line.strip():
            continue
        if not line.strip().isdecimal():
            raise StructureError(
                f"{path}: line {number} is {line.strip()[:40]!r}, but a frame must "
                "begin with its number of sites; repair the file"
            )
        others = list(islice(file, int(line) + 1))
        number += len(others)
        yield "".join([line, *others])


def _read_frame(frame: str, position: str, id_key: str | None) -> CrystalEntry:
    import ase.io

    try:
        atoms: Any = ase.io.read(io.StringIO(frame), index=0, format="extxyz")
    except Exception as error:  # noqa: BLE001 - of many types for a bad line
        return CrystalEntry(position, Failure(f"is no frame ({error})"), {})
    results = atoms.calc.results if atoms.calc is not None else {}
    of_crystal = {k: v for k, v in results.items() if k not in _SITE_RESULTS}
    properties = {**atoms.info, **of_crystal}
    id_ = str(properties.pop(id_key, position)) if id_key else position
    return CrystalEntry(id_, _structure_of(atoms), with_python_numbers(properties))


def _read_rows(path: Path, selection: str | None) -> Iterator[CrystalEntry]:
    import ase.db

    connect: Any = ase.db.connect  # not typed
    with connect(path) as database:
        for row in database.select(selection):
            properties = dict(row.key_value_pairs)
            if "energy" in row:
                properties["energy"] = row.energy
            crystal = _structure_of(row.toatoms())
            yield CrystalEntry(str(row.id), crystal, with_python_numbers(properties))


def _structure_of(atoms: Any) -> Any:
    if atoms.cell.rank != 3:
        return Failure(
            "has no cell of three vectors; leave it out, or give it one with "
            "atoms.center(vacuum=5)"
        )
    return structure_or_failure(structure_from_ase, atoms)
