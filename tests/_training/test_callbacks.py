"""Callbacks of the package: schedules, early stopping, guards and progress."""

import types

import numpy as np
import pytest
import skorch
import torch
from sklearn.base import clone

from helpers import SMALL, KeepHeldOut, outputs, weights_of
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn._training import KeepBestEpoch, _recipe
from sklearn_cgcnn.callbacks import TrainReadoutOnly
from sklearn_cgcnn.exceptions import TrainingDivergedError


def test_early_stopping_returns_to_its_best_epoch(estimator, target, ionic):
    estimator.set_params(
        callbacks=[KeepHeldOut()],
        early_stopping=True,
        validation_fraction=0.3,
        n_iter_no_change=4,
        max_epochs=200,
        lr=0.3,
        lr_schedule="constant",
    )
    estimator.fit(ionic.data, target)
    scores = np.array(estimator.validation_scores_)
    assert estimator.n_iter_ == len(scores) < 200
    # It stopped four epochs after the best one...
    assert scores.argmax() == len(scores) - 1 - 4
    # ...and holds its weights, not the last ones.
    net = estimator.net_
    valid = dict(net.callbacks_)["KeepHeldOut"].dataset_
    predicted = net.predict_batches(valid)
    loss = net.criterion_(predicted, valid.targets).mean().item()
    assert loss == pytest.approx(-scores.max(), rel=1e-5)


@pytest.mark.parametrize(("n_crystals", "fraction"), [(1, 0.1), (6, 0.1), (3, 0.99)])
def test_what_cannot_be_held_out_is_named(ionic, n_crystals, fraction):
    model = CGCNNRegressor(early_stopping=True, validation_fraction=fraction, **SMALL)
    y = np.arange(n_crystals)
    if n_crystals == 6:
        model = CGCNNClassifier(early_stopping=True, **SMALL)
    with pytest.raises(ValueError, match=f"validation_fraction={fraction} of"):
        model.fit(ionic.data[:n_crystals], y)


def test_without_early_stopping_nothing_is_held_out(estimator, target, ionic):
    estimator.fit(ionic.data, target)
    assert estimator.validation_scores_ is None
    sizes = estimator.net_.history[-1, "batches", :, "train_batch_size"]
    assert sum(sizes) == 60


@pytest.mark.parametrize("max_epochs", [1, 2, 7])
def test_learning_rate_rises_and_falls_once(ionic, max_epochs):
    rates = []

    class Spy(torch.optim.AdamW):
        def step(self, *args, **kwargs):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*args, **kwargs)

    model = CGCNNRegressor(**SMALL).set_params(
        max_epochs=max_epochs, batch_size=6, lr=0.02, optimizer="adamw"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_recipe.OPTIMIZERS, "adamw", (Spy, {}))
        model.fit(ionic.data, ionic.target)
    assert len(rates) == 10 * max_epochs
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(0.02, rel=0.02)
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] < 1e-4 * rates[peak]


def test_progress_is_shown_when_asked_for(estimator, target, ionic, capsys):
    estimator.fit(ionic.data, target)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    estimator.set_params(verbose=1, early_stopping=True).fit(ionic.data, target)
    captured = capsys.readouterr()
    assert captured.out == ""
    for part in ("featurizing: 100%", "training: 100%", "train_loss=", "valid_loss="):
        assert part in captured.err


def test_a_single_step_is_taken_at_the_full_rate(ionic):
    model = CGCNNRegressor(**SMALL).set_params(max_epochs=1, batch_size=60)
    model.fit(ionic.data, ionic.target)
    assert model.net_.optimizer_.param_groups[0]["lr"] == model.lr


class Recorder(skorch.callbacks.Callback):
    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(net.history[-1, "train_loss"])


def test_callbacks_are_copied_and_called(estimator_class, target, graphs):
    recorder = Recorder()
    model = estimator_class(callbacks=[recorder, ("named", Recorder())], **SMALL)
    model.fit(graphs, target)
    assert recorder.seen == []
    assert model.callbacks[0] is recorder
    called = dict(model.net_.callbacks_)["Recorder"]
    assert called.seen == model.loss_curve_


