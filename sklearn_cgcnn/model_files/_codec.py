"""Objects as JSON and arrays. Only classes of a fixed table can be stored or made."""

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_cgcnn import nn
from sklearn_cgcnn._estimators import CGCNNClassifier, CGCNNRegressor, CrystalEmbedder
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._versioned_state import VersionedState
from sklearn_cgcnn.exceptions import ModelFileError
from sklearn_cgcnn.graphs import EDGE_RULES, EdgeRule, edge_rule_from_dict
from sklearn_cgcnn.model_files import _torch_classes
from sklearn_cgcnn.model_files._networks import check_network
from sklearn_cgcnn.uncertainty import (
    ApplicabilityDomain,
    ConformalRegressor,
    EnsembleClassifier,
    EnsembleRegressor,
    SpreadRegressor,
)
from sklearn_cgcnn.uncertainty._error_model import ErrorModel
from sklearn_cgcnn.uncertainty._training_domain import TrainingDomain
from sklearn_cgcnn.uncertainty._training_range import (
    ContactRange,
    SpacingRange,
    TrainingRange,
)

# Objects of these classes are stored by their state, and once each. On reading,
# __setstate__ of those of this package builds networks, and nothing else is called.
_CLASSES: dict[str, type] = {
    each.__name__: each
    for each in (
        ApplicabilityDomain,
        CGCNNClassifier,
        CGCNNRegressor,
        ConformalRegressor,
        ContactRange,
        CrystalEmbedder,
        CrystalGraphFeaturizer,
        EnsembleClassifier,
        EnsembleRegressor,
        ErrorModel,
        FrozenEstimator,
        Pipeline,
        SpacingRange,
        SpreadRegressor,
        TrainingDomain,
        TrainingRange,
    )
}
# Networks can be made of these classes of sklearn_cgcnn.nn.
_PARTS = {
    name: part for name in nn.__all__ if isinstance(part := getattr(nn, name), type)
}
# Containers inside containers, far beyond what any model needs.
_MAX_DEPTH = 50
# Characters of a list of texts, such as class labels, after padding.
_MAX_TEXT = 1_000_000
# Parameters that name places on the machine of whoever stored the model.
_PLACES = ("checkpoint_dir", "memory")


