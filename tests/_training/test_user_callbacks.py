"""The callbacks of skorch: each does what its documentation says, or is refused."""

import ast
import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skorch.callbacks
import torch
from sklearn.base import clone
from sklearn.metrics import check_scoring, make_scorer, mean_absolute_error
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    ParamMapper,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
    Unfreezer,
)
from torch.optim.lr_scheduler import LambdaLR, StepLR

from helpers import (
    SMALL,
    CountEpochs,
    assert_statistics_fit_the_weights,
    weights_of,
)
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn._training import PackedDataset

LONG = {**SMALL, "max_epochs": 40, "batch_size": 20}
# Three epochs of three batches.
SHORT = {**SMALL, "batch_size": 20}


# Weights that change at the end


class DoubleTheWeights(Callback):
    def on_train_end(self, net, **kwargs):
        with torch.no_grad():
            for parameter in net.module_.parameters():
                parameter.mul_(2)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_statistics_are_taken_after_weights_change_at_the_end(
    graphs, ionic, early_stopping
):
    model = CGCNNRegressor(
        callbacks=[DoubleTheWeights()], early_stopping=early_stopping, **SMALL
    )
    plain = CGCNNRegressor(early_stopping=early_stopping, **SMALL)
    model.fit(graphs, ionic.target)
    plain.fit(graphs, ionic.target)
    name = "convs.0.linear.weight"
    assert torch.equal(weights_of(model)[name], 2 * weights_of(plain)[name])
    if not early_stopping:  # else they are those of the crystals not held out
        assert_statistics_fit_the_weights(model, graphs)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_best_checkpoint_is_loaded_with_its_statistics(
    graphs, ionic, early_stopping, tmp_path
):
    monitor = "valid_loss_best" if early_stopping else "train_loss_best"
    best = Checkpoint(monitor=monitor, dirname=str(tmp_path), load_best=True)
    # In the last epochs the learning rate is too large.
    schedule = partial(LambdaLR, lr_lambda=lambda epoch: 1 if epoch < 9 else 100)
    params = {**LONG, "lr_schedule": schedule, "max_epochs": 12, "baseline": None}
    model = CGCNNRegressor(callbacks=[best], early_stopping=early_stopping, **params)
    model.fit(graphs, ionic.target)
    losses = model.history_["valid_loss" if early_stopping else "train_loss"]
    assert model.n_iter_ == len(model.loss_curve_) == 12
    assert np.argmin(losses) < 11  # the last epoch is not the best
    saved = torch.load(tmp_path / "params.pt")
    for name, value in weights_of(model).items():
        torch.testing.assert_close(value, saved[name], rtol=1e-5, atol=1e-6, msg=name)
    if not early_stopping:
        assert_statistics_fit_the_weights(model, graphs)


def test_early_stopping_of_skorch_loads_its_best_epoch(graphs, ionic):
    best = EarlyStopping("train_loss", patience=3, load_best=True, sink=len)
    params = {**LONG, "lr": 0.3, "lr_schedule": "constant"}
    model = CGCNNRegressor(callbacks=[best], **params).fit(graphs, ionic.target)
    assert model.n_iter_ < 40
    assert_statistics_fit_the_weights(model, graphs)


def test_what_is_frozen_keeps_its_statistics(graphs, ionic):
    model = CGCNNRegressor(**SMALL).fit(graphs, ionic.target)
    before = weights_of(model)
    model.set_params(warm_start=True, callbacks=[Freezer("convs.*")])
    model.fit(graphs[:30], 2 * ionic.target[:30])
    after = weights_of(model)
    for name, value in before.items():
        if name.startswith("convs."):
            assert torch.equal(value, after[name]), name
    assert not torch.equal(
        before["readout.output.weight"], after["readout.output.weight"]
    )


# Scores in the user's unit


def own_mae(net, X, y):
    return mean_absolute_error(y, net.predict(X))


