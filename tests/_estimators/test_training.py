"""Weights, several targets, going on where one stopped, and what may go wrong."""

import functools
import gc
import pickle
import weakref

import numpy as np
import pytest
import skorch
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_validate
from sklearn.multioutput import MultiOutputRegressor

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._estimators import _base
from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn.exceptions import TrainingDivergedError

SMALL = {
    "n_conv_layers": 1,
    "n_site_channels": 8,
    "n_hidden_channels": 8,
    "max_epochs": 3,
    "random_state": 0,
}
CONSTANT = {**SMALL, "lr_schedule": "constant", "dropout": 0.2}


@pytest.fixture(scope="module")
def graphs(ionic):
    return CrystalGraphFeaturizer().transform(ionic.data)


@pytest.fixture(params=[CGCNNRegressor, CGCNNClassifier])
def estimator_class(request):
    return request.param


@pytest.fixture
def target(estimator_class, ionic):
    return ionic.target if estimator_class is CGCNNRegressor else ionic.prototype


def outputs(model, X):
    is_regressor = isinstance(model, CGCNNRegressor)
    return model.predict(X) if is_regressor else model.predict_proba(X)


def weights_of(model):
    return {k: v.clone() for k, v in model.net_.module_.state_dict().items()}


def assert_same_weights(left, right):
    for name, value in weights_of(left).items():
        assert torch.equal(value, weights_of(right)[name]), name


# Weights


def test_crystals_of_weight_zero_are_as_if_not_there(
    estimator_class, target, ionic, graphs
):
    weight = np.ones(60)
    weight[40:] = 0
    model = estimator_class(**SMALL)
    weighted = clone(model).fit(graphs, target, sample_weight=weight)
    assert set(target[:40]) == set(target) or estimator_class is CGCNNRegressor
    without = clone(model).fit(graphs[:40], target[:40])
    assert_same_weights(weighted, without)
    on_structures = clone(model).fit(ionic.data, target, sample_weight=weight)
    assert_same_weights(weighted, on_structures)


def test_a_common_factor_of_the_weights_makes_no_difference(
    estimator_class, target, graphs
):
    weight = np.linspace(0.5, 2, 60)
    once = estimator_class(**SMALL).fit(graphs, target, sample_weight=weight)
    again = estimator_class(**SMALL).fit(graphs, target, sample_weight=4 * weight)
    assert_same_weights(once, again)


def test_weights_shift_what_is_learned(graphs):
    # Two opinions of the same crystals: the weighted median, which absolute errors
    # seek, is that of the heavier one.
    both = type(graphs).concatenate([graphs, graphs])
    y = np.r_[np.zeros(60), np.ones(60)]
    for heavier in (0.0, 1.0):
        weight = np.where(y == heavier, 9.0, 1.0)
        model = CGCNNRegressor(**SMALL).set_params(max_epochs=30)
        model.fit(both, y, sample_weight=weight)
        assert abs(np.median(model.predict(graphs)) - heavier) < 0.3


def test_mean_and_deviation_are_weighted(graphs, ionic):
    weight = np.random.default_rng(0).uniform(0, 1, 60)
    model = CGCNNRegressor(**SMALL).fit(graphs, ionic.target, sample_weight=weight)
    mean = np.average(ionic.target, weights=weight)
    assert model.target_mean_ == pytest.approx([mean])
    deviation = np.sqrt(np.average((ionic.target - mean) ** 2, weights=weight))
    assert model.target_scale_ == pytest.approx([deviation])


def test_class_weights_are_factors_of_sample_weights(graphs, ionic):
    y = np.where(ionic.target < -8, "deep", "shallow")
    given = {"deep": 3.0, "shallow": 0.5}
    by_class = CGCNNClassifier(class_weight=given, **SMALL).fit(graphs, y)
    by_sample = CGCNNClassifier(**SMALL)
    by_sample.fit(graphs, y, sample_weight=[given[label] for label in y])
    assert_same_weights(by_class, by_sample)
    balanced = CGCNNClassifier(class_weight="balanced", **SMALL).fit(graphs, y)
    count = {label: (y == label).sum() for label in given}
    by_sample.fit(graphs, y, sample_weight=[60 / (2 * count[label]) for label in y])
    for name, value in weights_of(balanced).items():
        torch.testing.assert_close(value, weights_of(by_sample)[name])


