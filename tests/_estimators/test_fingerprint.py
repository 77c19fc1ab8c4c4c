"""A fit loads the result of another only if it would end the same."""

import functools
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring
from torch import nn

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._estimators._fingerprint import _ContentHash

FACTOR = 2.0


def fingerprint(value):
    content = _ContentHash()
    content.add(value)
    return content.hexdigest()


def scaled_by(factor):
    return lambda x: factor * x


def with_default(x, factor=2):
    return factor * x


def with_other_default(x, factor=3):
    return factor * x


with_other_default.__qualname__ = with_default.__qualname__


def uses_a_global(x):
    return FACTOR * x


def calls_another(x):
    return uses_a_global(x)


def with_globals(function, **values):
    """Return a function as if its module had other values."""
    copied = types.FunctionType(function.__code__, {**globals(), **values})
    copied.__module__, copied.__qualname__ = function.__module__, function.__qualname__
    return copied


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


class Pool(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.power = power


def edited(body):
    """Return a class as a notebook has it after its cell was edited."""
    namespace = {"__name__": "notebook"}
    exec(f"class Edited:\n    def f(self, x):\n        return {body}", namespace)
    return namespace["Edited"]


class Watch(Callback):
    def __init__(self, what):
        self.what = what


DIFFERENT = {
    "constants": (lambda x: x * 2, lambda x: x * 3),
    "names": (lambda x: x.abs(), lambda x: x.sqrt()),
    "nested code": (lambda: lambda: 1, lambda: lambda: 2),
    "sets": (lambda x: x in {1, 2}, lambda x: x in {1, 3}),
    "closures": (scaled_by(1), scaled_by(2)),
    "defaults": (with_default, with_other_default),
    "globals": (uses_a_global, with_globals(uses_a_global, FACTOR=3.0)),
    "functions": (
        calls_another,
        with_globals(
            calls_another, uses_a_global=with_globals(uses_a_global, FACTOR=3.0)
        ),
    ),
    "partials": (functools.partial(max, 1), functools.partial(max, 2)),
    "attributes": (Scale(1), Scale(2)),
    "methods": (Scale(1).__call__, Scale(2).__call__),
    "edited classes": (edited("x"), edited("2 * x")),
    "objects of them": (edited("x")(), edited("2 * x")()),
    "losses": (nn.HuberLoss(delta=1), nn.HuberLoss(delta=2)),
    "own modules": (Pool(1), Pool(2)),
    "slots": (pathlib.PurePosixPath("a"), pathlib.PurePosixPath("b")),
    "nesting": ([[1], 2], [[1, 2]]),
    "arrays": (np.zeros(2), np.zeros(2, np.float32)),
    "objects in arrays": (np.array([1, "a"], object), np.array([1, "b"], object)),
    "tensors": (torch.zeros(2), torch.ones(2)),
    "numbers": (1, 1.0),
    "callbacks": (Checkpoint(monitor="a"), Checkpoint(monitor="b")),
    "scorers": (EpochScoring(Scale(1)), EpochScoring(Scale(2))),
    "sinks": (EarlyStopping(sink=print), EarlyStopping(sink=len)),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_different_content_differs(kind):
    one, other = map(fingerprint, DIFFERENT[kind])
    assert one != other


class Loop:
    def __init__(self):
        self.own = [self]


EQUAL = {
    "order of keys": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "order of sets": ({"a", "b", "c"}, {"c", "b", "a"}),
    "functions": (lambda x: x * 2, lambda x: x * 2),
    "closures": (scaled_by(2), scaled_by(2)),
    "loops": (Loop(), Loop()),
    "modes": (nn.Dropout(0.1).eval(), nn.Dropout(0.1).train()),
    "connections": (Watch(types.SimpleNamespace(id=1)), Watch(types.SimpleNamespace())),
}


@pytest.mark.parametrize("kind", EQUAL)
def test_equal_content_agrees(kind):
    one, other = map(fingerprint, EQUAL[kind])
    assert one == other


def test_what_callbacks_learned_does_not_count():
    one, other = Watch(1), Watch(1)
    other.best_ = 3.0
    assert fingerprint(one) == fingerprint(other)


def test_an_empty_closure_is_no_error():
    def recursive():
        return later

    before = fingerprint(recursive)
    later = 1
    assert fingerprint(recursive) != before


def test_processes_agree():
    code = """
import torch
from skorch.callbacks import EpochScoring
from sklearn.metrics import make_scorer, r2_score
from sklearn_cgcnn._estimators._fingerprint import _ContentHash
torch.manual_seed(0)
content = _ContentHash()
content.add(EpochScoring(make_scorer(r2_score)))
content.add([torch.optim.AdamW, torch.nn.TransformerEncoderLayer(8, 2), {"a", "b"}])
print(content.hexdigest())
"""
    run = functools.partial(subprocess.check_output, [sys.executable, "-c", code])
    assert len({run(env={"PYTHONHASHSEED": str(seed)}) for seed in range(3)}) == 1


def test_an_edited_loss_trains_again(graphs, ionic, tmp_path):
    """The same name and the same instructions, with another constant."""
    model = CGCNNRegressor(checkpoint_dir=tmp_path, **SMALL)
    losses = []
    for factor in (1.0, 100.0, 1.0):

        def loss(y_pred, y_true, factor=factor):
            return factor * (y_pred - y_true) ** 2

        model.set_params(loss=loss).fit(graphs, ionic.target)
        losses.append(model.loss_curve_[0])
    np.testing.assert_allclose(losses[1], 100 * losses[0], rtol=1e-5)
    assert losses[2] == losses[0]
    assert len(list(tmp_path.glob("*.pt"))) == 2
