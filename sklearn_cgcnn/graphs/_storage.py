"""Storage of graphs in a folder: an ``.npy`` file for each array, and a JSON header."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import GraphFormatError
from sklearn_cgcnn.graphs._invariants import DTYPES
from sklearn_cgcnn.graphs._upgrades import FORMAT_VERSION, check_version, upgrade

_HEADER = "graphs.json"


def write_graphs(
    folder: Path,
    arrays: Mapping[str, NDArray[Any]],
    contents: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Write graphs to a folder.

    The folder is written completely, or not at all.

    Parameters
    ----------
    folder : Path
        The folder to create. Missing parent folders are created too.
    arrays : mapping of str to ndarray
        The arrays by the names of their files, without suffix.
    contents : mapping of str to JSON value
        What the header stores besides the format version: ``"settings"`` and
        ``"failed"``.
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
    header = {"format_version": FORMAT_VERSION, **contents}
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


def read_graphs(folder: Path, mmap_mode: Literal["r", "c"] | None) -> dict[str, Any]:
    """Read graphs from a folder.

    Parameters
    ----------
    folder : Path
        The folder.
    mmap_mode : {"r", "c"} or None
        As in :func:`numpy.load`.

    Returns
    -------
    dict of str to object
        The arguments that :class:`CrystalGraphs` takes: all arrays by name, and
        ``"settings"`` and ``"failed"``.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or lacks a file.
    GraphFormatError
        If the format version is unknown, or a file cannot be read.
    """
    header = _read_header(folder)
    check_version(header, folder)
    header, arrays = upgrade(header, _read_arrays(folder, mmap_mode), folder)
    for name in DTYPES:
        if name not in arrays:
            raise FileNotFoundError(
                f"{folder / f'{name}.npy'} is missing; save the graphs again"
            )
    return {
        **{name: arrays[name] for name in DTYPES},
        "settings": header["settings"],
        "failed": _failed(header, folder),
    }


def _read_header(folder: Path) -> dict[str, Any]:
    """Read the header of a folder, of any version. Its settings are a dict."""
    path = folder / _HEADER
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; pass a folder that CrystalGraphs.save wrote"
        )
    try:
        header: dict[str, Any] = json.loads(path.read_text())
        header["settings"] = dict(header["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise _bad_header(folder) from error
    return header


def _failed(header: Mapping[str, Any], folder: Path) -> dict[int, str]:
    """Return the reasons of failed crystals. JSON has turned positions into strings."""
    try:
        return {int(row): str(reason) for row, reason in header["failed"].items()}
    except (ValueError, KeyError, AttributeError) as error:
        raise _bad_header(folder) from error


def _bad_header(folder: Path) -> GraphFormatError:
    return GraphFormatError(
        f"{folder / _HEADER} is not the header of crystal graphs; save the graphs again"
    )


def _read_arrays(
    folder: Path, mmap_mode: Literal["r", "c"] | None
) -> dict[str, NDArray[Any]]:
    """Read all arrays of a folder, by name."""
    arrays = {}
    for path in sorted(folder.glob("*.npy")):
        try:
            arrays[path.stem] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise GraphFormatError(
                f"{path} is damaged; save the graphs again"
            ) from error
    return arrays
