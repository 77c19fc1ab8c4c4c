"""Checkpoint and resume: a fit that was killed ends where an undisturbed one does."""

import functools
import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LoadInitState,
    LRScheduler,
)
from torch.optim.lr_scheduler import StepLR

import killed_search
from helpers import SMALL, assert_same_weights, outputs
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn._training import _checkpoint
from sklearn_cgcnn._training._net import CrystalNet

PARAMS = {**SMALL, "max_epochs": 8, "batch_size": 16, "dropout": 0.2}


@pytest.fixture(autouse=True)
def save_every_epoch(monkeypatch):
    monkeypatch.setattr(_checkpoint, "_MIN_INTERVAL", 0.0)


class CrashError(RuntimeError):
    pass


class CrashOnce(Callback):
    """Stands for a crash: nothing is cleaned up by the callbacks after it."""

    crashed = False

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == self.epoch and not type(self).crashed:
            type(self).crashed = True
            raise CrashError


def interrupted(model, graphs, target, epoch, **fit_params):
    """Crash in an epoch, then fit again."""
    CrashOnce.crashed = False
    own = model.callbacks or []
    model.set_params(callbacks=[*own, CrashOnce(epoch)])
    with pytest.raises(CrashError):
        model.fit(graphs, target, **fit_params)
    return model.fit(graphs, target, **fit_params)


