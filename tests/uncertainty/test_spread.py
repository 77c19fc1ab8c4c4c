"""SpreadRegressor: what it predicts, what it learns from, and how it is used."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from helpers import SMALL, small
from sklearn_cgcnn import CGCNNClassifier, CrystalGraphFeaturizer
from sklearn_cgcnn.uncertainty import (
    ConformalRegressor,
    EnsembleRegressor,
    SpreadRegressor,
)


@pytest.fixture(scope="module")
def trained(ionic):
    """A regressor, trained on the first 40 crystals."""
    return small(max_epochs=20).fit(ionic.data[:40], ionic.target[:40])


@pytest.fixture(scope="module")
def model(ionic, trained):
    """Its spread, learned from the last 20."""
    return SpreadRegressor(FrozenEstimator(trained)).fit(
        ionic.data[:40], ionic.target[:40], ionic.data[40:], ionic.target[40:]
    )


def test_the_mean_is_that_of_the_regressor(model, trained, ionic):
    mean, std = model.predict(ionic.data, return_std=True)
    np.testing.assert_array_equal(mean, trained.predict(ionic.data))
    np.testing.assert_array_equal(mean, model.predict(ionic.data))
    assert std.shape == (60,)
    assert (std > 0).all()


def test_the_spread_has_the_size_of_the_errors(model, ionic):
    mean, std = model.predict(ionic.data[40:], return_std=True)
    errors = np.abs(mean - ionic.target[40:])
    # The expected error is the standard deviation over the square root of two.
    assert 0.5 < np.mean(errors) / np.mean(std / np.sqrt(2)) < 2


def test_a_new_element_has_a_share_of_the_spread_of_the_targets(model, ionic):
    changed = ionic.data[0].copy()
    changed.replace_species({changed[0].specie: "Pu"})
    with pytest.warns(UserWarning, match="Pu"):
        _, std = model.predict([ionic.data[0], changed], return_std=True)
    assert model.reasons([changed]) == [["no training crystal contains Pu"]]
    target = ionic.target[:40]
    assert std[1] > np.sqrt(2) * 0.3 * np.abs(target - target.mean()).mean()


def test_crystals_are_held_out(ionic, graphs):
    spread = SpreadRegressor(small(), held_out_fraction=0.25, random_state=0)
    spread.fit(graphs, ionic.target)
    order = np.random.RandomState(0).permutation(60)
    rest, held_out = order[15:], order[:15]
    alone = small().fit(graphs[rest], ionic.target[rest])
    np.testing.assert_array_equal(spread.predict(graphs), alone.predict(graphs))
    other = SpreadRegressor(FrozenEstimator(alone)).fit(
        graphs[rest], ionic.target[rest], graphs[held_out], ionic.target[held_out]
    )
    for one, two in zip(
        spread.predict(graphs, return_std=True),
        other.predict(graphs, return_std=True),
        strict=True,
    ):
        np.testing.assert_allclose(one, two)


def test_an_ensemble_contributes_its_spread(ionic, graphs):
    ensemble = EnsembleRegressor(small(), 3, random_state=0)
    spread = SpreadRegressor(ensemble, random_state=0, held_out_fraction=0.3)
    _, std = spread.fit(graphs, ionic.target).predict(graphs, return_std=True)
    (error_model,) = spread._error_models
    assert len(error_model._slopes) == 3
    assert (std > 0).all()


def test_fewer_references_make_a_smaller_model(trained, ionic):
    parts = ionic.data[:40], ionic.target[:40], ionic.data[40:], ionic.target[40:]
    whole, few = (
        SpreadRegressor(FrozenEstimator(trained), n_references=n).fit(*parts)
        for n in (None, 15)
    )
    (vectors,) = few._domain._vectors
    assert vectors.shape == (15, 8)
    assert len(pickle.dumps(few)) < len(pickle.dumps(whole))
    # All elements of the training are known nevertheless.
    assert (
        few._domain._range.excess(trained.featurizer_.transform(parts[0])).values.max()
        < 1
    )
    _, std = few.predict(ionic.data, return_std=True)
    assert (std > 0).all()


def test_several_outputs_have_spreads_of_their_own(ionic, graphs):
    y = np.stack([ionic.target, 100 * ionic.target], axis=1)
    spread = SpreadRegressor(small(), random_state=0, held_out_fraction=0.3)
    mean, std = spread.fit(graphs, y).predict(graphs, return_std=True)
    assert mean.shape == std.shape == (60, 2)
    assert np.median(std[:, 1] / std[:, 0]) > 20


def test_missing_targets_are_left_out(ionic, graphs):
    y = np.stack([ionic.target, ionic.target], axis=1)
    y[::3, 1] = np.nan
    spread = SpreadRegressor(small(), random_state=0, held_out_fraction=0.3)
    _, std = spread.fit(graphs, y).predict(graphs, return_std=True)
    assert np.isfinite(std).all()


def test_neither_order_nor_batch_of_crystals_matters(model, ionic):
    _, std = model.predict(ionic.data, return_std=True)
    _, other = model.predict(ionic.data[::-1], return_std=True)
    np.testing.assert_allclose(other[::-1], std, rtol=1e-4)
    _, alone = model.predict(ionic.data[3:4], return_std=True)
    np.testing.assert_allclose(alone, std[3:4], rtol=1e-4)


def test_crystals_that_fail_are_nan(ionic):
    spread = SpreadRegressor(
        small(on_error="collect"), random_state=0, held_out_fraction=0.3
    )
    broken = ionic.data[0].copy()
    broken.append("Na", broken[0].frac_coords)
    structures = [broken, *ionic.data[1:]]
    with pytest.warns(UserWarning, match="graph"):
        spread.fit(structures, ionic.target)
    mean, std = spread.predict(structures, return_std=True)
    for values in (mean, std):
        assert np.flatnonzero(np.isnan(values)).tolist() == [0]


def test_structures_become_graphs_once(ionic, monkeypatch):
    calls = []
    transform = CrystalGraphFeaturizer.transform

    def count(self, X):
        calls.append(len(X))
        return transform(self, X)

    monkeypatch.setattr(CrystalGraphFeaturizer, "transform", count)
    spread = SpreadRegressor(small(), random_state=0, held_out_fraction=0.25)
    spread.fit(ionic.data, ionic.target).predict(ionic.data, return_std=True)
    assert calls == [45, 15, 60]


def test_pipelines_searches_and_cross_validation(ionic):
    piped = make_pipeline(CrystalGraphFeaturizer(), small())
    spread = SpreadRegressor(piped, random_state=0, held_out_fraction=0.3)
    _, std = spread.fit(ionic.data, ionic.target).predict(ionic.data, return_std=True)
    assert (std > 0).all()
    spread = SpreadRegressor(small(), random_state=0, held_out_fraction=0.3)
    assert np.isfinite(cross_val_score(spread, ionic.data, ionic.target, cv=2)).all()
    search = GridSearchCV(spread, {"estimator__lr": [1e-3, 1e-2]}, cv=2)
    search.fit(ionic.data, ionic.target)
    assert search.predict(ionic.data).shape == (60,)


def test_ensembles_in_searches_and_frozen_twice(ionic, graphs):
    ensemble = EnsembleRegressor(small(), 2, random_state=0)
    search = GridSearchCV(ensemble, {"estimator__lr": [1e-2]}, cv=2)
    spread = SpreadRegressor(search, random_state=0, held_out_fraction=0.3)
    spread.fit(graphs, ionic.target)
    assert len(spread._domain._vectors) == 2
    twice = FrozenEstimator(FrozenEstimator(ensemble.fit(graphs, ionic.target)))
    parts = graphs[:40], ionic.target[:40], graphs[40:], ionic.target[40:]
    assert len(SpreadRegressor(twice).fit(*parts)._domain._vectors) == 2


def test_intervals_are_scaled_by_it(model, ionic):
    conformal = ConformalRegressor(FrozenEstimator(model))
    conformal.fit(ionic.data[40:], ionic.target[40:])
    low, high = conformal.predict_interval(ionic.data, 0.8).T
    _, std = model.predict(ionic.data, return_std=True)
    assert np.corrcoef(high - low, std)[0, 1] > 0.99


def test_targets_of_another_shape_are_refused(trained, ionic):
    X, y = ionic.data, ionic.target
    spread = SpreadRegressor(FrozenEstimator(trained))
    with pytest.raises(ValueError, match=r"y_val has shape \(20, 1\)"):
        spread.fit(X[:40], y[:40], X[40:], y[40:, None])
    two_axes = small().fit(X[:40], y[:40, None])
    with pytest.raises(ValueError, match="intervals are for one target"):
        ConformalRegressor(FrozenEstimator(two_axes)).fit(X[40:], y[40:])


def test_elements_that_the_network_does_not_know(ionic):
    features = {symbol: [1.0] for each in ionic.data[1:] for symbol in each.symbol_set}
    for symbol in ionic.data[0].symbol_set:
        features.pop(symbol, None)
    model = small(site_features=features, on_error="collect")
    spread = SpreadRegressor(model, random_state=0, held_out_fraction=0.3)
    with pytest.warns(UserWarning, match="graph"):
        spread.fit(ionic.data, ionic.target)
    _, std = spread.predict(ionic.data, return_std=True)
    assert np.isnan(std[0])
    assert np.isfinite(std).any()


def test_pickling_and_cloning_change_nothing(model, ionic):
    again = pickle.loads(pickle.dumps(model))
    for one, two in zip(
        again.predict(ionic.data, return_std=True),
        model.predict(ionic.data, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    assert not hasattr(clone(model), "estimator_")


@pytest.mark.parametrize(
    ("params", "more", "error", "message"),
    [
        ({"held_out_fraction": 0.999}, {}, ValueError, "leaves none to train on"),
        ({"held_out_fraction": 0.05}, {}, ValueError, "holds out 3, but errors"),
        ({"held_out_fraction": 1.0}, {}, ValueError, "held_out_fraction"),
        ({}, {"X_val": []}, ValueError, "pass both, or neither"),
        ({"estimator": Ridge()}, {}, TypeError, "Ridge"),
        ({"estimator": CGCNNClassifier(**SMALL)}, {}, TypeError, "not a regressor"),
        (
            {"estimator": make_pipeline(FunctionTransformer(), small())},
            {},
            TypeError,
            "'functiontransformer' of the Pipeline",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused(graphs, ionic, params, more, error, message):
    spread = SpreadRegressor(**{"estimator": small(), **params})
    with pytest.raises(error, match=message):
        spread.fit(graphs, ionic.target, **more)
    assert not hasattr(spread, "estimator_")


def test_a_frozen_regressor_needs_other_crystals(trained, graphs, ionic):
    spread = SpreadRegressor(FrozenEstimator(trained))
    with pytest.raises(ValueError, match="pass them as X_val and y_val"):
        spread.fit(graphs, ionic.target)


def test_crystals_of_weight_zero_are_not_known(ionic):
    strange = [each.copy() for each in ionic.data[:30]]
    for each in strange:
        each.replace(0, "Xe")
    X = [*ionic.data, *strange]
    y = np.append(ionic.target, np.full(30, 1000.0))
    weight = np.repeat([1.0, 0.0], [60, 30])
    model = SpreadRegressor(small()).fit(
        X, y, X_val=ionic.data, y_val=ionic.target, sample_weight=weight
    )
    alone = SpreadRegressor(small()).fit(
        ionic.data, ionic.target, X_val=ionic.data, y_val=ionic.target
    )
    assert "no training crystal contains Xe" in model.reasons(strange[:1])[0]
    for found, expected in zip(
        model.predict(strange, return_std=True),
        alone.predict(strange, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
