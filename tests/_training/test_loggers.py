"""The callbacks of skorch that log to a service."""

import os
import sys
import threading
import types

import pytest
import torch
from skorch.callbacks import (
    MlflowLogger,
    NeptuneLogger,
    SacredLogger,
    TensorBoard,
    WandbLogger,
)

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor


class Run(dict):
    """Stands for the connection to a service: it cannot be copied or pickled."""

    def __init__(self):
        self.lock, self.logged = threading.Lock(), []
        self.info = {}

    def __getitem__(self, key):
        return _Appender(self, key)

    def __setitem__(self, key, value):
        self.logged.append((key, value))

    def __reduce_ex__(self, protocol):
        raise TypeError("a connection cannot be copied")

    def log(self, values):
        self.logged += values.items()

    def log_scalar(self, name, value, step=None):
        self.logged.append((name, value))

    def add_scalar(self, tag, scalar_value, global_step):
        self.logged.append((tag, scalar_value))

    def log_metric(self, run_id, key, value, step=None, **kwargs):
        self.logged.append((key, value))

    def log_artifact(self, run_id, path):
        assert os.path.exists(path)

    def set_terminated(self, run_id):
        self.close()

    def watch(self, module):
        assert isinstance(module, torch.nn.Module)

    def close(self):
        self.logged.append(("closed", True))

    def stop(self):
        self.close()


class _Appender:
    def __init__(self, run, key):
        self.run, self.key = run, key

    def __getitem__(self, key):
        return _Appender(self.run, f"{self.key}/{key}")

    def __setitem__(self, key, value):
        self.run.logged.append((f"{self.key}/{key}", value))

    def append(self, value):
        self.run.logged.append((self.key, value))


def make_logger(kind, run, tmp_path):
    if kind is MlflowLogger:
        active = types.SimpleNamespace(info=types.SimpleNamespace(run_id="1"))
        return MlflowLogger(run=active, client=run)
    if kind is NeptuneLogger:
        return NeptuneLogger(run, close_after_train=False)
    if kind is WandbLogger:
        run.dir = str(tmp_path)
        return WandbLogger(run)
    return kind(run)


@pytest.mark.parametrize(
    "kind", [MlflowLogger, NeptuneLogger, SacredLogger, TensorBoard, WandbLogger]
)
def test_loggers_log_to_the_connection_they_were_given(
    graphs, ionic, kind, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "neptune", types.ModuleType("neptune"))
    fake = types.ModuleType("neptune.types")
    fake.File = types.SimpleNamespace(from_content=lambda *args, **kwargs: "summary")
    monkeypatch.setitem(sys.modules, "neptune.types", fake)
    run = Run()
    logger = make_logger(kind, run, tmp_path)
    y = ionic.target
    model = CGCNNRegressor(callbacks=[logger], **SMALL)
    model.fit(graphs, y, X_val=graphs[:20], y_val=y[:20])
    logged = {str(key).split("/")[-1]: value for key, value in run.logged}
    wanted = {"loss", "train_loss", "valid_loss"} & set(logged)
    assert wanted
    assert all(isinstance(logged[key], float) for key in wanted)


def test_a_logger_that_needs_arrays_is_refused_by_name(graphs, ionic):
    model = CGCNNRegressor(callbacks=[WandbLogger(Run())], **SMALL)
    with pytest.raises(ValueError, match=r"callbacks\[0\] is WandbLogger.*; "):
        model.fit(graphs, ionic.target)
    assert not hasattr(model, "net_")