def test_weights_are_routed(graphs, ionic):
    weight = np.linspace(0.1, 1, 60)
    with config_context(enable_metadata_routing=True):
        model = CGCNNRegressor(**SMALL).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        routed = cross_validate(
            model,
            graphs,
            ionic.target,
            cv=2,
            params={"sample_weight": weight},
            return_estimator=True,
            return_indices=True,
        )
    train = routed["indices"]["train"][0]
    by_hand = clone(model).fit(
        graphs[train], ionic.target[train], sample_weight=weight[train]
    )
    assert_same_weights(routed["estimator"][0], by_hand)


def test_bagging(graphs, ionic):
    bagging = BaggingRegressor(CGCNNRegressor(**SMALL), n_estimators=2, random_state=0)
    bagging.fit(graphs, ionic.target)
    assert np.isfinite(bagging.predict(graphs)).all()


# Several targets


def test_several_targets_at_once(graphs, ionic):
    y = np.stack([ionic.target, 100 - 7 * ionic.target, np.full(60, 5.0)], axis=1)
    model = CGCNNRegressor(**SMALL).set_params(max_epochs=60).fit(graphs, y)
    predicted = model.predict(graphs)
    assert predicted.shape == (60, 3)
    np.testing.assert_allclose(predicted[:, 2], 5.0)
    assert model.score(graphs, y) > 0.5
    for column in (0, 1):
        assert np.corrcoef(predicted[:, column], y[:, column])[0, 1] > 0.8


@pytest.mark.parametrize("shape", [(60,), (60, 1), (60, 2)])
def test_predictions_have_the_dimensions_of_the_targets(graphs, ionic, shape):
    y = np.resize(ionic.target, shape)
    assert CGCNNRegressor(**SMALL).fit(graphs, y).predict(graphs).shape == shape


def test_several_targets_by_scikit_learn_one_by_one(graphs, ionic):
    y = np.stack([ionic.target, -ionic.target], axis=1)
    model = MultiOutputRegressor(CGCNNRegressor(**SMALL)).fit(graphs, y)
    assert model.predict(graphs).shape == (60, 2)


def test_a_missing_target_is_not_learned_from(graphs, ionic):
    y = np.stack([ionic.target, ionic.target], axis=1)
    y[::2, 0] = np.nan
    y[1::2, 1] = np.nan
    model = CGCNNRegressor(**SMALL).set_params(max_epochs=30).fit(graphs, y)
    assert np.isfinite(model.loss_curve_).all()
    np.testing.assert_allclose(model.target_mean_, np.nanmean(y, axis=0))
    np.testing.assert_allclose(model.target_scale_, np.nanstd(y, axis=0))
    # What stands beside a value that is missing changes nothing: no gradient flows.
    net = model.net_
    target = torch.tensor(y[:8], dtype=torch.float32)
    prediction = torch.randn(8, 2, requires_grad=True)
    net.get_loss(prediction, (target, torch.ones(8))).backward()
    assert torch.equal(prediction.grad == 0, target.isnan())
    loss = net.get_loss(prediction, (target, torch.ones(8)))
    known = ~target.isnan()
    expected = (prediction - target)[known].abs().mean()
    torch.testing.assert_close(loss, expected)


# Going on


@pytest.mark.parametrize("split", [(4, 0), (2, 2), (0, 4), (1, 3)])
def test_two_and_two_epochs_are_four(estimator_class, target, graphs, split):
    whole = estimator_class(**CONSTANT).set_params(max_epochs=4).fit(graphs, target)
    first, rest = split
    parts = estimator_class(**CONSTANT)
    if first:
        parts.set_params(max_epochs=first).fit(graphs, target)
    for _ in range(rest):
        torch.rand(1)  # what the caller draws in between makes no difference
        assert parts.partial_fit(graphs, target) is parts
    assert_same_weights(parts, whole)
    assert parts.n_iter_ == len(parts.loss_curve_) == 4
    assert parts.loss_curve_ == whole.loss_curve_


def test_partial_fit_after_a_schedule_trains_at_a_constant_rate(graphs, ionic):
    model = CGCNNRegressor(**SMALL).fit(graphs, ionic.target)
    before = weights_of(model)
    model.partial_fit(graphs, ionic.target)
    assert model.net_.optimizer_.param_groups[0]["lr"] == model.lr
    name = "readout.output.weight"
    moved = weights_of(model)[name] - before[name]
    assert moved.abs().max() > 1e-4
    assert model.n_iter_ == 4


