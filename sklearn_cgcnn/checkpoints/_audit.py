"""Check, entry by entry, that a dictionary is a checkpoint of the original program."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sklearn_cgcnn.exceptions import CheckpointFormatError

# The original program expands distances in 41 Gaussians, centered at 0 to 8 Å. Their
# number is fixed in its code, and no checkpoint states it.
N_EDGE_FEATURES = 41
NORM_ENTRIES = ("weight", "bias", "running_mean", "running_var")

_FLOAT_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MAX_COUNT, _MAX_EPOCH = 10**5 - 1, 10**6 - 1


@dataclass(frozen=True)
class OriginalCheckpoint:
    """The checked content of a checkpoint of the original program.

    Attributes
    ----------
    state : mapping of str to Tensor
        Weights and running statistics, under the names of the original program.
    classification : bool
        Whether the model is a classifier.
    n_features : int
        Number of element features.
    n_site_channels : int
        Width of the site features.
    n_hidden_channels : int
        Width of the hidden layers.
    n_conv_layers, n_hidden_layers : int
        Number of convolutions, and of hidden layers after pooling.
    mean, std : float
        Mean and standard deviation by which the target was normalized.
    epoch : int
        Number of epochs that the model was trained for.
    args : mapping
        Arguments of the program's command line.
    """

    state: Mapping[str, Tensor]
    classification: bool
    n_features: int
    n_site_channels: int
    n_hidden_channels: int
    n_conv_layers: int
    n_hidden_layers: int
    mean: float
    std: float
    epoch: int
    args: Mapping[str, Any]


def audit(checkpoint: Mapping[str, Any], path: Path) -> OriginalCheckpoint:
    """Check that a dictionary is a checkpoint of the original program.

    Parameters
    ----------
    checkpoint : mapping
        The dictionary that the file contains.
    path : Path
        The file, for error messages.

    Returns
    -------
    OriginalCheckpoint

    Raises
    ------
    CheckpointFormatError
        If an entry is missing, unexpected, of the wrong type or shape, not finite, or
        contradicts another entry.
    """
    try:
        return _audit(checkpoint)
    except Exception as error:  # noqa: BLE001 (a hostile file can raise anything)
        reason = str(error) if isinstance(error, _AuditError) else repr(error)
        raise CheckpointFormatError(
            f"{path} is damaged, or is not a checkpoint of the original program: "
            f"{reason}. Download it again, or save it again with that program"
        ) from None


class _AuditError(Exception):
    """An entry of a checkpoint is not as expected."""


def _audit(checkpoint: Mapping[str, Any]) -> OriginalCheckpoint:
    for key in ("args", "state_dict", "normalizer"):
        _check_dictionary(checkpoint, key)
    args, state = checkpoint["args"], checkpoint["state_dict"]
    task = args.get("task")
    if task not in ("regression", "classification"):
        raise _AuditError(
            "args['task'] must be 'regression' or 'classification', got "
            f"{reprlib.repr(task)}"
        )
    sizes = {
        "n_conv_layers": _get_count(args, "n_conv"),
        "n_hidden_layers": _get_count(args, "n_h"),
        "n_site_channels": _get_count(args, "atom_fea_len"),
        "n_hidden_channels": _get_count(args, "h_fea_len"),
        "n_features": _get_n_features(state),
    }
    classification = task == "classification"
    shapes = _expected_shapes(**sizes, n_outputs=2 if classification else 1)
    _check_state(state, shapes)
    return OriginalCheckpoint(
        **sizes,
        classification=classification,
        mean=_get_number(checkpoint["normalizer"], "mean"),
        std=_get_std(checkpoint["normalizer"]),
        epoch=_get_epoch(checkpoint),
        args=args,
        state={name: state[name].detach().float().clone() for name in shapes},
    )


def _check_dictionary(checkpoint: Mapping[str, Any], key: str) -> None:
    if key not in checkpoint:
        raise _AuditError(f"it lacks the dictionary {key!r}")
    if not isinstance(checkpoint[key], dict):
        type_name = type(checkpoint[key]).__name__
        raise _AuditError(f"the entry {key!r} must be a dictionary, got a {type_name}")


def _get_count(args: Mapping[str, Any], name: str) -> int:
    value: Any = args.get(name)
    if not _is_integer(value) or not 1 <= value <= _MAX_COUNT:
        raise _AuditError(
            f"args[{name!r}] must be an integer from 1 to {_MAX_COUNT}, got "
            f"{reprlib.repr(value)}"
        )
    return int(value)


def _get_n_features(state: Mapping[str, Any]) -> int:
    embedding = state.get("embedding.weight")
    if not isinstance(embedding, Tensor) or embedding.ndim != 2:
        raise _AuditError("state_dict['embedding.weight'] must be a 2-D tensor")
    return embedding.shape[1]


def _get_epoch(checkpoint: Mapping[str, Any]) -> int:
    epoch: Any = checkpoint.get("epoch", 0)
    if not _is_integer(epoch) or not 0 <= epoch <= _MAX_EPOCH:
        raise _AuditError(
            f"epoch must be an integer from 0 to {_MAX_EPOCH}, got "
            f"{reprlib.repr(epoch)}"
        )
    return int(epoch)


def _is_integer(value: Any) -> bool:
    # In Python, True and False are instances of int.
    return isinstance(value, int) and not isinstance(value, bool)


def _get_std(normalizer: Mapping[str, Any]) -> float:
    std = _get_number(normalizer, "std")
    if not std > 0:
        raise _AuditError(f"normalizer['std'] must be positive, got {std}")
    return std


def _get_number(normalizer: Mapping[str, Any], name: str) -> float:
    entry: Any = normalizer.get(name)
    value = entry
    if isinstance(entry, Tensor):
        _check_tensor(f"normalizer[{name!r}]", entry)
        value = entry.item() if entry.numel() == 1 else None
    if not (isinstance(value, float) or _is_integer(value)) or not abs(value) < 1e30:
        raise _AuditError(
            f"normalizer[{name!r}] must be one finite number below 1e30, got "
            f"{reprlib.repr(entry)}"
        )
    return float(value)


def _expected_shapes(
    n_features: int,
    n_site_channels: int,
    n_hidden_channels: int,
    n_conv_layers: int,
    n_hidden_layers: int,
    n_outputs: int,
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor, by its name in the original program."""
    shapes: dict[str, tuple[int, ...]] = {}

    def add_linear(name: str, n_in: int, n_out: int) -> None:
        shapes[f"{name}.weight"] = (n_out, n_in)
        shapes[f"{name}.bias"] = (n_out,)

    def add_norm(name: str, n_channels: int) -> None:
        shapes.update({f"{name}.{entry}": (n_channels,) for entry in NORM_ENTRIES})

    width = 2 * n_site_channels  # in: center and neighbor; out: gate and core
    add_linear("embedding", n_features, n_site_channels)
    for layer in range(n_conv_layers):
        name = f"convs.{layer}"
        add_linear(f"{name}.fc_full", width + N_EDGE_FEATURES, width)
        add_norm(f"{name}.bn1", width)
        add_norm(f"{name}.bn2", n_site_channels)
    add_linear("conv_to_fc", n_site_channels, n_hidden_channels)
    for layer in range(n_hidden_layers - 1):
        add_linear(f"fcs.{layer}", n_hidden_channels, n_hidden_channels)
    add_linear("fc_out", n_hidden_channels, n_outputs)
    return shapes