RECIPES = {
    "one cycle": {},
    "constant": {"lr_schedule": "constant", "optimizer": "sgd", "lr": 1e-3},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "patience": {
        "early_stopping": True,
        "validation_fraction": 0.3,
        "lr_schedule": "constant",
        "n_iter_no_change": 2,
        "max_epochs": 30,
    },
    "scheduler of torch": {"lr_schedule": functools.partial(StepLR, step_size=2)},
    "frozen": {"freeze": 1, "optimizer": "adam"},
    "skorch": {
        "lr_schedule": "constant",
        "callbacks": [
            LRScheduler(StepLR, step_size=2),
            EarlyStopping("train_loss", patience=6, threshold=0.99, sink=len),
            EpochScoring(None, name="own", lower_is_better=False, on_train=True),
        ],
        "max_epochs": 12,
    },
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("epoch", [1, 5])
def test_a_crashed_fit_ends_bit_for_bit_the_same(
    estimator_class, target, graphs, tmp_path, recipe, epoch
):
    params = {**PARAMS, **RECIPES[recipe]}
    model = estimator_class(checkpoint_dir=tmp_path, **params)
    resumed = interrupted(model, graphs, target, epoch)
    plain = estimator_class(**params).fit(graphs, target)
    assert_same_weights(resumed, plain)
    assert resumed.history_ == plain.history_
    assert (resumed.n_iter_, resumed.best_epoch_) == (plain.n_iter_, plain.best_epoch_)


def count_epochs(monkeypatch):
    epochs = []
    train = CrystalNet.run_single_epoch

    def counted(self, iterator, training, **kwargs):
        epochs.append(training)
        return train(self, iterator, training, **kwargs)

    monkeypatch.setattr(CrystalNet, "run_single_epoch", counted)
    return epochs


def test_only_the_rest_is_trained(graphs, ionic, tmp_path, monkeypatch):
    model = CGCNNRegressor(checkpoint_dir=tmp_path, **PARAMS)
    epochs = count_epochs(monkeypatch)
    interrupted(model, graphs, ionic.target, epoch=6)
    assert sum(epochs) == 6 + 3


def test_a_complete_fit_is_loaded(
    estimator_class, target, graphs, tmp_path, monkeypatch
):
    params = {**PARAMS, "early_stopping": True, "validation_fraction": 0.3}
    first = estimator_class(checkpoint_dir=tmp_path, **params).fit(graphs, target)
    epochs = count_epochs(monkeypatch)
    second = estimator_class(checkpoint_dir=tmp_path, **params).fit(graphs, target)
    assert epochs == []
    assert_same_weights(first, second)
    assert first.history_ == second.history_
    assert first.best_epoch_ == second.best_epoch_
    np.testing.assert_array_equal(outputs(first, graphs), outputs(second, graphs))


def test_another_fit_has_another_file(graphs, ionic, tmp_path):
    def files(y=ionic.target, X=graphs, weights=None, **params):
        model = CGCNNRegressor(checkpoint_dir=tmp_path, **{**SMALL, **params})
        model.fit(X, y, weights)
        return len(list(tmp_path.glob("*.pt")))

    assert files() == 1
    assert files(n_jobs=2, verbose=0, device="cpu") == 1
    assert files(-ionic.target) == 2
    assert files(ionic.target[:50], graphs[:50]) == 3
    assert files(weights=np.linspace(1, 2, 60)) == 4
    assert files(random_state=1) == 5
    assert files(lr=0.02) == 6
    assert files(max_epochs=4) == 7
    assert files(activation="relu") == 8
    assert files(loss="huber") == 9
    assert files(callbacks=[EarlyStopping("train_loss", sink=len)]) == 10
    assert files(callbacks=[EarlyStopping("train_loss", patience=9, sink=len)]) == 11
    assert files(lr_schedule=functools.partial(StepLR, step_size=2)) == 12
    assert files(lr_schedule=functools.partial(StepLR, step_size=3)) == 13
    assert files() == 13
    assert [each.suffix for each in tmp_path.iterdir()] == [".pt"] * 13


def test_epochs_that_a_callback_loads_are_not_counted(graphs, ionic, tmp_path):
    before = Checkpoint(monitor=None, dirname=str(tmp_path / "before"))
    CGCNNRegressor(callbacks=[before], **SMALL).fit(graphs, ionic.target)
    params = {**PARAMS, "callbacks": [LoadInitState(before)]}
    model = CGCNNRegressor(checkpoint_dir=tmp_path, **params)
    resumed = interrupted(model, graphs, ionic.target, epoch=6)
    plain = CGCNNRegressor(**params).fit(graphs, ionic.target)
    assert resumed.n_iter_ == plain.n_iter_ == 3 + 8
    assert_same_weights(resumed, plain)


def test_a_search_resumes(graphs, ionic, tmp_path, monkeypatch):
    model = CGCNNRegressor(checkpoint_dir=tmp_path, **SMALL)
    grid = {"lr": [0.01, 0.02]}
    first = GridSearchCV(model, grid, cv=2).fit(graphs, ionic.target)
    epochs = count_epochs(monkeypatch)
    second = GridSearchCV(model, grid, cv=2).fit(graphs, ionic.target)
    assert epochs == []
    key = "mean_test_score"
    np.testing.assert_array_equal(first.cv_results_[key], second.cv_results_[key])


@pytest.mark.parametrize(
    "kind", ["cross-validation", "halving", "pipeline", "two forks"]
)
def test_a_killed_search_resumes(tmp_path, kind):
    """kill -9 at random moments. The program also counts the fits that begin again."""
    command = [sys.executable, "-Wignore", killed_search.__file__, tmp_path, "3", kind]
    found = json.loads(subprocess.check_output(command))
    assert found["n_kills"] == 3
    # At least one of them came when some of the fits were finished.
    assert set(found["progress"]) - {0, found["n_fits"]}


def test_an_unfinished_file_may_vanish(tmp_path, monkeypatch):
    """Another process that runs the same fit completes it after it was found."""
    gone = tmp_path / "0.pt.gone.unfinished"
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter([gone]))
    assert _checkpoint.TrainingCheckpoint(tmp_path, "0").load("cpu") is None


def test_a_finished_fit_is_stored_without_copies_of_its_weights(
    graphs, ionic, tmp_path
):
    model = CGCNNRegressor(checkpoint_dir=tmp_path, n_site_channels=64, max_epochs=1)
    model.set_params(random_state=0).fit(graphs, ionic.target)
    (file,) = tmp_path.iterdir()
    state = torch.load(file, weights_only=False)["state"]
    n_numbers = sum(each.numel() for each in state["module"].values())
    # The optimizer has one average for each weight.
    assert file.stat().st_size < 2.5 * 4 * n_numbers


def test_warm_start_is_a_fit_of_its_own(graphs, ionic, tmp_path):
    model = CGCNNRegressor(checkpoint_dir=tmp_path, warm_start=True, **SMALL)
    plain = CGCNNRegressor(warm_start=True, **SMALL)
    for _ in range(2):
        model.fit(graphs, ionic.target)
        plain.fit(graphs, ionic.target)
    assert_same_weights(model, plain)
    assert len(list(tmp_path.glob("*.pt"))) == 2