SCORINGS = [
    "neg_mean_absolute_error",
    make_scorer(mean_absolute_error),
    mean_absolute_error,
    own_mae,
    None,
]


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("use_caching", [True, False])
def test_scores_of_a_regressor_are_in_the_unit_of_the_target(
    graphs, ionic, scoring, use_caching
):
    score = EpochScoring(scoring, name="own", use_caching=use_caching)
    y = 1000 + 50 * ionic.target
    model = CGCNNRegressor(callbacks=[score], **SMALL)
    model.fit(graphs, y, X_val=graphs[:20], y_val=y[:20])
    last = model.net_.history[-1, "own"]
    if scoring is None:
        expected = model.score(graphs[:20], y[:20])
    else:
        expected = np.abs(model.predict(graphs[:20]) - y[:20]).mean()
    if scoring == "neg_mean_absolute_error":
        expected = -expected
    assert last == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("use_caching", [True, False])
@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc_ovr", "neg_log_loss", None])
def test_scores_of_a_classifier_see_its_labels(graphs, ionic, scoring, use_caching):
    score = EpochScoring(scoring, name="own", use_caching=use_caching)
    model = CGCNNClassifier(callbacks=[score], **SHORT)
    y = ionic.prototype
    model.fit(graphs, y, X_val=graphs, y_val=y)
    expected = check_scoring(model, scoring)(model, graphs, y)
    assert model.net_.history[-1, "own"] == pytest.approx(expected, abs=1e-5)


class Seen:
    """A scoring function that keeps what it receives."""

    def __init__(self):
        self.seen = []

    def __call__(self, net, X, y):
        self.seen.append((np.asarray(y), net.predict(X)))
        return 0.0


@pytest.mark.parametrize("callback", [EpochScoring, BatchScoring])
@pytest.mark.parametrize("on_train", [True, False])
@pytest.mark.parametrize("use_caching", [True, False])
def test_the_very_targets_reach_scoring(
    estimator_class, target, graphs, callback, on_train, use_caching
):
    scoring = Seen()
    score = callback(scoring, name="own", on_train=on_train, use_caching=use_caching)
    model = estimator_class(callbacks=[score], **SMALL).set_params(max_epochs=1)
    model.fit(graphs, target, X_val=graphs[:20], y_val=target[:20])
    y = np.concatenate([y for y, _ in scoring.seen])
    expected = target if on_train else target[:20]
    assert sorted(y.tolist()) == sorted(expected.tolist())
    predicted = np.concatenate([each for _, each in scoring.seen])
    assert predicted.shape == y.shape
    assert predicted.dtype.kind == y.dtype.kind
    if not on_train:
        np.testing.assert_array_equal(y, expected)
        last = model.predict(graphs[:20])
        if predicted.dtype.kind == "f":
            np.testing.assert_allclose(predicted, last, rtol=1e-4, atol=1e-4)
        else:
            np.testing.assert_array_equal(predicted, last)


def test_several_targets_reach_scoring(graphs, ionic):
    scoring = Seen()
    y = np.stack([ionic.target, 100 + ionic.target], axis=1)
    y[3, 1] = np.nan
    callback = EpochScoring(scoring, name="own")
    CGCNNRegressor(callbacks=[callback], **SMALL).fit(
        graphs, y, X_val=graphs[:7], y_val=y[:7]
    )
    np.testing.assert_array_equal(scoring.seen[-1][0], y[:7])


@pytest.mark.parametrize("callback", [EpochScoring, BatchScoring])
def test_without_validation_no_score_is_recorded(graphs, ionic, callback):
    score = callback("neg_mean_absolute_error", name="own")
    model = CGCNNRegressor(callbacks=[score], **SMALL).fit(graphs, ionic.target)
    assert "own" not in model.net_.history[-1]


def test_predictions_within_the_training_use_current_statistics(graphs, ionic):
    """They lag behind otherwise: the error is that of another network."""
    score = EpochScoring(own_mae, on_train=True, use_caching=False)
    model = CGCNNRegressor(callbacks=[score], **SHORT).fit(graphs, ionic.target)
    expected = np.abs(model.predict(graphs) - ionic.target).mean()
    assert model.net_.history[-1, "own_mae"] == pytest.approx(expected, rel=1e-5)


class EvaluatesTheModule(Callback):
    """Computes an error without the net's help, as callbacks of a user may."""

    def on_epoch_end(self, net, dataset_train, **kwargs):
        batch, targets = dataset_train[torch.arange(len(dataset_train))]
        net.module_.eval()
        with torch.no_grad():
            outputs = net.module_(batch).numpy()
        self.error_ = np.abs(net.encoding.decode(outputs) - targets.y).mean()


