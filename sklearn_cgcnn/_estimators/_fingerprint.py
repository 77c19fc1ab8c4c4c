"""Identify a training by its data, its parameters and its initial weights."""

import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sklearn_cgcnn._training import CrystalNet, PackedDataset


def training_fingerprint(
    params: Mapping[str, Any],
    net: CrystalNet,
    train: PackedDataset,
    valid: PackedDataset | None,
) -> str:
    """Return a hash that two trainings share only if they give the same result.

    Parameters
    ----------
    params : mapping of str to object
        Parameters that shape the training.
    net : CrystalNet
        The net before the training.
    train : PackedDataset
        Training crystals.
    valid : PackedDataset or None
        Held-out crystals.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    weights = net.module_.state_dict()
    parts = {
        "params": dict(params),
        "seed": net.seed,
        "module": str(net.module_),
        "weights": weights,
        "train": _tensors(train),
        "valid": None if valid is None else _tensors(valid),
    }
    _update(digest, parts, ())
    return digest.hexdigest()[:32]


def _tensors(dataset: PackedDataset) -> dict[str, torch.Tensor]:
    return {k: v for k, v in vars(dataset).items() if isinstance(v, torch.Tensor)}


def _update(digest: Any, value: Any, parents: tuple[int, ...]) -> None:
    """Add a value by its content, so that equal values of two processes agree."""
    if id(value) in parents:  # it contains itself
        return
    parents = (*parents, id(value))
    digest.update(f"<{type(value).__module__}.{type(value).__qualname__}>".encode())
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            digest.update(repr(key).encode())
            _update(digest, value[key], parents)
    elif isinstance(value, list | tuple | np.ndarray):
        for item in value:
            _update(digest, item, parents)
    else:
        _update_object(digest, value, parents)


def _update_object(digest: Any, value: Any, parents: tuple[int, ...]) -> None:
    if value is None or isinstance(value, bool | int | float | str | bytes | np.number):
        digest.update(repr(value).encode())
    elif isinstance(value, functools.partial):
        _update(digest, (value.func, value.args, value.keywords), parents)
    elif isinstance(value, types.FunctionType):
        digest.update(f"{value.__module__}.{value.__qualname__}".encode())
        digest.update(value.__code__.co_code)
    elif isinstance(value, type | types.BuiltinFunctionType):
        digest.update(f"{value.__module__}.{value.__qualname__}".encode())
    elif isinstance(value, torch.nn.Module):
        digest.update(str(value).encode())
        _update(digest, value.state_dict(), parents)
    elif hasattr(value, "get_params") or hasattr(value, "initialize"):
        # Other attributes of a callback are its state, or connections.
        own = {k: v for k, v in vars(value).items() if not k.endswith("_")}
        _update(digest, own, parents)
    # Of other objects the type alone counts, which was added above.