class Encoder:
    """Turn objects into JSON values, and collect their arrays.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The arrays, by the name that stands for them in JSON.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self._objects: list[Any] = []

    def encode(self, value: Any, place: str) -> Any:
        """Return the JSON value of an object.

        Parameters
        ----------
        value : object
            The object.
        place : str
            Where it is, for messages and for the names of arrays.

        Returns
        -------
        JSON value

        Raises
        ------
        TypeError
            If the object, or one inside it, cannot be stored.
        """
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int | float) and not isinstance(value, np.generic):
            return value if math.isfinite(value) else {"$float": repr(float(value))}
        if isinstance(value, np.ndarray | np.generic):
            return self._encode_array(value, place)
        if isinstance(value, list | tuple):
            items = [self.encode(item, f"{place}[{i}]") for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        if isinstance(value, Mapping):
            return {"$dict": self._encode_items(value, place)}
        if isinstance(value, EdgeRule) and type(value) in EDGE_RULES.values():
            return {"$rule": value.to_dict()}
        if isinstance(value, type) and _PARTS.get(value.__name__) is value:
            return {"$part": value.__name__}
        if isinstance(value, torch.device | PurePath):
            return str(value)  # which means the same to every parameter
        if (name := _torch_classes.name_of(value)) is not None:
            keywords = None if isinstance(value, type) else value.keywords
            return {"$torch": name, "keywords": self.encode(keywords, place)}
        return self._encode_object(value, place)

    def _encode_items(self, mapping: Mapping[Any, Any], place: str) -> dict[str, Any]:
        for name in mapping:
            if not isinstance(name, str):
                raise TypeError(
                    f"{place} has the key {name!r}; only text can be a key in a model "
                    "file"
                )
        return {
            name: self.encode(item, f"{place}.{name}" if place else name)
            for name, item in mapping.items()
        }

    def _encode_array(self, value: Any, place: str) -> Any:
        array = np.asarray(value)
        if array.dtype == object and all(isinstance(each, str) for each in array.flat):
            array = array.astype(np.str_)
        if array.dtype.kind == "U" and array.ndim == 1:
            return {"$text": array.tolist()}
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"{place} is an array of {array.dtype}, which a model file cannot "
                "store; store the model with joblib.dump"
            )
        name = place
        while name in self.arrays:
            name += "'"
        self.arrays[name] = array
        return {"$array": name, "scalar": isinstance(value, np.generic)}

    def _encode_object(self, value: Any, place: str) -> Any:
        for number, known in enumerate(self._objects):
            if known is value:
                return {"$same": number}
        if isinstance(value, EdgeRule):
            raise TypeError(
                f"{place} is your own edge rule {value.to_dict()['rule']!r}, and a "
                "model file stores only rules of this package; store the model with "
                "skops.io.dump or joblib.dump"
            )
        kind = type(value)
        if _CLASSES.get(kind.__name__) is not kind:
            name = value if isinstance(value, type) else kind
            remedy = (
                "store its best_estimator_"
                if hasattr(value, "best_estimator_")
                else "set another value"
            )
            raise TypeError(
                f"{place or 'the model'} is or contains {name.__module__}."
                f"{name.__qualname__}, and a model file stores only what this package "
                f"defines; store the model with skops.io.dump or joblib.dump, or "
                f"{remedy}"
            )
        self._objects.append(value)
        state = value.__getstate__() if isinstance(value, VersionedState) else None
        state = vars(value) if state is None else state
        kept = {k: None if k in _PLACES else each for k, each in state.items()}
        items = self._encode_items(kept, place)
        return {"$object": kind.__name__, "state": items}


class Decoder:
    """Turn JSON values and arrays into the objects that they were.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The arrays of the file.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = dict(arrays)
        self._objects: list[Any] = []
        self._unfinished: set[int] = set()

    def decode(self, value: Any, depth: int = 0) -> Any:
        """Return the object of a JSON value.

        Parameters
        ----------
        value : JSON value
            What :class:`Encoder` returned.
        depth : int, default=0
            Number of containers around it.

        Returns
        -------
        object

        Raises
        ------
        ModelFileError
            If the value stands for nothing that can be made.
        """
        if depth > _MAX_DEPTH:
            raise ModelFileError("containers are nested too deeply")
        if isinstance(value, list):
            return [self.decode(item, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        for tag, make in (
            ("$dict", self._items),
            ("$object", self._object),
            ("$array", self._array),
            ("$torch", self._torch_class),
        ):
            if tag in value:
                return make(value, depth + 1)
        if "$tuple" in value:
            return tuple(self.decode(list(value["$tuple"]), depth))
        if "$text" in value:
            return self._text(value["$text"])
        if "$float" in value:
            return float(value["$float"])
        if "$rule" in value:
            return edge_rule_from_dict(value["$rule"])
        if "$same" in value:
            return self._same(value["$same"])
        if value.get("$part") in _PARTS:
            return _PARTS[value["$part"]]
        raise ModelFileError(f"nothing can be made of {str(value)[:80]}")

    def _items(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        return {name: self.decode(item, depth) for name, item in value["$dict"].items()}

    def _array(self, value: dict[str, Any], depth: int) -> Any:
        # Each array belongs to one place, so that the file bounds the memory.
        array = self._arrays.pop(value["$array"])
        return array[()] if value["scalar"] else array

    def _torch_class(self, value: dict[str, Any], depth: int) -> Any:
        keywords = self.decode(value["keywords"], depth)
        if not isinstance(keywords, dict | None):
            raise ModelFileError("keywords of a class of torch have no names")
        try:
            return _torch_classes.made_of(value["$torch"], keywords)
        except (KeyError, TypeError):
            raise ModelFileError(
                f"torch has no class {str(value['$torch'])[:80]!r} to train with"
            ) from None

    def _text(self, values: list[str]) -> NDArray[np.str_]:
        # numpy pads all texts to the length of the longest.
        if len(values) * max(map(len, values), default=0) > _MAX_TEXT:
            raise ModelFileError("a list of texts is too long")
        return np.array(values, dtype=np.str_)

    def _same(self, number: Any) -> Any:
        if type(number) is not int or not 0 <= number < len(self._objects):
            raise ModelFileError("a reference to no object")
        if number in self._unfinished:
            raise ModelFileError("an object contains itself")
        return self._objects[number]

    def _object(self, value: dict[str, Any], depth: int) -> Any:
        name = value["$object"]
        if name not in _CLASSES:
            raise ModelFileError(
                f"the class {str(name)[:80]!r} is unknown; a newer release of "
                "sklearn_cgcnn may know it"
            )
        kind: Any = _CLASSES[name]
        made = kind.__new__(kind)
        # In the order of the encoder: an object before those inside it.
        number = len(self._objects)
        self._objects.append(made)
        self._unfinished.add(number)
        state = self._items({"$dict": value["state"]}, depth)
        self._unfinished.remove(number)
        _check_names(kind, state)
        if isinstance(made, VersionedState):
            check_network(state)
            made.__setstate__(state)
        else:
            vars(made).update(state)
        return made


def _check_names(kind: type, state: dict[str, Any]) -> None:
    """Refuse a state that would replace methods, or that names places."""
    for name, value in state.items():
        if name.startswith("__") or callable(getattr(kind, name, None)):
            raise ModelFileError(f"{name[:80]!r} is not part of the state of an object")
        if name in _PLACES and value is not None:
            raise ModelFileError(f"{name} names a place on another machine")
