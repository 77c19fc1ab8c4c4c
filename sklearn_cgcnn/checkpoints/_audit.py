"""Check, key by key, that a dictionary is a checkpoint of the original program."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sklearn_cgcnn.exceptions import CheckpointFormatError

# 41 Gaussians from 0 to 8 Å, which the program has in its code.
N_EDGE_FEATURES = 41

_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_OF_A_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class OriginalCheckpoint:
    """What a checkpoint of the original program says, checked.

    Attributes
    ----------
    state : mapping of str to Tensor
        The weights, by the names of the original program.
    classification : bool
    n_features, n_site_channels, n_hidden_channels : int
        Widths: of the features of the elements, of the sites, of the hidden layers.
    n_conv_layers, n_hidden_layers : int
    mean, std : float
        Of the target.
    epoch : int
        How long it was trained.
    args : mapping
        The arguments of the program's command line.
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
    """Check a dictionary as a checkpoint of the original program.

    Parameters
    ----------
    checkpoint : mapping
    path : Path
        For the messages.

    Returns
    -------
    OriginalCheckpoint

    Raises
    ------
    CheckpointFormatError
        If anything is missing, too much, of the wrong kind or shape, not finite, or in
        contradiction to the rest.
    """
    try:
        return _audit(checkpoint)
    except Exception as error:  # noqa: BLE001 (a hostile file fails in any way)
        reason = str(error) if isinstance(error, _AuditError) else repr(error)
        raise CheckpointFormatError(
            f"{path} is no checkpoint of the original program, or a damaged one: "
            f"{reason}"
        ) from None


class _AuditError(Exception):
    """What is wrong with a checkpoint."""


def _audit(checkpoint: Mapping[str, Any]) -> OriginalCheckpoint:
    for key in ("args", "state_dict", "normalizer"):
        if not isinstance(checkpoint.get(key), dict):
            raise _AuditError(f"it has no dictionary {key!r}")
    args, state = checkpoint["args"], checkpoint["state_dict"]
    task = args.get("task")
    if task not in ("regression", "classification"):
        raise _AuditError(
            f"args['task'] is {reprlib.repr(task)}, neither of the two there are"
        )
    n_conv, n_hidden = _count(args, "n_conv"), _count(args, "n_h")
    n_channels, width = _count(args, "atom_fea_len"), _count(args, "h_fea_len")
    embedding = state.get("embedding.weight")
    if not isinstance(embedding, Tensor) or embedding.ndim != 2:
        raise _AuditError("state_dict['embedding.weight'] is no matrix")
    shapes = _expected_shapes(
        embedding.shape[1],
        n_channels,
        width,
        n_conv,
        n_hidden,
        2 if task == "classification" else 1,
    )
    _check_state(state, shapes)
    mean = _number(checkpoint["normalizer"], "mean")
    std = _number(checkpoint["normalizer"], "std")
    if not std > 0:
        raise _AuditError(f"normalizer['std'] is {std}, and must be positive")
    epoch = checkpoint.get("epoch", 0)
    if not _is_integer(epoch) or not 0 <= epoch < 10**6:
        raise _AuditError(f"epoch is {reprlib.repr(epoch)}, no number of epochs")
    return OriginalCheckpoint(
        state={name: state[name].detach().float().clone() for name in shapes},
        classification=task == "classification",
        n_features=embedding.shape[1],
        n_site_channels=n_channels,
        n_hidden_channels=width,
        n_conv_layers=n_conv,
        n_hidden_layers=n_hidden,
        mean=mean,
        std=std,
        epoch=epoch,
        args=args,
    )


def _count(args: Mapping[str, Any], name: str) -> int:
    value: Any = args.get(name)
    if not _is_integer(value) or not 0 < value < 10**5:
        raise _AuditError(
            f"args[{name!r}] is {reprlib.repr(value)}, and must be a small integer"
        )
    return int(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(normalizer: Mapping[str, Any], name: str) -> float:
    value: Any = normalizer.get(name)
    if isinstance(value, Tensor):
        _check_tensor(f"normalizer[{name!r}]", value)
        value = value.item() if value.numel() == 1 else None
    if not (isinstance(value, float) or _is_integer(value)) or not abs(value) < 1e30:
        raise _AuditError(
            f"normalizer[{name!r}] is {reprlib.repr(value)}, no finite number"
        )
    return float(value)


def _expected_shapes(
    n_features: int,
    n_channels: int,
    width: int,
    n_conv: int,
    n_hidden: int,
    n_outputs: int,
) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights, by the names of the original program."""
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, n_in: int, n_out: int) -> None:
        shapes[f"{name}.weight"] = (n_out, n_in)
        shapes[f"{name}.bias"] = (n_out,)

    def norm(name: str, n: int) -> None:
        shapes.update({f"{name}.{each}": (n,) for each in _OF_A_NORM})

    linear("embedding", n_features, n_channels)
    for layer in range(n_conv):
        name = f"convs.{layer}"
        linear(f"{name}.fc_full", 2 * n_channels + N_EDGE_FEATURES, 2 * n_channels)
        norm(f"{name}.bn1", 2 * n_channels)
        norm(f"{name}.bn2", n_channels)
    linear("conv_to_fc", n_channels, width)
    for layer in range(n_hidden - 1):
        linear(f"fcs.{layer}", width, width)
    linear("fc_out", width, n_outputs)
    return shapes


def _check_state(
    state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    missing = sorted(set(shapes) - set(state))
    if missing:
        raise _AuditError(
            f"state_dict lacks {missing[0]!r} and {len(missing) - 1} more"
        )
    for name, value in state.items():
        if str(name).endswith("num_batches_tracked"):
            continue  # of later versions of torch, and of no use
        if name not in shapes:
            raise _AuditError(
                f"state_dict has {name!r}, of no network that args tell of"
            )
        _check_tensor(f"state_dict[{name!r}]", value)
        if tuple(value.shape) != shapes[name]:
            raise _AuditError(
                f"state_dict[{name!r}] has shape {tuple(value.shape)}, and args want "
                f"{shapes[name]}"
            )
        if not torch.isfinite(value.float()).all():
            raise _AuditError(f"state_dict[{name!r}] holds what is not finite")
        if name.endswith("running_var") and (value < 0).any():
            raise _AuditError(f"state_dict[{name!r}] holds a negative variance")


def _check_tensor(name: str, value: Any) -> None:
    """Check that a value is a plain tensor of real numbers, as large as it says."""
    if not isinstance(value, Tensor) or value.dtype not in _REAL:
        raise _AuditError(f"{name} is no tensor of real numbers")
    if value.layout != torch.strided or value.device.type != "cpu":
        raise _AuditError(f"{name} is a tensor whose numbers are not all there")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise _AuditError(f"{name} has {value.numel()} numbers, but not so many stored")
