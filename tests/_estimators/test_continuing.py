"""Training that continues: partial_fit and warm_start."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from helpers import CONSTANT, SMALL, assert_same_weights, weights_of
from sklearn_cgcnn import CGCNNRegressor


@pytest.mark.parametrize("split", [(4, 0), (2, 2), (0, 4), (1, 3)])
def test_two_and_two_epochs_are_four(estimator_class, target, graphs, split):
    params = CONSTANT
    if estimator_class is CGCNNRegressor:
        params = {**CONSTANT, "baseline": "linear"}  # "auto" is none in partial_fit
    whole = estimator_class(**params).set_params(max_epochs=4).fit(graphs, target)
    first, rest = split
    parts = estimator_class(**params)
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


def test_partial_fit_goes_on_from_a_pickle(estimator_class, target, graphs):
    model = estimator_class(**CONSTANT).fit(graphs, target)
    twin = pickle.loads(pickle.dumps(model))
    assert_same_weights(twin, model)
    twin.partial_fit(graphs, target)
    assert twin.n_iter_ == 4
    assert twin.loss_curve_[-1] < twin.loss_curve_[0]


def test_partial_fit_keeps_to_its_first_targets(graphs, ionic):
    model = CGCNNRegressor(**CONSTANT).partial_fit(graphs, ionic.target)
    mean = model.target_mean_.copy()
    model.partial_fit(graphs, 10 * ionic.target)
    np.testing.assert_array_equal(model.target_mean_, mean)
    with pytest.raises(ValueError, match=r"must have shape \(60,\)"):
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
    with pytest.raises(ValueError, match=f"has {name}=.*, but now {name}="):
        model.set_params(**change).fit(graphs, ionic.target)
    with pytest.raises(ValueError, match="n_outputs=1, but now n_outputs=2"):
        clone(model).set_params(**SMALL, edge_basis="gaussian", dropout=0.0).fit(
            graphs, ionic.target
        ).fit(graphs, np.zeros((60, 2)))


def test_training_on_leaves_a_copy_s_loss_curve_alone(graphs, ionic):
    model = CGCNNRegressor(**CONSTANT).partial_fit(graphs, ionic.target)
    shallow = copy.copy(model)
    model.partial_fit(graphs, ionic.target)
    assert len(model.loss_curve_) == 2
    assert len(shallow.loss_curve_) == shallow.n_iter_ == 1
