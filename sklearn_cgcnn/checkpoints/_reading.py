"""Read a checkpoint's file as data, without running anything that it may hold."""

import hashlib
import io
import pickletools
import struct
import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any

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

# What a checkpoint may be made of, beside Python's own numbers, texts and containers.
_HARMLESS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch HalfStorage",
    "torch BFloat16Storage",
    "torch FloatStorage",
    "torch DoubleStorage",
    "torch LongStorage",
    "torch IntStorage",
    "numpy dtype",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
    "_codecs encode",
}
_INTEGERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}
# Real ones have a few thousand; a million can overflow the interpreter's stack.
_MOST_OPCODES = 50_000

# torch keeps one list of what may be read for the whole process.
_LIST_OF_TORCH = threading.Lock()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the dictionary that a checkpoint's file holds.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict

    Raises
    ------
    CheckpointFormatError
        If the file is damaged, holds more than numbers, texts, tensors and their
        containers, or no dictionary.
    OSError
        If it cannot be read.
    """
    content = path.read_bytes()
    zipped = content[:4] == b"PK\x03\x04"  # as torch tells its formats apart
    try:
        safe = _check_zip(content) if zipped else _check_stream(content)
        checkpoint = _load(safe)
    except Exception as error:  # a damaged file fails in any way
        reason = str(error).split("\n", maxsplit=1)[0]
        raise CheckpointFormatError(
            f"{path} is damaged, or no checkpoint made of numbers, texts and tensors "
            f"alone, which is all that is read ({type(error).__name__}: {reason})"
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointFormatError(
            f"{path} holds a {type(checkpoint).__name__}; a checkpoint of the original "
            "program holds a dictionary"
        )
    if not zipped:
        _check_published(content, checkpoint, path)
    return checkpoint


def _check_zip(content: bytes) -> bytes:
    """Check the sums of what a zip file holds, and pack it anew.

    torch looks at no sums, and takes some of what a zip file says of its entries for
    other things than Python does.
    """
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as archive,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as anew,
    ):
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{entry.filename} is compressed")
            data = archive.read(entry)
            if entry.filename.endswith(".pkl"):
                _check_pickle(io.BytesIO(data), len(content))
            anew.writestr(entry.filename, data)
    return packed.getvalue()


def _check_stream(content: bytes) -> bytes:
    """Check the pickles at the beginning of a file in torch's format before 1.6."""
    stream = io.BytesIO(content)
    for _ in ("magic number", "version", "system", "content", "keys"):
        _check_pickle(stream, len(content))
    return content


def _check_pickle(stream: io.BytesIO, n_bytes: int) -> None:
    """Check the instructions of a pickle, without following them.

    They may refer to what is harmless only, and to no tensor larger than the file.
    """
    number: Any = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        name = opcode.name
        if count > _MOST_OPCODES:
            raise ValueError("it is far longer than that of a checkpoint")
        if name == "GLOBAL" and argument not in _HARMLESS:
            raise ValueError(f"it refers to {argument!r}")
        if name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "EXT1", "EXT2", "EXT4"):
            raise ValueError(f"it holds the instruction {name}")
        if name in _INTEGERS:
            number = argument
        if name == "BINPERSID" and number > n_bytes:
            raise ValueError(f"it has {number} numbers in {n_bytes} bytes")


class _Dtype:
    """Stands in for the type of a number of numpy, and does nothing."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _scalar(dtype: Any, content: bytes) -> float:
    """Read a real number of numpy, which one of the published checkpoints holds."""
    (number,) = struct.unpack("<d", content)
    return float(number)


def _load(content: bytes) -> Any:
    stand_ins: list[Any] = [
        (_scalar, "numpy.core.multiarray.scalar"),
        (_scalar, "numpy._core.multiarray.scalar"),
        (_Dtype, "numpy.dtype"),
    ]
    with _LIST_OF_TORCH, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch will do away with
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )


def _check_published(content: bytes, checkpoint: dict[str, Any], path: Path) -> None:
    """Check that what claims to be a published checkpoint is it, byte for byte.

    Its format has no sums, and a flipped bit of a weight would go unnoticed.
    """
    args, epoch = checkpoint.get("args"), checkpoint.get("epoch")
    options = args.get("data_options") if isinstance(args, dict) else None
    folder = options[0] if isinstance(options, list) and options else None
    error = checkpoint.get("best_mae_error")
    published = isinstance(folder, str) and folder.startswith(_AUTHORS_FOLDER)
    if isinstance(epoch, int) and isinstance(error, float):
        published = published or (epoch, error) in _PUBLISHED.values()
    found = hashlib.sha256(content).hexdigest()
    if published and found not in _PUBLISHED:
        raise CheckpointFormatError(
            f"{path} says that it is one of the published checkpoints, but differs "
            f"from them (SHA-256 {found}); download it again"
        )
