"""The CIF files of a folder: which there are, and how they are read."""

import os
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from sklearn_cgcnn._parallel import n_processes_for
from sklearn_cgcnn.datasets._cif import CIFReading, read_cif
from sklearn_cgcnn.datasets._property_table import TABLE_NAME, read_table
from sklearn_cgcnn.datasets._timed_processes import timed_map
from sklearn_cgcnn.exceptions import CIFDirectoryError

# To start a process takes a processor as long as to read about 130 files.
_FILES_PER_PROCESS = 500


def list_folder(folder: Path) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Return the file and the properties of each id.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    files : dict of str to Path
    properties : dict of str to list of str

    Raises
    ------
    CIFDirectoryError
        If the folder or its table cannot be read.
    """
    if not folder.is_dir():
        raise CIFDirectoryError(f"{folder} is not a folder; path must be one")
    files = _find_files(folder)
    table = folder / TABLE_NAME
    # A link that leads nowhere is a table that cannot be read.
    if os.path.lexists(table):
        properties = read_table(table)
        return {id_: _file_of(id_, folder, files) for id_ in properties}, properties
    if not files:
        raise CIFDirectoryError(
            f"{folder} contains neither a table {TABLE_NAME} nor CIF files; pass the "
            "folder that contains them"
        )
    for id_, variants in files.items():
        if len(variants) > 1:
            raise CIFDirectoryError(
                f"{folder} contains {' and '.join(each.name for each in variants)}, "
                f"which have the same id {id_!r}; rename one of them"
            )
    return {id_: files[id_][0] for id_ in files}, {id_: [] for id_ in files}


def cif_files(folder: Path) -> list[Path]:
    """Return the CIF files of a folder, in the order of their names.

    Hidden files are left out: macOS leaves files ``._<name>.cif`` beside copies.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    list of Path
    """
    return [
        file
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.suffix.lower() == ".cif"
        and not file.name.startswith(".")
        and file.is_file()
    ]


def _find_files(folder: Path) -> dict[str, list[Path]]:
    """Return the CIF files of each id, in the order of their names."""
    files: dict[str, list[Path]] = {}
    for file in cif_files(folder):
        files.setdefault(file.stem, []).append(file)
    return files


def _file_of(id_: str, folder: Path, files: dict[str, list[Path]]) -> Path:
    """Return the file ``<id>.cif``, or else one with an ending such as ``.CIF``."""
    exact = folder / f"{id_}.cif"
    variants = files.get(id_, [exact])
    return exact if exact in variants else variants[0]


def iter_readings(
    files: list[Path],
    time_limit: float | None,
    n_jobs: int | None,
    read: Callable[[Path], CIFReading] = read_cif,
) -> Generator[CIFReading, None, None]:
    """Read files one after another.

    Parameters
    ----------
    files : list of Path
        The files.
    time_limit : float or None
        Seconds for one file.
    n_jobs : int or None
        Number of processes. None means one per processor for many files.
    read : callable, default=read_cif
        The function that reads a file.

    Yields
    ------
    CIFReading
        In the order of the files.
    """
    n_processes = n_processes_for(n_jobs, len(files), _FILES_PER_PROCESS)
    if time_limit is None and n_processes == 1:
        yield from map(read, files)
        return
    outcomes = timed_map(read, files, n_processes=n_processes, time_limit=time_limit)
    with closing(outcomes):
        for reading, failure in outcomes:
            yield reading or CIFReading(None, failure, [])