def test_partial_fit_after_early_stopping(estimator_class, target, graphs):
    model = estimator_class(early_stopping=True, validation_fraction=0.3, **CONSTANT)
    model.fit(graphs, target).set_params(early_stopping=False)
    assert model.partial_fit(graphs, target).n_iter_ == 4


@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_fitted_model_holds_no_crystals(graphs, ionic, early_stopping, monkeypatch):
    references = []

    class Watched(PackedDataset):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            references.append(weakref.ref(self))

    monkeypatch.setattr(_base, "PackedDataset", Watched)
    model = CGCNNRegressor(early_stopping=early_stopping, **SMALL)
    model.fit(graphs, ionic.target)
    gc.collect()
    assert len(references) == 1 + early_stopping
    assert [reference() for reference in references] == [None] * len(references)


def test_partial_fit_goes_on_from_a_pickle(estimator_class, target, graphs):
    model = estimator_class(**CONSTANT).fit(graphs, target)
    twin = pickle.loads(pickle.dumps(model))
    assert_same_weights(twin, model)
    twin.partial_fit(graphs, target)
    assert twin.n_iter_ == 4
    assert twin.loss_curve_[-1] < twin.loss_curve_[0]


def test_partial_fit_of_classes_announced_beforehand(graphs, ionic):
    names = sorted(set(ionic.prototype))
    first = ionic.prototype == names[0]
    model = CGCNNClassifier(**CONSTANT)
    model.partial_fit(graphs[first], ionic.prototype[first], classes=names)
    assert model.predict_proba(graphs).shape == (60, len(names))
    model.partial_fit(graphs, ionic.prototype, classes=names)
    with pytest.raises(ValueError, match="keep to them"):
        model.partial_fit(graphs, ionic.prototype, classes=names[1:])
    strange = ionic.prototype.copy().astype(object)
    strange[7] = "quasicrystal"
    with pytest.raises(ValueError, match=r"y\[7\] is 'quasicrystal', none of"):
        model.partial_fit(graphs, strange)


def test_partial_fit_keeps_to_its_first_targets(graphs, ionic):
    model = CGCNNRegressor(**CONSTANT).partial_fit(graphs, ionic.target)
    mean = model.target_mean_.copy()
    model.partial_fit(graphs, 10 * ionic.target)
    np.testing.assert_array_equal(model.target_mean_, mean)
    with pytest.raises(ValueError, match=r"must have \(60,\)"):
        model.partial_fit(graphs, np.zeros((60, 2)))


def test_partial_fit_holds_nothing_out(estimator_class, target, graphs):
    with pytest.raises(ValueError, match="early_stopping=True"):
        estimator_class(early_stopping=True).partial_fit(graphs, target)


def test_warm_start_goes_on_with_the_weights(estimator_class, target, graphs):
    model = estimator_class(warm_start=True, **SMALL).fit(graphs, target)
    before = model.loss_curve_[-1]
    model.set_params(max_epochs=2, lr=1e-3).fit(graphs, target)
    assert model.n_iter_ == 5
    assert model.loss_curve_[-1] < before
    cold = clone(model).fit(graphs, target)
    assert cold.n_iter_ == 2
    assert cold.loss_curve_[-1] > model.loss_curve_[-1]


def test_warm_start_fits_another_property(graphs, ionic):
    model = CGCNNRegressor(warm_start=True, **SMALL).fit(graphs, ionic.target)
    model.fit(graphs, 1000 + ionic.target)
    assert model.target_mean_ == pytest.approx([1000 + ionic.target.mean()])


@pytest.mark.parametrize(
    "change",
    [{"n_conv_layers": 2}, {"edge_basis": "one-hot"}, {"dropout": 0.5}],
    ids=str,
)
def test_warm_start_of_another_network_is_refused(graphs, ionic, change):
    model = CGCNNRegressor(warm_start=True, **SMALL).fit(graphs, ionic.target)
    (name,) = change
    with pytest.raises(ValueError, match=f"{name}=.* asked for now"):
        model.set_params(**change).fit(graphs, ionic.target)
    with pytest.raises(ValueError, match="n_outputs=1, but n_outputs=2"):
        clone(model).set_params(**SMALL, edge_basis="gaussian", dropout=0.0).fit(
            graphs, ionic.target
        ).fit(graphs, np.zeros((60, 2)))