@pytest.mark.usefixtures("ctrl_c_raises")
def test_ctrl_c_leaves_what_the_next_fit_resumes(graphs, ionic, tmp_path, monkeypatch):
    class Press(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == 4 and Press.active:
                signal.raise_signal(signal.SIGINT)

    model = CGCNNRegressor(checkpoint_dir=tmp_path, callbacks=[Press()], **PARAMS)
    Press.active = True
    with pytest.raises(KeyboardInterrupt):
        model.fit(graphs, ionic.target)
    Press.active = False
    epochs = count_epochs(monkeypatch)
    model.fit(graphs, ionic.target)
    assert sum(epochs) == 5
    assert_same_weights(model, CGCNNRegressor(**PARAMS).fit(graphs, ionic.target))


def test_without_a_seed_nothing_can_be_recognized(graphs, ionic, tmp_path):
    model = CGCNNRegressor(checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"needs a random_state.*set random_state"):
        model.fit(graphs, ionic.target)


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", {"version": 99}, [1, 2]], ids=str
)
def test_damaged_files_are_named_with_the_remedy(graphs, ionic, tmp_path, content):
    model = CGCNNRegressor(checkpoint_dir=tmp_path, **SMALL)
    model.fit(graphs, ionic.target)
    (file,) = tmp_path.iterdir()
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(ValueError, match=rf"{file}.*delete it to start this fit anew"):
        model.fit(graphs, ionic.target)


@pytest.mark.parametrize("n_bytes", [10, 1000, 5000])
def test_truncated_files_are_named_with_the_remedy(graphs, ionic, tmp_path, n_bytes):
    model = CGCNNRegressor(checkpoint_dir=tmp_path, **SMALL)
    model.fit(graphs, ionic.target)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:n_bytes])
    with pytest.raises(ValueError, match="delete it to start this fit anew"):
        model.fit(graphs, ionic.target)


def test_a_failed_write_leaves_the_file_before(graphs, ionic, tmp_path, monkeypatch):
    model = CGCNNRegressor(checkpoint_dir=tmp_path, **PARAMS)
    replace, n_calls = _checkpoint.os.replace, []

    def fail_later(*args):
        n_calls.append(args)
        if len(n_calls) == 3:
            raise OSError("disk full")
        replace(*args)

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint.os, "replace", fail_later)
        with pytest.raises(OSError, match="disk full"):
            model.fit(graphs, ionic.target)
    assert [each.suffix for each in tmp_path.iterdir()] == [".pt"]
    model.fit(graphs, ionic.target)
    assert_same_weights(model, CGCNNRegressor(**PARAMS).fit(graphs, ionic.target))


def test_a_killed_process_resumes(tmp_path):
    """kill -9 at some moment, again and again, until the fit is complete."""
    script = textwrap.dedent("""
        import sys
        import torch
        torch.set_num_threads(1)
        from sklearn_cgcnn import CGCNNRegressor
        from sklearn_cgcnn._training import _checkpoint
        from sklearn_cgcnn.datasets import make_ionic_crystals
        _checkpoint._MIN_INTERVAL = 0.0
        crystals = make_ionic_crystals(30, random_state=0)
        model = CGCNNRegressor(
            n_conv_layers=1, n_site_channels=8, max_epochs=60, batch_size=4,
            random_state=0, checkpoint_dir=sys.argv[1] or None,
        )
        print("fitting", flush=True)
        model.fit(crystals.data, crystals.target)
        torch.save(model.net_.module_.state_dict(), sys.argv[2])
    """)

    def start(folder, out):
        command = [sys.executable, "-c", script, str(folder), str(out)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    with start("", tmp_path / "plain.pt") as process:
        assert process.wait() == 0
    for delay in (0.3, 0.6):
        with start(tmp_path / "folder", tmp_path / "resumed.pt") as process:
            time.sleep(delay)
            process.kill()
    assert not (tmp_path / "resumed.pt").exists()
    with start(tmp_path / "folder", tmp_path / "resumed.pt") as process:
        assert process.wait() == 0
    plain, resumed = (
        torch.load(tmp_path / f"{name}.pt") for name in ("plain", "resumed")
    )
    for name, value in plain.items():
        assert torch.equal(value, resumed[name]), name


def test_classes_are_part_of_the_data(graphs, ionic, tmp_path):
    for labels in (ionic.prototype, ionic.prototype == ionic.prototype[0]):
        model = CGCNNClassifier(checkpoint_dir=tmp_path, **SMALL).fit(graphs, labels)
        plain = CGCNNClassifier(**SMALL).fit(graphs, labels)
        assert_same_weights(model, plain)
