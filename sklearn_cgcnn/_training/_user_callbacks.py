"""Callbacks that a user passes: checked, copied, and given targets as a user's y."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from skorch.callbacks import (
    Callback,
    InputShapeSetter,
    LRScheduler,
    WandbLogger,
)
from skorch.callbacks.scoring import ScoringBase
from torch import Tensor, nn

from sklearn_cgcnn._training._packed import BatchTargets

# What is recorded for held-out crystals alone.
_VALIDATION_RECORDS = {"valid_loss", "valid_mae", "valid_accuracy"}
_HOLD_OUT = "set early_stopping=True, or pass X_val and y_val to fit"


def prepare_callbacks(
    callbacks: Sequence[Any], *, lr_schedule: Any, has_validation: bool
) -> list[Any]:
    """Return copies of a user's callbacks that work with batches of crystals.

    Parameters
    ----------
    callbacks : sequence
        Callbacks, classes of callbacks, or pairs of a name and one of these.
    lr_schedule : str or callable
        Schedule of the learning rate.
    has_validation : bool
        Whether there are held-out crystals.

    Returns
    -------
    list of Callback or pair of str and Callback

    Raises
    ------
    TypeError
        If an item is not a callback.
    ValueError
        If a callback cannot work with these parameters.
    """
    named = [item if isinstance(item, tuple) else (None, item) for item in callbacks]
    prepared = []
    for index, pair in enumerate(named):
        where = f"callbacks[{index}]"
        _check_is_callback(where, pair)
        name, callback = pair
        callback = callback() if isinstance(callback, type) else callback
        _check_is_supported(where, callback, lr_schedule, has_validation)
        prepared.append((name, callback))
    copies = _copy_callbacks([callback for _, callback in prepared])
    for callback in copies:
        if isinstance(callback, ScoringBase):
            callback.target_extractor = _GivenTargets(callback.target_extractor)
    return [
        callback if name is None else (name, callback)
        for (name, _), callback in zip(prepared, copies, strict=True)
    ]


def _check_is_callback(where: str, pair: Sequence[Any]) -> None:
    named = len(pair) == 2 and isinstance(pair[0], str | None)
    callback = pair[-1]
    is_class = isinstance(callback, type) and issubclass(callback, Callback)
    if named and (is_class or isinstance(callback, Callback)):
        return
    given = callback.__name__ if isinstance(callback, type) else repr(callback)
    raise TypeError(
        f"{where} is {given}, which is not a callback; pass objects of skorch.callbacks"
        " or of sklearn_cgcnn.callbacks, or of your own subclass of "
        "skorch.callbacks.Callback"
    )


def _check_is_supported(
    where: str, callback: Callback, lr_schedule: Any, has_validation: bool
) -> None:
    name = f"{where} is {type(callback).__name__}"
    if isinstance(callback, InputShapeSetter):
        raise ValueError(
            f"{name}, but the network takes its widths from site_features and "
            "edge_basis; leave this callback out"
        )
    if isinstance(callback, LRScheduler) and lr_schedule != "constant":
        raise ValueError(
            f"{name}, which would set the learning rate against lr_schedule="
            f'{lr_schedule!r}; set lr_schedule="constant"'
        )
    if has_validation:
        return
    if isinstance(callback, WandbLogger) and callback.save_model:
        raise ValueError(
            f"{name} with save_model=True, which saves the epoch with the lowest "
            f"validation loss, but no crystals are held out; {_HOLD_OUT}, or pass "
            "save_model=False"
        )
    monitor: Any = getattr(callback, "monitor", None)
    record = monitor.removesuffix("_best") if isinstance(monitor, str) else None
    if record in _VALIDATION_RECORDS:
        raise ValueError(
            f"{name} with monitor={monitor!r}, but no crystals are held out; "
            f"{_HOLD_OUT}, or monitor {monitor.replace('valid', 'train')!r}"
        )


def _copy_callbacks(callbacks: Sequence[Callback]) -> list[Callback]:
    """Return copies that refer to each other as the originals do.

    Containers, arrays, tensors and modules are copied, so that a fit changes none of
    them. Anything else is shared: a writer or a connection to a logging service cannot
    be copied.
    """
    copies = {id(callback): copy.copy(callback) for callback in callbacks}
    for callback in copies.values():
        for name, value in vars(callback).items():
            if id(value) in copies:
                setattr(callback, name, copies[id(value)])
            elif isinstance(value, list | dict | set | np.ndarray | Tensor | nn.Module):
                setattr(callback, name, _copy_or_share(value))
    return [copies[id(callback)] for callback in callbacks]


def _copy_or_share(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except TypeError:  # it contains something that cannot be copied
        return value


class _GivenTargets:
    """Give a scoring callback the targets as they were passed to the estimator.

    Parameters
    ----------
    extractor : callable
        The callback's own `target_extractor`, which is applied afterwards.
    """

    def __init__(self, extractor: Callable[[Any], Any]) -> None:
        self.extractor = extractor

    def __call__(self, y: Any) -> Any:
        return self.extractor(y.y if isinstance(y, BatchTargets) else y)