def test_warm_start_keeps_to_its_classes(graphs, ionic):
    y = np.where(ionic.target < -8, "deep", "shallow")
    model = CGCNNClassifier(warm_start=True, **SMALL).fit(graphs, y)
    with pytest.raises(ValueError, match=r"goes on with the classes \['deep'"):
        model.fit(graphs, np.where(y == "deep", "low", "shallow"))
    assert model.classes_.tolist() == ["deep", "shallow"]


# Callbacks, optimizers, schedules, losses


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


@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.RMSprop,
        torch.optim.Rprop,  # has no weight decay
        functools.partial(torch.optim.SGD, momentum=0.8, nesterov=True),
    ],
)
def test_any_optimizer_of_torch(graphs, ionic, optimizer):
    model = CGCNNRegressor(optimizer=optimizer, **SMALL).set_params(
        max_epochs=15, lr=3e-3, lr_schedule="constant", weight_decay=0.02
    )
    model.fit(graphs, ionic.target)
    assert model.loss_curve_[-1] < 0.8 * model.loss_curve_[0]
    group = model.net_.optimizer_.param_groups[0]
    assert group.get("weight_decay", 0.02) == 0.02
    assert group.get("momentum", 0.0) in (0.0, 0.8)


def test_any_scheduler_of_torch(graphs, ionic):
    from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau

    schedule = functools.partial(ExponentialLR, gamma=0.5)
    model = CGCNNRegressor(**SMALL).set_params(lr_schedule=schedule, lr=0.08)
    model.fit(graphs, ionic.target)
    assert model.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(0.01)
    plateau = functools.partial(ReduceLROnPlateau, patience=0, threshold=1.0)
    for early_stopping in (True, False):
        model.set_params(lr_schedule=plateau, lr=0.08, early_stopping=early_stopping)
        model.fit(graphs, ionic.target)
        assert model.net_.optimizer_.param_groups[0]["lr"] < 0.08


def pinball(predictions, targets):
    """The loss whose minimum is the quantile at 0.9."""
    difference = targets - predictions
    return torch.maximum(0.9 * difference, -0.1 * difference)


@pytest.mark.parametrize(
    "loss",
    [pinball, torch.nn.SmoothL1Loss, torch.nn.SmoothL1Loss(beta=0.1)],
    ids=["function", "class", "instance"],
)
def test_any_loss(graphs, ionic, loss):
    model = CGCNNRegressor(loss=loss, **SMALL).fit(graphs, ionic.target)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict(graphs), model.predict(graphs))


def test_a_quantile(ionic, graphs):
    model = CGCNNRegressor(loss=pinball, **SMALL).set_params(max_epochs=80)
    noisy = np.random.default_rng(0).normal(size=60)
    above = noisy > model.fit(graphs, noisy).predict(graphs)
    assert above.mean() < 0.25


def test_a_loss_of_one_number_is_refused(graphs, ionic):
    model = CGCNNRegressor(loss=torch.nn.functional.l1_loss, **SMALL)
    with pytest.raises(ValueError, match=r"loss gave values of shape \(\).*reduction"):
        model.fit(graphs, ionic.target)


# What may go wrong


class Interrupt(skorch.callbacks.Callback):
    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == 3:
            raise KeyboardInterrupt


def test_a_diverging_training_is_stopped_with_the_remedy(
    estimator_class, target, graphs
):
    model = estimator_class(**SMALL).fit(graphs, target)
    before = outputs(model, graphs)
    model.set_params(optimizer="sgd", lr=1e30, lr_schedule="constant", max_epochs=50)
    with pytest.raises(TrainingDivergedError, match=r"lr=1e\+30; lower lr, or clip"):
        model.fit(graphs, target)
    np.testing.assert_array_equal(outputs(model, graphs), before)


