"""The container of a model: arrays and a JSON text in one safetensors file."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sklearn_cgcnn._atomic_file import write_atomically
from sklearn_cgcnn.exceptions import ModelFileError

_CONTENTS, _CHECKSUM = "sklearn_cgcnn", "sha256"


def write_container(
    path: Path, contents: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a file, completely or not at all.

    Parameters
    ----------
    path : Path
        The file, which is replaced if it exists.
    contents : mapping of str to JSON value
        What is stored as JSON.
    arrays : mapping of str to ndarray
        Numbers and truth values.
    """
    text = json.dumps(contents, allow_nan=False)
    # The format has no order of bytes other than little-endian.
    plain = {
        name: np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        for name, array in arrays.items()
    }
    metadata = {_CONTENTS: text, _CHECKSUM: _checksum(text, plain)}
    write_atomically(path, [save(plain, metadata)])


def read_container(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file, and check that it is complete and unchanged.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    contents : dict of str to JSON value
    arrays : dict of str to ndarray

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If the file is damaged, or is not a model of this package.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist or is not a file")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelFileError(
            f"{path} is not a model file, or is damaged ({error}); pass a file of "
            "save_model, or copy or download it again"
        ) from error
    if _CONTENTS not in metadata:
        raise ModelFileError(
            f"{path} is not a model file: save_model did not make it; load it with the "
            "program that made it"
        )
    text = metadata[_CONTENTS]
    if metadata.get(_CHECKSUM) != _checksum(text, arrays):
        raise ModelFileError(
            f"{path} is damaged: its contents differ from their checksum; copy or "
            "download it again"
        )
    try:
        contents = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} does not contain a model: {error}") from error
    if not isinstance(contents, dict):
        raise ModelFileError(f"{path} does not contain a model")
    return contents, arrays


def _checksum(text: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of everything that is stored."""
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