def test_a_module_that_a_callback_evaluates_has_current_statistics(graphs, ionic):
    model = CGCNNRegressor(callbacks=[EvaluatesTheModule()], **SHORT)
    model.fit(graphs, ionic.target)
    (callback,) = (each for _, each in model.net_.callbacks_ if hasattr(each, "error_"))
    expected = np.abs(model.predict(graphs) - ionic.target).mean()
    assert callback.error_ == pytest.approx(expected, rel=1e-4)


def test_losses_and_errors_are_recorded_in_the_unit_of_the_target(graphs, ionic):
    model = CGCNNRegressor(**SMALL)
    y = 1000 + 50 * ionic.target
    model.fit(graphs, y, X_val=graphs[:20], y_val=y[:20])
    assert set(model.history_) == {"train_loss", "train_mae", "valid_loss", "valid_mae"}
    assert {len(values) for values in model.history_.values()} == {model.n_iter_}
    expected = np.abs(model.predict(graphs[:20]) - y[:20]).mean()
    assert model.history_["valid_mae"][-1] == pytest.approx(expected, rel=1e-4)
    scale = model.target_scale_[0]
    np.testing.assert_allclose(
        model.history_["train_mae"], scale * np.array(model.loss_curve_), rtol=1e-5
    )


# Files


def test_a_pickle_of_the_net_is_a_model(estimator_class, target, graphs, tmp_path):
    save = Checkpoint(monitor=None, f_pickle="net.pkl", dirname=str(tmp_path))
    model = estimator_class(callbacks=[save], early_stopping=True, **SMALL)
    model.set_params(validation_fraction=0.3, verbose=1).fit(graphs, target)
    net = pickle.loads((tmp_path / "net.pkl").read_bytes())
    expected = model.net_.predict(PackedDataset(graphs))
    assert net.predict(PackedDataset(graphs)).shape == expected.shape
    assert len(net.history) == 3


def test_a_checkpoint_is_the_model_after_its_epoch(graphs, ionic, tmp_path):
    save = Checkpoint(monitor=None, dirname=str(tmp_path))
    model = CGCNNRegressor(callbacks=[save], **SHORT).fit(graphs, ionic.target)
    saved = torch.load(tmp_path / "params.pt")
    for name, value in weights_of(model).items():
        torch.testing.assert_close(value, saved[name], rtol=1e-6, atol=1e-7, msg=name)
    history = json.loads((tmp_path / "history.json").read_text())
    assert [row["train_loss"] for row in history] == model.loss_curve_


@pytest.mark.parametrize("kind", [Checkpoint, TrainEndCheckpoint])
def test_a_training_continues_from_a_checkpoint(graphs, ionic, tmp_path, kind):
    def fit():
        options = {"monitor": "train_loss_best"} if kind is Checkpoint else {}
        save = kind(dirname=str(tmp_path), **options)
        params = {**SMALL, "lr_schedule": "constant", "lr": 1e-3}
        model = CGCNNRegressor(callbacks=[save, LoadInitState(save)], **params)
        return model.fit(graphs, ionic.target)

    first = fit()
    second = fit()
    assert len(second.net_.history) == 6
    assert second.net_.history[:3, "train_loss"] == first.loss_curve_
    assert second.loss_curve_[3] < first.loss_curve_[0]


def test_epochs_of_a_checkpoint_do_not_advance_the_bar(graphs, ionic, tmp_path, capsys):
    save = Checkpoint(monitor=None, dirname=str(tmp_path))
    CGCNNRegressor(callbacks=[save], **SMALL).fit(graphs, ionic.target)
    model = CGCNNRegressor(callbacks=[LoadInitState(save)], verbose=1, **SMALL)
    model.fit(graphs, ionic.target)
    assert len(model.net_.history) == 3 + 3
    last = capsys.readouterr().err.split("training:")[-1]
    assert "3/3" in last


# The rest


def test_print_log_prints(graphs, ionic, capsys):
    CGCNNRegressor(callbacks=[PrintLog()], **SMALL).fit(graphs, ionic.target)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["epoch", "train_loss", "train_mae", "dur"]
    assert len(lines) == 2 + 3


