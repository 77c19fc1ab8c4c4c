"""Ensembles: what they average, what members share, and how they are used."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from helpers import SMALL, small
from sklearn_cgcnn import CGCNNClassifier, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.uncertainty import EnsembleClassifier, EnsembleRegressor


@pytest.fixture
def ensemble(ionic):
    """An ensemble of three, fitted."""
    return EnsembleRegressor(small(), 3, random_state=0).fit(ionic.data, ionic.target)


def test_mean_and_spread_are_those_of_the_members(ensemble, ionic):
    mean, std = ensemble.predict(ionic.data, return_std=True)
    each = np.array([member.predict(ionic.data) for member in ensemble.estimators_])
    assert len(each) == 3
    np.testing.assert_allclose(mean, each.mean(axis=0))
    np.testing.assert_allclose(std, each.std(axis=0, ddof=1))
    np.testing.assert_array_equal(ensemble.predict(ionic.data), mean)
    assert (std > 0).all()


def test_members_differ_and_a_seed_repeats_them(ensemble, ionic):
    seeds = [member.random_state for member in ensemble.estimators_]
    assert len(set(seeds)) == 3
    again = clone(ensemble).fit(ionic.data, ionic.target)
    np.testing.assert_array_equal(
        again.predict(ionic.data), ensemble.predict(ionic.data)
    )
    other = clone(ensemble).set_params(random_state=1).fit(ionic.data, ionic.target)
    assert not np.allclose(other.predict(ionic.data), ensemble.predict(ionic.data))


def test_a_member_is_what_it_would_be_alone(ensemble, ionic):
    member = ensemble.estimators_[1]
    alone = clone(member).fit(ionic.data, ionic.target)
    np.testing.assert_array_equal(alone.predict(ionic.data), member.predict(ionic.data))


def test_processes_change_nothing(ensemble, ionic):
    parallel = clone(ensemble).set_params(n_jobs=2).fit(ionic.data, ionic.target)
    np.testing.assert_allclose(
        parallel.predict(ionic.data), ensemble.predict(ionic.data), rtol=1e-5
    )


def test_structures_become_graphs_once(ionic, monkeypatch):
    calls = []
    transform = CrystalGraphFeaturizer.transform

    def count(self, X):
        calls.append(len(X))
        return transform(self, X)

    monkeypatch.setattr(CrystalGraphFeaturizer, "transform", count)
    model = EnsembleRegressor(small(), 3, random_state=0)
    model.fit(ionic.data, ionic.target).predict(ionic.data)
    assert calls == [60, 60]


def test_warm_start_adds_members(ensemble, ionic):
    before = list(ensemble.estimators_)
    more = ensemble.set_params(n_estimators=5, warm_start=True)
    more.fit(ionic.data, ionic.target)
    assert more.estimators_[:3] == before
    whole = EnsembleRegressor(small(), 5, random_state=0).fit(ionic.data, ionic.target)
    np.testing.assert_array_equal(more.predict(ionic.data), whole.predict(ionic.data))
    with pytest.raises(ValueError, match=r"n_estimators=2 is less than the 5 members"):
        more.set_params(n_estimators=2).fit(ionic.data, ionic.target)


def test_sample_weights_and_validation_crystals_reach_the_members(graphs, ionic):
    weights = np.r_[np.ones(30), np.zeros(30)]
    model = EnsembleRegressor(small(), 2, random_state=0)
    weighted = clone(model).fit(graphs, ionic.target, weights)
    half = model.fit(
        graphs[:30], ionic.target[:30], X_val=graphs[30:], y_val=ionic.target[30:]
    )
    np.testing.assert_allclose(
        weighted.predict(graphs), half.predict(graphs), rtol=1e-5
    )
    assert all(len(each.validation_scores_) == 3 for each in half.estimators_)


def test_sample_weights_reach_the_last_step_of_a_pipeline(ionic):
    weights = np.r_[np.ones(30), np.zeros(30)]
    pipeline = make_pipeline(CrystalGraphFeaturizer(), small())
    pipelines, networks = (
        EnsembleRegressor(member, 2, random_state=0).fit(
            ionic.data, ionic.target, weights
        )
        for member in (pipeline, small())
    )
    np.testing.assert_array_equal(
        pipelines.predict(ionic.data), networks.predict(ionic.data)
    )


def test_several_targets(graphs, ionic):
    y = np.c_[ionic.target, -ionic.target]
    model = EnsembleRegressor(small(), 2, random_state=0).fit(graphs, y)
    mean, std = model.predict(graphs, return_std=True)
    assert mean.shape == std.shape == y.shape


def test_a_single_member_has_no_spread(graphs, ionic):
    model = EnsembleRegressor(small(), 1, random_state=0).fit(graphs, ionic.target)
    assert model.predict(graphs).shape == (60,)
    with pytest.raises(ValueError, match="return_std=True needs several members"):
        model.predict(graphs, return_std=True)


def test_probabilities_are_averaged(graphs, ionic):
    model = EnsembleClassifier(CGCNNClassifier(**SMALL), 3, random_state=0)
    model.fit(graphs, ionic.prototype)
    each = [member.predict_proba(graphs) for member in model.estimators_]
    probabilities = model.predict_proba(graphs)
    np.testing.assert_allclose(probabilities, np.mean(each, axis=0))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    expected = model.classes_[probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(graphs), expected)


def test_in_a_search_a_pipeline_and_cross_validation(ionic):
    pipeline = make_pipeline(CrystalGraphFeaturizer(), small())
    model = EnsembleRegressor(pipeline, 2, random_state=0)
    assert np.isfinite(cross_val_score(model, ionic.data, ionic.target, cv=2)).all()
    search = GridSearchCV(
        EnsembleRegressor(small(), 2, random_state=0),
        {"estimator__lr": [1e-3, 1e-2]},
        cv=2,
    ).fit(ionic.data, ionic.target)
    low, high = search.cv_results_["mean_test_score"]
    assert low != high


def test_pickle_keeps_the_predictions(ensemble, ionic):
    stored = pickle.loads(pickle.dumps(ensemble))
    np.testing.assert_array_equal(
        stored.predict(ionic.data), ensemble.predict(ionic.data)
    )


def test_bad_input_raises_before_any_training(ionic):
    bad = ionic.data[0].copy()
    bad.append("H", bad[0].frac_coords)
    with pytest.raises(StructureError, match=r"X\[1\]"):
        EnsembleRegressor(small(), 2).fit([ionic.data[0], bad], ionic.target[:2])
    with pytest.raises(ValueError, match="n_estimators"):
        EnsembleRegressor(small(), 0).fit(ionic.data, ionic.target)


def test_crystals_that_fail_are_collected(ionic):
    bad = ionic.data[0].copy()
    bad.append("H", bad[0].frac_coords)
    X, y = [*ionic.data, bad], np.r_[ionic.target, 0.0]
    model = EnsembleRegressor(small(on_error="collect"), 2, random_state=0)
    with pytest.warns(UserWarning, match="60"):
        model.fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert np.isnan([mean[60], std[60]]).all()
    assert np.isfinite(mean[:60]).all()


def test_crystals_that_fail_have_no_class(ionic):
    bad = ionic.data[0].copy()
    bad.append("H", bad[0].frac_coords)
    member = CGCNNClassifier(**SMALL, on_error="collect")
    model = EnsembleClassifier(member, 2, random_state=0)
    model.fit(ionic.data, ionic.prototype)
    assert np.isnan(model.predict_proba([bad, ionic.data[1]])[0]).all()
    with pytest.raises(
        ValueError, match=r"^1 of 2 crystals .*first is X\[0\].*predict_proba"
    ):
        model.predict([bad, ionic.data[1]])
