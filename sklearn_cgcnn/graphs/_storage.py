"""Arrays in a folder: one ``.npy`` file for each, and a header that describes them."""

import json
from collections.abc import Iterable, Mapping
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
    """Write arrays and a header to a folder, wholly or not at all.

    Parameters
    ----------
    folder : Path
        Created, with the folders above it.
    arrays : mapping of str to ndarray
        By the names of their files.
    header : mapping
        Of what JSON can hold.
    overwrite : bool
        Whether to replace a folder written before.

    Raises
    ------
    FileExistsError
        If `folder` exists and `overwrite` is False, or holds anything else.
    """
    if folder.exists() and not overwrite:
        raise FileExistsError(
            f"{folder} exists; choose another path or pass overwrite=True"
        )
    if folder.exists() and not (folder / _HEADER).is_file():
        raise FileExistsError(
            f"{folder} holds no crystal graphs and is not overwritten; choose another "
            "path"
        )
    # Written aside and moved into place, so that an interrupted save neither leaves
    # half a folder nor costs the one that was there.
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


def read_folder(
    folder: Path, names: Iterable[str], mmap_mode: Literal["r", "c"] | None
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read the header and arrays of a folder.

    Parameters
    ----------
    folder : Path
    names : iterable of str
        Of the arrays.
    mmap_mode : {"r", "c"} or None
        As in :func:`numpy.load`.

    Returns
    -------
    header : dict
        With settings and a format version.
    arrays : dict of str to ndarray

    Raises
    ------
    FileNotFoundError
        If there is no such folder or it lacks a file.
    GraphFormatError
        If a file cannot be read as what it should be.
    """
    try:
        header = json.loads((folder / _HEADER).read_text())
        header["settings"] = dict(header["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise GraphFormatError(
            f"{folder / _HEADER} is no header of crystal graphs; save the graphs again"
        ) from error
    arrays = {}
    for name in names:
        path = folder / f"{name}.npy"
        try:
            arrays[name] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise GraphFormatError(
                f"{path} is damaged; save the graphs again"
            ) from error
    return header, arrays