def _check_state(
    state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    missing = sorted(set(shapes) - set(state))
    if missing:
        raise _AuditError(
            f"state_dict lacks {missing[0]!r} ({len(missing)} of {len(shapes)} entries "
            "are missing)"
        )
    for name, value in state.items():
        if str(name).endswith("num_batches_tracked"):
            continue  # newer versions of torch write it; predictions do not use it
        if name not in shapes:
            raise _AuditError(
                f"state_dict has {name!r}, which is not part of the network that args "
                "describe"
            )
        _check_tensor(f"state_dict[{name!r}]", value)
        if tuple(value.shape) != shapes[name]:
            raise _AuditError(
                f"state_dict[{name!r}] has shape {tuple(value.shape)}, but the network "
                f"that args describe requires {shapes[name]}"
            )
        if not torch.isfinite(value.float()).all():
            raise _AuditError(f"state_dict[{name!r}] has values that are not finite")
        if name.endswith("running_var") and (value < 0).any():
            raise _AuditError(f"state_dict[{name!r}] has a negative variance")


def _check_tensor(name: str, value: Any) -> None:
    """Check that a value is a dense tensor of floats whose data is complete."""
    if not isinstance(value, Tensor):
        raise _AuditError(f"{name} must be a tensor, got a {type(value).__name__}")
    if value.dtype not in _FLOAT_DTYPES:
        raise _AuditError(f"{name} must have a float dtype, got {value.dtype}")
    if value.layout != torch.strided or value.device.type != "cpu":
        raise _AuditError(
            f"{name} must be a dense tensor in memory, got one with layout "
            f"{value.layout} on device {value.device}"
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise _AuditError(
            f"{name} has {value.numel()} elements, but its storage holds fewer"
        )
