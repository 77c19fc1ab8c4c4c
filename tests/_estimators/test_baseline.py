"""The linear baseline of a regressor: when there is one, and what keeps it."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from helpers import SMALL
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.inspection import site_contributions
from sklearn_cgcnn.model_files import load_model, save_model

FAST = {**SMALL, "max_epochs": 1}


def baseline_of(model):
    return model.net_.module_.baseline


@pytest.mark.parametrize(("n_crystals", "is_used"), [(100, True), (101, False)])
def test_by_default_few_crystals_have_a_baseline(n_crystals, is_used):
    crystals = make_ionic_crystals(n_crystals, random_state=0)
    model = CGCNNRegressor(**FAST).fit(crystals.data, crystals.target)
    assert (baseline_of(model) is not None) == is_used
    linear = CGCNNRegressor(**FAST, baseline="linear")
    assert baseline_of(linear.fit(crystals.data, crystals.target)) is not None
    none = CGCNNRegressor(**FAST, baseline=None)
    assert baseline_of(none.fit(crystals.data, crystals.target)) is None


def test_the_baseline_predicts_before_the_network_learns(graphs, ionic):
    """With a learning rate of almost zero, only the baseline knows the targets."""
    params = {**SMALL, "lr": 1e-9, "n_hidden_layers": 0}
    none = CGCNNRegressor(**params, baseline=None).fit(graphs, ionic.target)
    linear = CGCNNRegressor(**params).fit(graphs, ionic.target)
    assert linear.score(graphs, ionic.target) > none.score(graphs, ionic.target) + 0.3


def test_a_stored_model_keeps_its_baseline(graphs, ionic, tmp_path):
    model = CGCNNRegressor(**SMALL).fit(graphs, ionic.target)
    assert baseline_of(model).weight.any()
    save_model(model, tmp_path / "model.safetensors")
    copies = [
        pickle.loads(pickle.dumps(model)),
        load_model(tmp_path / "model.safetensors"),
    ]
    for copy in copies:
        np.testing.assert_array_equal(copy.predict(graphs), model.predict(graphs))


def test_contributions_of_sites_include_the_baseline(graphs, ionic):
    model = CGCNNRegressor(**SMALL, readout="site").fit(graphs, ionic.target)
    means = [each.mean() for each in site_contributions(model, graphs)]
    np.testing.assert_allclose(means, model.predict(graphs), rtol=1e-5)


def test_a_warm_start_keeps_that_there_is_a_baseline_and_fits_it_anew(graphs, ionic):
    """Also with other numbers of crystals, for which a new network would have none."""
    model = CGCNNRegressor(**SMALL, warm_start=True).fit(graphs, ionic.target)
    large = make_ionic_crystals(101, random_state=1)
    model.fit(large.data, -large.target)
    expected = CGCNNRegressor(**SMALL, baseline="linear").fit(large.data, -large.target)
    assert baseline_of(model).weight.equal(baseline_of(expected).weight)


def test_weights_with_a_baseline_can_be_loaded(graphs, ionic):
    fitted = CGCNNRegressor(**SMALL).fit(graphs, ionic.target)
    loaded = CGCNNRegressor(**SMALL).load_weights(
        fitted.net_.module_.state_dict(),
        target_mean=fitted.target_mean_[0],
        target_scale=fitted.target_scale_[0],
    )
    np.testing.assert_array_equal(loaded.predict(graphs), fitted.predict(graphs))


def test_partial_fit_takes_a_baseline_from_the_first_call_if_asked(graphs, ionic):
    model = CGCNNRegressor(**SMALL).partial_fit(graphs, ionic.target)
    assert baseline_of(model) is None
    model = CGCNNRegressor(**SMALL, baseline="linear")
    model.partial_fit(graphs, ionic.target)
    weight = baseline_of(model).weight.clone()
    assert weight.any()
    model.partial_fit(graphs[:30], -ionic.target[:30])
    assert baseline_of(model).weight.equal(weight)


def test_a_pretrained_network_fits_its_baseline_to_the_new_targets(graphs, ionic):
    before = CGCNNRegressor(**SMALL).fit(graphs, ionic.target)
    tuned = CGCNNRegressor(**SMALL, pretrained=FrozenEstimator(before))
    tuned = clone(tuned).fit(graphs, -2 * ionic.target)
    expected = -baseline_of(before).weight
    torch.testing.assert_close(baseline_of(tuned).weight, expected)


def test_a_pretrained_network_without_baseline_gets_none(graphs, ionic):
    before = CGCNNRegressor(**SMALL, baseline=None).fit(graphs, ionic.target)
    tuned = CGCNNRegressor(**SMALL, pretrained=FrozenEstimator(before))
    assert baseline_of(tuned.fit(graphs, ionic.target)) is None


def test_a_classifier_leaves_the_baseline_of_a_pretrained_network(graphs, ionic):
    before = CGCNNRegressor(**SMALL).fit(graphs, ionic.target)
    tuned = CGCNNClassifier(**SMALL, pretrained=FrozenEstimator(before))
    assert baseline_of(tuned.fit(graphs, ionic.prototype)) is None


def test_an_unknown_baseline_is_refused(graphs, ionic):
    with pytest.raises(ValueError, match="'baseline' parameter"):
        CGCNNRegressor(baseline="quadratic").fit(graphs, ionic.target)