def test_gradients_are_clipped_by_a_callback(graphs, ionic):
    norms = []

    class Spy(torch.optim.SGD):
        def step(self, closure):
            loss = closure()
            gradients = [p.grad for p in self.param_groups[0]["params"]]
            norms.append(torch.nn.utils.get_total_norm(gradients).item())
            return loss

    clipping = skorch.callbacks.GradientNormClipping(0.01)
    CGCNNRegressor(optimizer=Spy, callbacks=[clipping], **SMALL).fit(
        graphs, ionic.target
    )
    assert max(norms) <= 0.01 * (1 + 1e-4)


def test_a_training_that_diverges_at_once_leaves_the_model_before_it(
    estimator_class, target, graphs
):
    model = estimator_class(**SMALL).fit(graphs, target)
    before, losses = outputs(model, graphs), list(model.loss_curve_)
    model.set_params(lr=1e30, optimizer="sgd", lr_schedule="constant", max_epochs=50)
    for warm_start in (False, True):
        model.set_params(warm_start=warm_start)
        with pytest.raises(
            TrainingDivergedError, match=r"lr=1e\+30; lower lr, or clip"
        ):
            model.fit(graphs, target)
        np.testing.assert_array_equal(outputs(model, graphs), before)
        assert (model.n_iter_, model.loss_curve_) == (3, losses)
    unfitted = clone(model)
    with pytest.raises(TrainingDivergedError):
        unfitted.fit(graphs, target)
    assert not hasattr(unfitted, "net_")


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_last_step_may_not_go_astray_either(ionic, epochs):
    """Its outcome is in no loss: there is none after it."""
    n = len(ionic.data)  # one batch, and so one step, an epoch
    model = CGCNNRegressor(
        max_epochs=epochs,
        batch_size=n,
        optimizer="sgd",
        lr=1e25 if epochs == 1 else 1e5,
        lr_schedule="constant",
        random_state=0,
    )
    with pytest.raises(TrainingDivergedError, match=f"epoch {epochs}"):
        model.fit(ionic.data, ionic.target)
    assert hasattr(model, "net_") == (epochs > 1)
    if epochs > 1:
        assert np.isfinite(model.predict(ionic.data)).all()
        assert model.n_iter_ == 1


@pytest.mark.parametrize("optimizer", ["Adagrad", "Rprop", "RMSprop", "ASGD"])
def test_the_cycle_suits_every_optimizer(ionic, optimizer):
    model = CGCNNRegressor(max_epochs=3, optimizer=getattr(torch.optim, optimizer))
    model.fit(ionic.data, ionic.target)
    rates = model.net_.optimizer_.param_groups[0]["lr"]
    assert rates < model.lr / 10  # at the end of the cycle


def test_an_activation_that_all_layers_share_stays_frozen(graphs, ionic):
    """The convolutions would change with it."""
    model = CGCNNRegressor(activation=torch.nn.PReLU, **SMALL)
    before = weights_of(model.fit(graphs, ionic.target))
    model.set_params(warm_start=True, callbacks=[TrainReadoutOnly()])
    after = weights_of(model.fit(graphs, ionic.target))
    changed = {k for k, v in after.items() if not torch.equal(v, before[k])}
    own = ("readout.hidden.0", "readout.output")
    assert changed == {f"{name}.{each}" for name in own for each in ("weight", "bias")}


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        # Lower for every crystal: the end is worse.
        ([[3.0, 3, 3, 3], [1.0, 1.1, 1, 1.2], [2.0, 2.1, 2, 2.3]], 2),
        # Lower in the mean by one crystal alone: chance.
        ([[3.0, 3, 3, 3], [0.0, 2.1, 2, 2.2], [2.0, 2.0, 2, 2.0]], 3),
        # One crystal says nothing.
        ([[3.0], [1.0], [2.0]], 3),
        ([[1.0, 1], [1.0, 1], [1.0, 1]], 3),
    ],
)
def test_the_end_of_a_cycle_stays_unless_it_is_clearly_worse(losses, kept):
    best = KeepBestEpoch(None)
    net = types.SimpleNamespace(history=skorch.history.History())
    net.module_ = torch.nn.Linear(1, 1)
    best.on_train_begin(net)
    for epoch, each in enumerate(losses, 1):
        net.history.new_epoch()
        torch.nn.init.constant_(net.module_.weight, epoch)
        net.valid_losses_ = torch.tensor(each)
        net.history.record("valid_loss", net.valid_losses_.mean().item())
        best.on_epoch_end(net)
    best.on_train_end(net)
    assert best.best_epoch_ == net.module_.weight.item() == kept
