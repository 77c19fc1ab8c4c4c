"""Read a checkpoint file as data, without executing anything that it contains."""

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

# The checkpoints published with the original program. Maps the SHA-256 of each file to
# the epoch and the best validation error that the file states.
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
# Published checkpoints state the path of their training data, inside this folder.
_AUTHORS_FOLDER = "/oasis/scratch/comet/txie/"

# The pickle of a checkpoint may refer to these functions and classes only. Python's
# numbers, strings and containers need no reference.
_ALLOWED_GLOBALS = {
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
# Instructions that refer to a function or class by other means than a literal name.
_FORBIDDEN_OPCODES = {
    "STACK_GLOBAL",
    "INST",
    "OBJ",
    "NEWOBJ",
    "EXT1",
    "EXT2",
    "EXT4",
}
_INTEGER_OPCODES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}
# Real checkpoints have a few thousand opcodes. A pickle of a million nested tuples can
# overflow the stack of the interpreter.
_MAX_OPCODES = 50_000

# torch has one list of the classes that it may load, for the whole process.
_SAFE_GLOBALS_LOCK = threading.Lock()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the dictionary that a checkpoint file contains.

    Parameters
    ----------
    path : Path
        The file, in the zip format of torch or in its older format (before 1.6).

    Returns
    -------
    dict

    Raises
    ------
    CheckpointFormatError
        If the file is damaged, contains objects other than numbers, strings, tensors
        and containers of these, or does not contain a dictionary.
    OSError
        If the file cannot be opened.
    """
    content = path.read_bytes()
    zipped = content[:4] == b"PK\x03\x04"  # torch uses the same criterion
    try:
        checked = _check_and_repack_zip(content) if zipped else _check_legacy(content)
        checkpoint = _load(checked)
    except Exception as error:  # a damaged file can cause an exception of any type
        reason = str(error).split("\n", maxsplit=1)[0]
        raise CheckpointFormatError(
            f"{path} is damaged, or contains objects other than numbers, strings, "
            "tensors and containers of these, which are never loaded "
            f"({type(error).__name__}: {reason}); download it again, or save it again "
            "with the original program"
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointFormatError(
            f"{path} contains an object of type {type(checkpoint).__name__}, but a "
            "checkpoint of the original program contains a dictionary; pass the path "
            "of a file that this program wrote, such as model_best.pth.tar"
        )
    if not zipped:
        _check_published(content, checkpoint, path)
    return checkpoint


def _check_and_repack_zip(content: bytes) -> bytes:
    """Verify the checksums and pickles of a zip file, and return a new zip file.

    torch verifies no checksums, and it interprets some fields of a damaged zip file
    differently from Python's zipfile. The new file contains exactly the bytes that were
    checked. Compressed entries, which torch does not write, are refused: they could
    expand without limit.
    """
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as archive,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as new,
    ):
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{entry.filename} is compressed")
            data = archive.read(entry)
            if entry.filename.endswith(".pkl"):
                _check_pickle(io.BytesIO(data), len(content))
            new.writestr(entry.filename, data)
    return packed.getvalue()


def _check_legacy(content: bytes) -> bytes:
    """Check the five pickles at the start of a file in torch's format before 1.6."""
    stream = io.BytesIO(content)
    for _ in ("magic number", "protocol", "system", "content", "storage keys"):
        _check_pickle(stream, len(content))
    return content


def _check_pickle(stream: io.BytesIO, n_bytes: int) -> None:
    """Check the opcodes of a pickle without executing them.

    They may refer to allowed functions and classes only, and to no tensor with more
    elements than the file has bytes.
    """
    number: Any = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        name = opcode.name
        if count > _MAX_OPCODES:
            raise ValueError(f"the pickle has more than {_MAX_OPCODES} opcodes")
        if name == "GLOBAL" and argument not in _ALLOWED_GLOBALS:
            raise ValueError(f"the pickle refers to {argument!r}")
        if name in _FORBIDDEN_OPCODES:
            raise ValueError(f"the pickle contains the opcode {name}")
        if name in _INTEGER_OPCODES:
            number = argument
        # The last integer before a reference to a storage is its number of elements.
        if name == "BINPERSID" and number > n_bytes:
            raise ValueError(
                f"the pickle describes a tensor of {number} elements, but the file has "
                f"{n_bytes} bytes"
            )


class _DtypeStandIn:
    """Replaces numpy.dtype while loading, and ignores its arguments."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _float_from_numpy_scalar(dtype: Any, content: bytes) -> float:
    """Decode a float64 scalar of numpy, which one published checkpoint contains."""
    (number,) = struct.unpack("<d", content)
    return float(number)


def _load(content: bytes) -> Any:
    stand_ins: list[Any] = [
        (_float_from_numpy_scalar, "numpy.core.multiarray.scalar"),
        (_float_from_numpy_scalar, "numpy._core.multiarray.scalar"),
        (_DtypeStandIn, "numpy.dtype"),
    ]
    with _SAFE_GLOBALS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )


def _check_published(content: bytes, checkpoint: dict[str, Any], path: Path) -> None:
    """Check that a file that claims to be a published checkpoint is identical to it.

    The older format of torch has no checksums, so that a flipped bit in a weight would
    go unnoticed.
    """
    args, epoch = checkpoint.get("args"), checkpoint.get("epoch")
    options = args.get("data_options") if isinstance(args, dict) else None
    folder = options[0] if isinstance(options, list) and options else None
    error = checkpoint.get("best_mae_error")
    claimed = isinstance(folder, str) and folder.startswith(_AUTHORS_FOLDER)
    if isinstance(epoch, int) and isinstance(error, float):
        claimed = claimed or (epoch, error) in _PUBLISHED.values()
    actual = hashlib.sha256(content).hexdigest()
    if claimed and actual not in _PUBLISHED:
        raise CheckpointFormatError(
            f"{path} claims to be one of the published checkpoints, but has the "
            f"SHA-256 of none of them ({actual}); download it again"
        )
