"""Identify a training by its data, its parameters and its initial weights."""

import functools
import hashlib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_cgcnn._training import CrystalDataset, CrystalNet, StreamedDataset

_NAMED_ONLY = types.BuiltinFunctionType | types.ModuleType
_PLAIN = None | bool | int | float | complex | str | bytes


def training_fingerprint(
    params: Mapping[str, Any],
    net: CrystalNet,
    train: CrystalDataset,
    valid: CrystalDataset | None,
) -> str:
    """Return a hash that two trainings share only if they give the same result.

    Functions and classes count by their code, with defaults, closures, and what they
    use of their own module. What a function imports counts by name.

    Parameters
    ----------
    params : mapping of str to object
        Parameters that shape the training.
    net : CrystalNet
        The net before the training.
    train : CrystalDataset
        Training crystals.
    valid : CrystalDataset or None
        Held-out crystals.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    content = _ContentHash()
    content.add(dict(params))
    content.add(net.seed)
    content.add(net.module_)
    content.add(_contents(train))
    content.add(None if valid is None else _contents(valid))
    return content.hexdigest()[:32]


def _contents(dataset: CrystalDataset) -> dict[str, Any]:
    contents: dict[str, Any] = {
        k: v for k, v in vars(dataset).items() if isinstance(v, torch.Tensor)
    }
    if isinstance(dataset, StreamedDataset):
        # The size of the buffer decides how crystals are shuffled.
        graphs = dataset.graphs
        contents["graphs"] = [graphs.identity(), graphs.rows(), graphs.buffer_nbytes]
    return contents


class _ContentHash:
    """A hash of objects by their content, so that equal ones of two processes agree."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        # Objects with their order. Kept alive, because ids of freed objects come again.
        self._seen: dict[int, tuple[int, object]] = {}

    def hexdigest(self) -> str:
        """Return the hash of all that was added."""
        return self._digest.hexdigest()

    def add(self, value: Any) -> None:
        """Add an object of any type."""
        self._write(f"<{type(value).__module__}.{type(value).__qualname__} ")
        if isinstance(value, _PLAIN | np.number):
            self._write(repr(value))
        elif isinstance(value, _NAMED_ONLY):
            self._write(f"{getattr(value, '__module__', '')}.{value.__name__}")
        elif isinstance(value, Mapping):
            self._add_all(sorted(value.items(), key=_repr_of_first))
        elif isinstance(value, set | frozenset):
            self._add_all(sorted(value, key=repr))
        elif isinstance(value, list | tuple):
            self._add_all(value)
        elif isinstance(value, torch.Tensor | np.ndarray):
            self._add_array(value)
        elif id(value) in self._seen:
            self._write(str(self._seen[id(value)][0]))
        else:
            self._seen[id(value)] = len(self._seen), value
            self._add_object(value)
        self._write(">")

    def _write(self, text: str) -> None:
        self._digest.update(text.encode())

    def _add_all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.add(value)

    def _add_array(self, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().numpy()
        self._write(f"{value.dtype} {value.shape}")
        if value.dtype == object:
            self._add_all(value.ravel().tolist())
        else:
            self._digest.update(np.ascontiguousarray(value).tobytes())

    def _add_object(self, value: Any) -> None:
        if isinstance(value, type):
            self._add_class(value)
        elif isinstance(value, types.FunctionType):
            self._add_function(value)
        elif isinstance(value, types.MethodType):
            self._add_all((value.__func__, value.__self__))
        elif isinstance(value, functools.partial):
            self._add_all((value.func, value.args, value.keywords))
        elif hasattr(value, "__dict__"):
            self._add_all((type(value), _attributes(value)))
        else:
            self._add_all(_reduced(value))

    def _add_class(self, value: type) -> None:
        """Add the methods of a class and of its bases."""
        self._write(f"{value.__module__}.{value.__qualname__}")
        for attribute in vars(value).values():
            for function in _functions_of(attribute):
                self.add(function)
        self._add_all(value.__bases__)

    def _add_function(self, value: types.FunctionType) -> None:
        self._write(f"{value.__module__}.{value.__qualname__}")
        self._add_all((value.__defaults__, value.__kwdefaults__))
        for cell in value.__closure__ or ():
            with_content = cell != types.CellType()
            self.add(cell.cell_contents if with_content else None)
        self._add_code(value.__code__)
        for name in sorted(_names_in(value.__code__)):
            used = value.__globals__.get(name)
            if isinstance(used, _PLAIN | tuple) or _is_of(used, value.__module__):
                self.add(used)

    def _add_code(self, code: types.CodeType) -> None:
        self._digest.update(code.co_code)
        self._add_all((code.co_names, code.co_varnames, code.co_freevars))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_code(constant)
            else:
                self.add(constant)


def _repr_of_first(pair: tuple[Any, Any]) -> str:
    return repr(pair[0])


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object that shape a training."""
    attributes = dict(vars(value))
    if isinstance(value, nn.Module):
        del attributes["training"]  # an interrupted pass may leave either
    elif hasattr(value, "get_params") or hasattr(value, "initialize"):
        # The state of a callback comes from the training. A writer or a connection that
        # it holds is another one in each process.
        attributes = {
            name: type(each) if _is_connection(each) else each
            for name, each in attributes.items()
            if not name.endswith("_")
        }
    return attributes


def _is_connection(value: Any) -> bool:
    known = callable(value) or hasattr(value, "get_params")
    return hasattr(value, "__dict__") and not known


def _functions_of(attribute: Any) -> list[Any]:
    """Return the functions behind an attribute of a class: a method or a property."""
    if isinstance(attribute, property):
        functions = [attribute.fget, attribute.fset, attribute.fdel]
    else:
        functions = [getattr(attribute, "__func__", attribute)]
    return [each for each in functions if isinstance(each, types.FunctionType)]


def _names_in(code: types.CodeType) -> set[str]:
    """Return all names that a function reads from its module, or as attributes."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return names


def _is_of(value: Any, module: str) -> bool:
    kinds = types.FunctionType | type
    return isinstance(value, kinds) and value.__module__ == module


def _reduced(value: Any) -> tuple[Any, ...]:
    """Return the content of an object without attributes, such as a path."""
    try:
        reduced = value.__reduce_ex__(4)
    except TypeError:  # it cannot be pickled: then the type alone counts
        return ()
    return tuple(list(x) if isinstance(x, Iterator) else x for x in reduced)