def test_the_progress_bar_shows_numbers(graphs, ionic, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "tqdm.tqdm.set_postfix", lambda bar, values, **kwargs: shown.append(values)
    )
    CGCNNRegressor(callbacks=[ProgressBar()], **SMALL).fit(graphs, ionic.target)
    batches = [values for values in shown if len(values) == 1]
    assert {type(values["train_loss"]) for values in batches} == {float}
    assert capsys.readouterr().out == ""


def test_a_scheduler_of_skorch_replaces_ours(graphs, ionic):
    scheduler = LRScheduler(StepLR, step_size=1, gamma=0.5)
    model = CGCNNRegressor(callbacks=[scheduler], lr_schedule="constant", **SMALL)
    model.fit(graphs, ionic.target)
    rates = model.net_.history[:, "event_lr"]
    np.testing.assert_allclose(rates, [0.01, 0.005, 0.0025])


def test_parameters_are_mapped(graphs, ionic):
    zero = torch.nn.init.zeros_
    callbacks = [Initializer("readout.output.*", fn=zero), ParamMapper("convs.*")]
    model = CGCNNRegressor(callbacks=callbacks, lr=1e-12, **SMALL)
    model.fit(graphs, ionic.target)
    assert weights_of(model)["readout.output.weight"].abs().max() < 1e-6


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "adam", "sgd"])
def test_what_was_frozen_thaws(graphs, ionic, optimizer):
    callbacks = [Freezer("convs.*"), Unfreezer("convs.*", at=3)]
    model = CGCNNRegressor(callbacks=callbacks, **SMALL)
    model.set_params(optimizer=optimizer, lr=1e-3, lr_schedule="constant")
    thawed = clone(model).fit(graphs, ionic.target)
    model.set_params(max_epochs=2)
    frozen = clone(model).fit(graphs, ionic.target)
    start = clone(model).set_params(lr=1e-12, weight_decay=0)
    start.fit(graphs, ionic.target)
    name = "convs.0.linear.weight"
    assert torch.equal(weights_of(frozen)[name], weights_of(start)[name])
    assert not torch.equal(weights_of(thawed)[name], weights_of(start)[name])


REFUSED = {
    "InputShapeSetter": InputShapeSetter(),
    "LRScheduler": LRScheduler(StepLR, step_size=1),
    "EarlyStopping": EarlyStopping(),
    "Checkpoint": Checkpoint(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_by_name(graphs, ionic, name):
    model = CGCNNRegressor(callbacks=[CountEpochs(), REFUSED[name]], **SMALL)
    with pytest.raises(ValueError, match=rf"callbacks\[1\] is {name}.*; "):
        model.fit(graphs, ionic.target)
    assert not hasattr(model, "net_")


@pytest.mark.parametrize(
    "wrong", ["EarlyStopping", 3, None, dict, (1, EpochTimer()), ("name",)]
)
def test_what_is_no_callback_is_named(graphs, ionic, wrong):
    model = CGCNNRegressor(callbacks=[wrong], **SMALL)
    with pytest.raises(TypeError, match=r"callbacks\[0\] is .* not a callback; pass"):
        model.fit(graphs, ionic.target)


@pytest.mark.parametrize("given", [CountEpochs, ("mine", CountEpochs), CountEpochs()])
def test_callbacks_are_objects_classes_or_named(graphs, ionic, given):
    model = CGCNNRegressor(callbacks=[given], **SMALL).fit(graphs, ionic.target)
    name = "mine" if isinstance(given, tuple) else "CountEpochs"
    assert dict(model.net_.callbacks_)[name].n_ == 3


def test_every_callback_of_skorch_is_tested():
    """A new release may bring new ones."""
    names = set(skorch.callbacks.__all__) - {"Callback", "WarmRestartLR"}
    elsewhere = {"GradientNormClipping"}  # see test_callbacks.py
    of_every_net = {"PassthroughScoring"}
    used = {
        node.id
        for name in ("user_callbacks", "stopping", "loggers")
        for node in ast.walk(
            ast.parse(Path(__file__).with_name(f"test_{name}.py").read_text())
        )
        if isinstance(node, ast.Name)
    }
    assert names - used == elsewhere | of_every_net