def test_interrupting_leaves_what_was_learned(estimator_class, target, graphs):
    model = estimator_class(callbacks=[Interrupt()], **SMALL).set_params(
        max_epochs=9, batch_size=20
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(graphs, target)
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert np.isfinite(outputs(model, graphs)).all()
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(outputs(twin, graphs), outputs(model, graphs))


class LetGo(skorch.callbacks.Callback):
    """Sees to it that nothing of a step is left when the next begins."""

    last = staticmethod(lambda: None)

    def on_batch_end(self, net, y_pred, **kwargs):
        self.last = weakref.ref(y_pred)

    def on_batch_begin(self, net, **kwargs):
        assert self.last() is None


def test_a_step_leaves_nothing_behind(estimator_class, target, graphs):
    model = estimator_class(callbacks=[LetGo()], **SMALL).set_params(batch_size=20)
    model.fit(graphs, target)


def test_a_worker_finds_the_same(estimator_class, target, graphs):
    from joblib import Parallel, delayed

    model = estimator_class(**CONSTANT)
    here = clone(model).fit(graphs, target)
    (there,) = Parallel(n_jobs=2)([delayed(clone(model).fit)(graphs, target)])
    assert_same_weights(there, here)


def test_a_fit_that_diverges_at_once_leaves_the_model_before_it(ionic):
    model = CGCNNRegressor(max_epochs=3, random_state=0).fit(ionic.data, ionic.target)
    before = model.predict(ionic.data), model.n_iter_, list(model.loss_curve_)
    model.set_params(lr=1e30, optimizer="sgd", lr_schedule="constant")
    with pytest.raises(TrainingDivergedError):
        model.fit(ionic.data, ionic.target)
    np.testing.assert_array_equal(model.predict(ionic.data), before[0])
    assert (model.n_iter_, model.loss_curve_) == before[1:]
    with pytest.raises(TrainingDivergedError):
        model.set_params(warm_start=True).fit(ionic.data, ionic.target)
    np.testing.assert_array_equal(model.predict(ionic.data), before[0])
    assert (model.n_iter_, model.loss_curve_) == before[1:]
    unfitted = clone(model)
    with pytest.raises(TrainingDivergedError):
        unfitted.fit(ionic.data, ionic.target)
    assert not hasattr(unfitted, "net_")


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_last_step_may_not_go_astray_either(ionic, epochs):
    """Its outcome is in no loss: there is none after it."""
    n = len(ionic.data)  # one batch, and so one step, an epoch
    model = CGCNNRegressor(
        max_epochs=epochs,
        batch_size=n,
        optimizer="sgd",
        lr=1e25 if epochs == 1 else 1e6,
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


def test_what_does_not_vary_at_first_may_do_so_later(ionic):
    model = CGCNNRegressor(random_state=0)
    both = np.stack([ionic.target, ionic.target], axis=1)
    both[:2, 1] = np.nan
    both[2, 1] = 5.0
    model.partial_fit(ionic.data[:3], both[:3])
    for _ in range(10):
        model.partial_fit(ionic.data, both)
    assert (model.predict(ionic.data).std(axis=0) > 0.1 * ionic.target.std()).all()


def test_what_is_frozen_at_first_may_thaw(ionic):
    callbacks = (
        skorch.callbacks.Freezer("convs.0*"),
        skorch.callbacks.Unfreezer("convs.0*", at=3),
    )
    for optimizer in ("adamw", "adam", "sgd"):
        model = CGCNNRegressor(
            max_epochs=4, optimizer=optimizer, lr=1e-3, callbacks=list(callbacks)
        ).fit(ionic.data, ionic.target)
        assert model.n_iter_ == 4


def test_the_score_leaves_out_what_is_not_known(ionic):
    both = np.stack([ionic.target, -(ionic.target**2)], axis=1)
    model = CGCNNRegressor(max_epochs=20, random_state=0).fit(ionic.data, both)
    predicted = model.predict(ionic.data)
    assert model.score(ionic.data, both) == r2_score(both, predicted)
    weights = np.linspace(1, 2, len(both))
    holes = both.copy()
    holes[::3, 0] = holes[1::4, 1] = np.nan
    expected = [
        r2_score(true[known], guess[known], sample_weight=weights[known])
        for true, guess in zip(holes.T, predicted.T, strict=True)
        for known in [~np.isnan(true)]
    ]
    assert model.score(ionic.data, holes, weights) == pytest.approx(np.mean(expected))
    model.set_params(max_epochs=1)
    scores = cross_validate(
        model, CrystalGraphFeaturizer().transform(ionic.data), holes
    )
    assert np.isfinite(scores["test_score"]).all()
    holes[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"y\[:, 1\] is NaN for every crystal"):
        model.score(ionic.data, holes)
