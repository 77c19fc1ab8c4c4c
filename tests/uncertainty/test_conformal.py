"""Intervals: their coverage, their widths, and what they are calibrated on."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from helpers import SMALL
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.uncertainty import (
    ConformalRegressor,
    EnsembleRegressor,
    SpreadRegressor,
)

FRACTIONS = {
    ConformalRegressor: {"calibration_fraction": 0.3},
    SpreadRegressor: {"held_out_fraction": 0.3},
}


class Known(RegressorMixin, BaseEstimator):
    """Predicts a mean of zero, and a spread that each "crystal" carries.

    Crystals are graphs here, whose values the test looks up by their number of sites.
    """

    def __init__(self, spread=None):
        self.spread = spread

    def fit(self, X, y):
        self.n_fitted_ = len(X)
        return self

    def predict(self, X, return_std=False):
        mean = np.zeros(len(X))
        spread = np.array([self.spread[id(crystal)] for crystal in X])
        return (mean, spread) if return_std else mean


@pytest.fixture(scope="module")
def crystals(ionic):
    """1,100 crystals, which are different objects."""
    return [each.copy() for _ in range(19) for each in ionic.data][:1_100]


def draws(crystals, n_draws=200, n_calibration=99):
    """Yield errors that are proportional to a spread, and estimators that know it."""
    for seed in range(n_draws):
        rng = np.random.RandomState(seed)
        spread = rng.lognormal(size=len(crystals))
        y = spread * rng.standard_t(3, size=len(crystals))
        known = Known(
            {id(each): value for each, value in zip(crystals, spread, strict=True)}
        )
        yield FrozenEstimator(known), y, n_calibration


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_coverage_is_the_confidence_level(crystals, scaled, level):
    covered = []
    for model, y, n in draws(crystals):
        conformal = ConformalRegressor(model, scaled=scaled).fit(crystals[:n], y[:n])
        low, high = conformal.predict_interval(crystals[n:], level).T
        covered.append(np.mean((low <= y[n:]) & (y[n:] <= high)))
    # With 99 calibration crystals, the expected coverage is exactly the level. Over 200
    # draws, its mean has a standard error of 0.0021 (0.9) and 0.0035 (0.5).
    assert abs(np.mean(covered) - level) < 0.011


def test_widths_follow_the_spread(crystals):
    model, y, n = next(draws(crystals))
    scaled = ConformalRegressor(model).fit(crystals[:n], y[:n])
    low, high = scaled.predict_interval(crystals[n:]).T
    _, spread = model.predict(crystals[n:], return_std=True)
    ratio = (high - low) / spread
    usual = spread > 0.2 * np.median(spread)
    assert np.ptp(ratio[usual]) < 1e-9 * ratio[usual].max()
    assert (ratio[~usual] >= ratio[usual].min() - 1e-9).all()
    plain = ConformalRegressor(model, scaled=False).fit(crystals[:n], y[:n])
    low, high = plain.predict_interval(crystals[n:]).T
    assert np.ptp(high - low) < 1e-9


def test_the_quantile_is_the_rank_of_the_guarantee(crystals):
    model, y, _ = next(draws(crystals))
    conformal = ConformalRegressor(model, scaled=False).fit(crystals[:9], y[:9])
    errors = np.sort(np.abs(y[:9]))
    np.testing.assert_array_equal(conformal.scores_, errors)
    for level, rank in ((0.9, 9), (0.8, 8), (0.75, 8), (0.1, 1), (1e-12, 1)):
        low, high = conformal.predict_interval(crystals[:1], level)[0]
        assert high == -low == errors[rank - 1]
    with pytest.raises(
        ValueError, match=r"needs more than the 9 crystals.* at most 0.9"
    ):
        conformal.predict_interval(crystals[:1], 0.95)
    too_few = ConformalRegressor(model, scaled=False).fit(crystals[:8], y[:8])
    with pytest.raises(ValueError, match="hold out at least 9"):
        too_few.predict_interval(crystals[:1], 0.9)


def test_crystals_held_out_are_not_trained_on(ionic, graphs):
    model = ConformalRegressor(
        CGCNNRegressor(**SMALL), calibration_fraction=0.25, random_state=0
    ).fit(graphs, ionic.target)
    order = np.random.RandomState(0).permutation(60)
    alone = CGCNNRegressor(**SMALL).fit(graphs[order[15:]], ionic.target[order[15:]])
    np.testing.assert_array_equal(model.predict(graphs), alone.predict(graphs))
    errors = np.abs(ionic.target - alone.predict(graphs))[order[:15]]
    np.testing.assert_allclose(model.scores_, np.sort(errors))


def test_an_ensemble_scales_the_intervals(ionic):
    ensemble = EnsembleRegressor(CGCNNRegressor(**SMALL), 3, random_state=0)
    model = ConformalRegressor(ensemble, random_state=0).fit(ionic.data, ionic.target)
    low, high = model.predict_interval(ionic.data, 0.8).T
    _, spread = model.estimator_.predict(ionic.data, return_std=True)
    assert np.corrcoef(high - low, spread)[0, 1] > 0.99


def test_a_fitted_model_is_kept_and_cloned(ionic, graphs):
    fitted = CGCNNRegressor(**SMALL).fit(graphs, ionic.target)
    model = ConformalRegressor(FrozenEstimator(fitted))
    model = clone(model).fit(graphs, ionic.target)
    assert len(model.scores_) == 60
    np.testing.assert_array_equal(model.predict(graphs), fitted.predict(graphs))


def test_what_the_regressor_knows_is_passed_on(ionic, graphs):
    regressor = SpreadRegressor(
        CGCNNRegressor(**SMALL), held_out_fraction=0.3, random_state=0
    )
    model = ConformalRegressor(regressor, random_state=0).fit(graphs, ionic.target)
    inner = model.estimator_
    assert model.reasons(graphs) == inner.reasons(graphs)
    np.testing.assert_array_equal(
        model.score_samples(graphs), inner.score_samples(graphs)
    )
    for own, of_inner in zip(
        model.predict(graphs, return_std=True),
        inner.predict(graphs, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(own, of_inner)
    # Calibrated again, on other crystals, its intervals still follow the spread.
    again = ConformalRegressor(FrozenEstimator(model)).fit(graphs, ionic.target)
    assert np.ptp(np.diff(again.predict_interval(graphs))) > 0


def test_what_the_regressor_does_not_know_is_not_there(ionic, graphs):
    model = ConformalRegressor(CGCNNRegressor(**SMALL), random_state=0)
    model.fit(graphs, ionic.target)
    assert not hasattr(model, "reasons")
    assert not hasattr(model, "score_samples")
    with pytest.raises(ValueError, match="return_std=True needs a regressor that"):
        model.predict(graphs, return_std=True)
    again = ConformalRegressor(FrozenEstimator(model)).fit(graphs, ionic.target)
    assert np.ptp(np.diff(again.predict_interval(graphs))) < 1e-9


@pytest.mark.parametrize("wrapper", [ConformalRegressor, SpreadRegressor])
def test_weights_are_those_of_the_training(ionic, graphs, wrapper):
    weight = np.random.RandomState(0).rand(60)
    model = wrapper(CGCNNRegressor(**SMALL), random_state=0)
    model.set_params(**FRACTIONS[wrapper])
    model.fit(graphs, ionic.target, sample_weight=weight)
    rows = np.random.RandomState(0).permutation(60)[18:]
    alone = CGCNNRegressor(**SMALL)
    alone.fit(graphs[rows], ionic.target[rows], sample_weight=weight[rows])
    np.testing.assert_array_equal(model.predict(graphs), alone.predict(graphs))
    with pytest.raises(ValueError, match="sample_weight has shape"):
        model.fit(graphs, ionic.target, sample_weight=weight[1:])
    frozen, y = wrapper(FrozenEstimator(alone)), ionic.target
    others = {"X_val": graphs, "y_val": y} if wrapper is SpreadRegressor else {}
    with pytest.raises(ValueError, match="no effect on a frozen"):
        frozen.fit(graphs, y, sample_weight=weight, **others)


@pytest.mark.parametrize("wrapper", [ConformalRegressor, SpreadRegressor])
def test_weights_reach_the_last_step_of_a_pipeline(ionic, wrapper):
    weight = np.random.RandomState(0).rand(60)
    last = make_pipeline(CGCNNRegressor(**SMALL))
    inner = make_pipeline(CrystalGraphFeaturizer(), last)
    plain = CGCNNRegressor(**SMALL)
    predictions = [
        wrapper(estimator, random_state=0)
        .set_params(**FRACTIONS[wrapper])
        .fit(ionic.data, ionic.target, sample_weight=weight)
        .predict(ionic.data)
        for estimator in (inner, plain)
    ]
    np.testing.assert_array_equal(*predictions)


def test_a_pipeline_that_ends_in_spreads_scales_the_intervals(ionic):
    spread = SpreadRegressor(
        CGCNNRegressor(**SMALL), held_out_fraction=0.3, random_state=0
    )
    pipeline = make_pipeline(CrystalGraphFeaturizer(), spread)
    model = ConformalRegressor(pipeline, random_state=0).fit(ionic.data, ionic.target)
    assert np.ptp(np.diff(model.predict_interval(ionic.data))) > 0
    assert model.predict(ionic.data, return_std=True)[1].shape == (60,)
    # A Pipeline passes on only one of the two.
    assert not hasattr(model, "reasons")
    assert not hasattr(model, "score_samples")


def test_a_classifier_is_refused(ionic, graphs):
    labels = ionic.target > np.median(ionic.target)
    with pytest.raises(TypeError, match="CGCNNClassifier, which is not a regressor"):
        ConformalRegressor(CGCNNClassifier(**SMALL)).fit(graphs, labels)
    with pytest.raises(
        TypeError, match=r"CrystalGraphFeaturizer, which is .*; pass one"
    ):
        ConformalRegressor(CrystalGraphFeaturizer()).fit(graphs, labels)


@pytest.mark.parametrize(
    ("params", "y", "message"),
    [
        (
            {"scaled": True},
            None,
            "scaled=True needs a regressor that predicts a spread",
        ),
        (
            {"scaled": np.True_},
            None,
            "scaled=True needs a regressor that predicts a spread",
        ),
        ({"calibration_fraction": 0.999}, None, "leaves none to train on"),
        ({"calibration_fraction": 0.0}, None, "calibration_fraction"),
        ({}, np.ones((60, 2)), "intervals are for one target"),
        ({}, np.ones(59), "59"),
    ],
)
def test_what_cannot_be_fitted_is_refused(graphs, ionic, params, y, message):
    model = ConformalRegressor(CGCNNRegressor(**SMALL), **params)
    with pytest.raises(ValueError, match=message):
        model.fit(graphs, ionic.target if y is None else y)
    assert not hasattr(model, "estimator_")


def test_an_ensemble_of_one_predicts_no_spread(graphs, ionic):
    ensemble = EnsembleRegressor(CGCNNRegressor(**SMALL), 1, random_state=0)
    conformal = ConformalRegressor(ensemble, random_state=0).fit(graphs, ionic.target)
    low, high = conformal.predict_interval(graphs, 0.5).T
    np.testing.assert_allclose(high - low, (high - low)[0])
    spread = SpreadRegressor(ensemble, held_out_fraction=0.3, random_state=0)
    _, std = spread.fit(graphs, ionic.target).predict(graphs, return_std=True)
    assert (std > 0).all()
    scaled = ConformalRegressor(ensemble, scaled=True)
    with pytest.raises(ValueError, match=r"scaled=True needs .* of several members"):
        scaled.fit(graphs, ionic.target)


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5])
def test_levels_out_of_range_are_refused(graphs, ionic, level):
    model = ConformalRegressor(CGCNNRegressor(**SMALL), random_state=0)
    model.fit(graphs, ionic.target)
    with pytest.raises(ValueError, match=r"confidence_level=.* between 0 and 1"):
        model.predict_interval(graphs, level)
