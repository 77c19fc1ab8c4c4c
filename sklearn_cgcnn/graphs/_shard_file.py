"""A shard: the graphs of some crystals in one file, in the safetensors format.

The format is a number, a JSON header with the place of each array, and the arrays. It
is written here rather than by the package safetensors, which orders the metadata of the
header at random: the same graphs must give the same bytes.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn._atomic_file import write_atomically
from sklearn_cgcnn.exceptions import GraphFormatError
from sklearn_cgcnn.graphs._invariants import DTYPES
from sklearn_cgcnn.graphs._upgrades import FORMAT_VERSION, check_version, upgrade

_CONTENTS = "sklearn_cgcnn"
_DTYPE_NAMES = {
    "<f8": "F64",
    "<i8": "I64",
    "<i4": "I32",
    "<u2": "U16",
    "|u1": "U8",
}
_DTYPES_BY_NAME = {name: np.dtype(code) for code, name in _DTYPE_NAMES.items()}

# Files that this process has verified, by path, size, time of change and checksum.
_VERIFIED = set[tuple[str, int, int, str]]()
# Seconds. A file may change again without another time of change, if that is as recent.
_RECENT = 2.0


def write_shard(
    path: Path, arrays: Mapping[str, NDArray[Any]], contents: Mapping[str, Any]
) -> str:
    """Write a shard, completely or not at all.

    Parameters
    ----------
    path : Path
        The file, which is replaced if it exists.
    arrays : mapping of str to ndarray
        The arrays of :class:`CrystalGraphs` by name.
    contents : mapping of str to JSON value
        ``"settings"`` and ``"failed"``.

    Returns
    -------
    str
        The checksum of the file (SHA-256), for :func:`read_shard`.
    """
    # The largest items first, so that each array begins at a multiple of its item.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    plain = {
        name: np.ascontiguousarray(arrays[name], arrays[name].dtype.newbyteorder("<"))
        for name in order
    }
    stored = {"format_version": FORMAT_VERSION, **contents}
    header: dict[str, Any] = {"__metadata__": {_CONTENTS: json.dumps(stored)}}
    end = 0
    for name, array in plain.items():
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": _DTYPE_NAMES[array.dtype.str],
            "shape": [len(array)],
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    parts = [len(text).to_bytes(8, "little"), text]
    parts += [array.tobytes() for array in plain.values()]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    write_atomically(path, parts)
    return digest.hexdigest()


def read_shard(path: Path, checksum: str) -> dict[str, Any]:
    """Map a shard into memory, verified when this process first reads it.

    Parameters
    ----------
    path : Path
        The file.
    checksum : str
        What :func:`write_shard` returned.

    Returns
    -------
    dict of str to object
        The arguments that :class:`CrystalGraphs` takes. The arrays stay on disk.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    GraphFormatError
        If the file differs from its checksum, or has an unknown format version.
    """
    verify_shard(path, checksum)
    # A plain view: a selection from a memmap would keep the type of a file.
    data = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    layout = json.loads(data[8:start].tobytes())
    header = json.loads(layout.pop("__metadata__")[_CONTENTS])
    check_version(header, path)
    arrays = {name: _view(data[start:], place) for name, place in layout.items()}
    header, arrays = upgrade(header, arrays, path)
    return {
        **{name: arrays[name] for name in DTYPES},
        "settings": header["settings"],
        "failed": {int(row): reason for row, reason in header["failed"].items()},
    }


def verify_shard(path: Path, checksum: str, *, again: bool = False) -> None:
    """Compare a shard with its checksum.

    Parameters
    ----------
    path : Path
        The file.
    checksum : str
        What :func:`write_shard` returned.
    again : bool, default=False
        Whether to read a file that this process has verified already, and whose time of
        change is the same.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    GraphFormatError
        If the file differs from its checksum.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            # Linked and renamed files keep their times, so that the path counts too.
            key = (str(path), status.st_size, status.st_mtime_ns, checksum)
            if key in _VERIFIED and not again:
                return
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing; restore it from a copy, or featurize the structures "
            "again"
        ) from None
    if actual != checksum:
        _VERIFIED.discard(key)
        raise GraphFormatError(
            f"{path} is damaged: its contents differ from their checksum; restore it "
            "from a copy, or featurize the structures again"
        )
    if time.time() - status.st_mtime > _RECENT:
        _VERIFIED.add(key)


def _view(data: NDArray[np.uint8], place: Mapping[str, Any]) -> NDArray[Any]:
    begin, end = place["data_offsets"]
    dtype = _DTYPES_BY_NAME[place["dtype"]]
    array: NDArray[Any] = data[begin:end].view(dtype)
    return array
