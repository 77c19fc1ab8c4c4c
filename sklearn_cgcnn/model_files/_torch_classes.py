"""Optimizers and schedules of torch, which are stored by their names."""

import inspect
from functools import partial
from types import ModuleType
from typing import Any

from torch import optim
from torch.optim import lr_scheduler


def _classes_of(module: ModuleType, base: type) -> dict[str, type]:
    """Return the public classes of a module, by their full names."""
    return {
        f"{module.__name__}.{name}": each
        for name, each in vars(module).items()
        if inspect.isclass(each) and issubclass(each, base) and name[0] != "_"
    }


_CLASSES = _classes_of(optim, optim.Optimizer) | _classes_of(
    lr_scheduler, lr_scheduler.LRScheduler
)
_NAMES = {each: name for name, each in _CLASSES.items()}


def name_of(value: Any) -> str | None:
    """Return the name of a class of torch, or of that in a partial with keywords.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str or None
        None for any other object.
    """
    if type(value) is partial and not value.args:
        value = value.func
    return _NAMES.get(value) if isinstance(value, type) else None


def made_of(name: Any, keywords: dict[str, Any] | None) -> Any:
    """Return a class of torch, or a partial of it. Neither is called.

    Parameters
    ----------
    name : object
        What :func:`name_of` returned.
    keywords : dict of str to object, or None
        Keywords of the partial. None returns the class.

    Returns
    -------
    type or partial

    Raises
    ------
    KeyError
        If there is no such class.
    """
    kind = _CLASSES[name]
    return kind if keywords is None else partial(kind, **keywords)
