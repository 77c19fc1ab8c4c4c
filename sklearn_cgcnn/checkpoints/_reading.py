"""Read a checkpoint's file as data, without running anything that it may hold."""

import hashlib
import io
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sklearn_cgcnn.exceptions import CheckpointFormatError

# The checkpoints that came with the paper's program, by their SHA-256, and what each
# says of itself: its epoch and its best validation error.
_PUBLISHED = {
    "d269775b9be0995c046abed3dd6556c281a3eff7b2e1d73cf81b99e2a1d4aa6c": (
        457,
        0.3689685452196309,
    ),  # band-gap
    "0a3f66b9a0ee6acef11bb852717424a6c3560073239c17bdbea568cc43816dd3": (
        759,
        0.05528102400376625,
    ),  # bulk-moduli
    "5ed4ba15b5bd3e04ce6b0eca75f15bb6465557aada4097f11291ea1e7cd48afb": (
        804,
        0.35513893254508755,
    ),  # efermi
    "1afe9260a0b7bd01d2a0a752fbac12be5badea6a56e57aeea5877ae8f9a32c57": (
        953,
        0.0792878333050367,
    ),  # final-energy-per-atom
    "e2f8bb910744f2c2f21d968285b6fd4316d795d0f3e7465ed0e3b4f3c92651a1": (
        968,
        0.03972001800748568,
    ),  # formation-energy-per-atom
    "8d152338550b49ff6c3790cccdb892ee8bafe513bc49ab21955cdf7807e89513": (
        66,
        0.02930935703228956,
    ),  # poisson-ratio
    "3791d48885afafb28c0797e22637b63ea591cf7fb27497ce537911261b92edc8": (
        92,
        0.958599858597622,
    ),  # semi-metal-classification
    "34173bc59a0a8f9f74021155b304b74d9e709b1ff241d3f02e83031c9deb216c": (
        118,
        0.09075330002493992,
    ),  # shear-moduli
}
# Where the authors had the data that these were trained on.
_AUTHORS_FOLDER = "/oasis/scratch/comet/txie/"


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """Read the dictionary that a checkpoint's file holds.

    Parameters
    ----------
    path : Path

    Returns
    -------
    mapping

    Raises
    ------
    CheckpointFormatError
        If the file is damaged, holds more than numbers, texts, tensors and their
        containers, or no dictionary.
    OSError
        If it cannot be read.
    """
    content = path.read_bytes()
    if zipfile.is_zipfile(io.BytesIO(content)):
        _check_sums(content, path)
    # A number of numpy, which holds no objects, is among what one of the published
    # checkpoints consists of, under the name that it had in numpy 1.
    scalar: Any = np.float64(0).__reduce__()[0]
    harmless: list[Any] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        type(np.dtype(np.float64)),
    ]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(harmless):
            warnings.simplefilter("ignore")  # of what torch will do away with
            checkpoint = torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )
    except Exception as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise CheckpointFormatError(
            f"{path} is damaged, or no checkpoint made of numbers, texts and tensors "
            f"alone, which is all that is read ({type(error).__name__}: {reason})"
        ) from error
    if not isinstance(checkpoint, Mapping):
        raise CheckpointFormatError(
            f"{path} holds a {type(checkpoint).__name__}; a checkpoint of the original "
            "program holds a dictionary"
        )
    _check_published(content, checkpoint, path)
    return checkpoint


def _check_sums(content: bytes, path: Path) -> None:
    """Check what torch leaves unchecked: the sums of the files inside a zip file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()
    except Exception as error:
        raise CheckpointFormatError(f"{path} is damaged ({error})") from error
    if damaged is not None:
        raise CheckpointFormatError(
            f"{path} is damaged: {damaged} in it has not the sum that it should have"
        )


def _check_published(content: bytes, checkpoint: Mapping[str, Any], path: Path) -> None:
    """Check that what claims to be a published checkpoint is it, byte for byte.

    Its format has no sums, and a flipped bit of a weight would go unnoticed.
    """
    if zipfile.is_zipfile(io.BytesIO(content)):
        return  # saved anew by a later torch, with sums
    args = checkpoint.get("args")
    options = args.get("data_options") if isinstance(args, Mapping) else None
    claims = (checkpoint.get("epoch"), checkpoint.get("best_mae_error"))
    published = _AUTHORS_FOLDER in str(options) or claims in _PUBLISHED.values()
    found = hashlib.sha256(content).hexdigest()
    if published and found not in _PUBLISHED:
        raise CheckpointFormatError(
            f"{path} says that it is one of the published checkpoints, but differs "
            f"from them (SHA-256 {found}); download it again"
        )
