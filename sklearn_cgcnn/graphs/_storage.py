"""Storage of arrays in a folder: an ``.npy`` file for each, and a JSON header."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import GraphFormatError

_HEADER = "graphs.json"


def write_folder(
    folder: Path,
    arrays: Mapping[str, NDArray[Any]],
    header: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Write arrays and a header to a folder.

    The folder is written completely, or not at all.

    Parameters
    ----------
    folder : Path
        The folder to create. Missing parent folders are created too.
    arrays : mapping of str to ndarray
        The arrays by the names of their files, without suffix.
    header : mapping of str to JSON value
        The header.
    overwrite : bool
        Whether to replace a folder that was written before.

    Raises
    ------
    FileExistsError
        If `folder` exists and `overwrite` is False, or if it was not written by this
        function.
    """
    if folder.exists() and not overwrite:
        raise FileExistsError(
            f"{folder} exists; choose another path or pass overwrite=True"
        )
    if folder.exists() and not (folder / _HEADER).is_file():
        raise FileExistsError(
            f"{folder} holds something other than crystal graphs and is not "
            "overwritten; choose another path"
        )
    # The folder is written in another place and then moved, so that an interrupted save
    # neither leaves an incomplete folder nor destroys the previous one.
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as aside:
        new, old = Path(aside, "new"), Path(aside, "old")
        new.mkdir()
        for name, array in arrays.items():
            np.save(new / f"{name}.npy", array, allow_pickle=False)
        (new / _HEADER).write_text(json.dumps(header, indent=1))
        if folder.exists():
            folder.rename(old)
        new.rename(folder)


def read_header(folder: Path) -> dict[str, Any]:
    """Read the header of a folder.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    dict
        The header. Its ``"settings"`` are a dict.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or has no header.
    GraphFormatError
        If the header cannot be read.
    """
    try:
        header: dict[str, Any] = json.loads((folder / _HEADER).read_text())
        header["settings"] = dict(header["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise GraphFormatError(
            f"{folder / _HEADER} is not the header of crystal graphs; save the graphs "
            "again"
        ) from error
    return header


def read_arrays(
    folder: Path, mmap_mode: Literal["r", "c"] | None
) -> dict[str, NDArray[Any]]:
    """Read all arrays of a folder.

    Parameters
    ----------
    folder : Path
        The folder.
    mmap_mode : {"r", "c"} or None
        As in :func:`numpy.load`.

    Returns
    -------
    dict of str to ndarray
        The arrays by name.

    Raises
    ------
    GraphFormatError
        If an array cannot be read.
    """
    arrays = {}
    for path in sorted(folder.glob("*.npy")):
        try:
            arrays[path.stem] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise GraphFormatError(
                f"{path} is damaged; save the graphs again"
            ) from error
    return arrays
