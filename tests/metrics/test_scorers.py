"""Scorers make cross-validation and search work on targets with missing values."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.metrics import check_scoring
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_score,
    cross_validate,
)

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor, metrics

TINY = {**SMALL, "max_epochs": 2}
SCORERS = {
    "neg_mean_absolute_error": metrics.mean_absolute_error,
    "neg_root_mean_squared_error": metrics.root_mean_squared_error,
    "r2": metrics.r2_score,
}
ALL_SCORERS = {name: getattr(metrics, name) for name in SCORERS}


@pytest.fixture(scope="module")
def y(ionic):
    """Two targets with gaps."""
    y = np.stack([ionic.target, 3 - 10 * ionic.target], axis=1)
    y[np.random.default_rng(0).random(y.shape) < 0.3] = np.nan
    assert np.isnan(y).any(axis=0).all()
    return y


@pytest.mark.parametrize("name", SCORERS)
def test_models_of_targets_with_gaps_are_cross_validated(graphs, y, name):
    result = cross_validate(
        CGCNNRegressor(**TINY),
        graphs,
        y,
        scoring=ALL_SCORERS[name],
        cv=3,
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    sign = -1 if name.startswith("neg_") else 1
    tests = result["indices"]["test"]
    folds = zip(result["test_score"], result["estimator"], tests, strict=True)
    for actual, model, test in folds:
        true, predicted = y[test], model.predict(graphs[test])
        columns = zip(true.T, predicted.T, ~np.isnan(true.T), strict=True)
        each = [SCORERS[name](a[known], b[known]) for a, b, known in columns]
        assert len(each) == 2
        assert actual == pytest.approx(sign * np.mean(each), rel=1e-9)


def test_scores_by_name_are_undefined_where_targets_have_gaps(graphs, y):
    # The reason for these scorers.
    with pytest.raises(ValueError, match="contains NaN"):
        cross_val_score(
            CGCNNRegressor(**TINY), graphs, y, scoring="r2", cv=3, error_score="raise"
        )


def test_scorers_work_in_several_processes(graphs, y):
    options = {"scoring": ALL_SCORERS, "cv": 2, "error_score": "raise"}
    model = CGCNNRegressor(**TINY)
    one = cross_validate(model, graphs, y, **options)
    two = cross_validate(model, graphs, y, n_jobs=2, **options)
    for name in SCORERS:
        np.testing.assert_allclose(two[f"test_{name}"], one[f"test_{name}"], rtol=1e-6)


def test_a_search_selects_by_a_scorer(graphs, y):
    search = GridSearchCV(
        CGCNNRegressor(**TINY),
        {"max_epochs": [1, 8]},
        scoring=ALL_SCORERS,
        refit="neg_mean_absolute_error",
        cv=2,
        error_score="raise",
    ).fit(graphs, y)
    scores = search.cv_results_["mean_test_neg_mean_absolute_error"]
    assert (scores < 0).all()
    assert search.best_index_ == np.argmax(scores)
    expected = ALL_SCORERS["neg_mean_absolute_error"](search.best_estimator_, graphs, y)
    assert search.score(graphs, y) == expected


@pytest.mark.parametrize("scorer", ALL_SCORERS.values(), ids=SCORERS)
def test_scorers_can_be_pickled(scorer):
    X, y_true = np.zeros((4, 1)), np.array([1, 2, np.nan, 6.0])
    model = DummyRegressor().fit(X, [1, 2, 3, 4])
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(model, X, y_true) == scorer(model, X, y_true)
    assert check_scoring(model, scoring=copy) is copy


def test_scorers_receive_sample_weights():
    X, y_true = np.zeros((4, 1)), np.array([1, 2, np.nan, 6.0])
    weights = np.array([1, 0, 5, 3.0])
    model = DummyRegressor().fit(X, np.full(4, 2.0))
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = metrics.neg_mean_absolute_error.set_score_request(sample_weight=True)
        assert scorer(model, X, y_true, sample_weight=weights) == -(1 + 3 * 4) / 4


class WithoutPredictionForFirst(RegressorMixin, BaseEstimator):
    """Predicts 1, but nothing for the first crystal."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.r_[np.nan, np.ones(len(X) - 1)]


def test_crystals_without_prediction_are_left_out_of_each_fold():
    y_true = np.r_[np.full(5, 3.0), np.full(5, 7.0)]
    with pytest.warns(UserWarning, match="1 of 5 crystals have no") as caught:
        scores = cross_val_score(
            WithoutPredictionForFirst(),
            np.zeros((10, 1)),
            y_true,
            scoring=metrics.neg_mean_absolute_error,
            cv=2,
        )
    assert scores.tolist() == [-2, -6]
    assert len(caught) == 2


def test_folds_by_group_are_scored(ionic, y):
    groups = metrics.crystal_groups(ionic.data, by="chemical_system")
    options = {"cv": GroupKFold(3), "groups": groups, "return_indices": True}
    result = cross_validate(
        CGCNNRegressor(**TINY),
        ionic.data,
        y,
        scoring=metrics.r2,
        error_score="raise",
        **options,
    )
    assert np.isfinite(result["test_score"]).all()
    for train, test in zip(*result["indices"].values(), strict=True):
        assert not set(groups[train]) & set(groups[test])
