"""Estimators on graphs on disk do what they do on graphs in memory."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

from helpers import SMALL, assert_same_weights, outputs
from sklearn_cgcnn import CGCNNRegressor, CrystalEmbedder, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import ExtrapolationWarning, FailedCrystalsWarning
from sklearn_cgcnn.graphs import ShardedCrystalGraphs
from sklearn_cgcnn.inspection import site_contributions
from sklearn_cgcnn.uncertainty import EnsembleRegressor, SpreadRegressor


@pytest.fixture(scope="module")
def stored(ionic, tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "graphs"
    return CrystalGraphFeaturizer().transform_to_disk(ionic.data, path, shard_size=7)


@pytest.fixture(scope="module")
def buffered(stored):
    """The same, with a buffer that does not hold them all."""
    return ShardedCrystalGraphs(stored.path, buffer_nbytes=stored.nbytes // 3)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_fit_and_predict_are_those_in_memory(
    estimator, target, graphs, stored, early_stopping
):
    estimator.set_params(early_stopping=early_stopping, batch_size=16)
    in_memory, on_disk = (clone(estimator).fit(X, target) for X in (graphs, stored))
    assert_same_weights(in_memory, on_disk)
    assert in_memory.history_ == on_disk.history_
    rows = np.random.RandomState(0).permutation(60)
    for key in (slice(None), rows):
        found, expected = outputs(on_disk, stored[key]), outputs(in_memory, graphs[key])
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_fit_and_predict_with_a_small_buffer(
    estimator, target, graphs, buffered, early_stopping
):
    estimator.set_params(early_stopping=early_stopping, batch_size=8)
    weights = np.linspace(0, 1, 60)
    model = estimator.fit(buffered, target, sample_weight=weights)
    assert_same_weights(model, clone(model).fit(buffered, target, weights))
    expected = outputs(model, graphs)
    np.testing.assert_array_equal(outputs(model, buffered), expected)
    rows = np.random.RandomState(0).permutation(60)
    found = outputs(model, buffered[rows])
    np.testing.assert_allclose(found, expected[rows], rtol=1e-5, atol=1e-6)


def test_validation_data_on_disk(ionic, graphs, stored):
    model = CGCNNRegressor(early_stopping=True, **SMALL)
    y = ionic.target
    in_memory, on_disk = (
        clone(model).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
        for X in (graphs, stored)
    )
    assert in_memory.history_ == on_disk.history_


def test_cross_validation_and_search(ionic, graphs, stored):
    model = CGCNNRegressor(**SMALL)
    for function in (cross_val_score, cross_val_predict):
        found, expected = (
            function(model, X, ionic.target, cv=3) for X in (stored, graphs)
        )
        np.testing.assert_array_equal(found, expected)
    search = GridSearchCV(model, {"n_site_channels": [4, 8]}, cv=2, n_jobs=2)
    found = search.fit(stored, ionic.target)
    expected = clone(search).fit(graphs, ionic.target)
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(found.predict(stored), expected.predict(graphs))


def test_a_checkpoint_belongs_to_its_graphs(ionic, buffered, tmp_path):
    model = CGCNNRegressor(**SMALL, batch_size=8)
    plain = clone(model).fit(buffered, ionic.target)
    model.set_params(checkpoint_dir=tmp_path)
    resumed = clone(model).fit(buffered, ionic.target)
    copied = pickle.loads(pickle.dumps(buffered))
    again = clone(model).fit(copied, ionic.target)
    for each in (resumed, again):
        assert_same_weights(each, plain)
    assert len(list(tmp_path.glob("*.pt"))) == 1
    # Another order of an epoch is another training.
    clone(model).fit(ShardedCrystalGraphs(buffered.path), ionic.target)
    assert len(list(tmp_path.glob("*.pt"))) == 2


def test_failed_crystals(ionic, graphs, tmp_path):
    X = [*ionic.data[:10], "no crystal", *ionic.data[10:20]]
    featurizer = CrystalGraphFeaturizer(on_error="collect")
    stored = featurizer.transform_to_disk(X, tmp_path / "graphs", shard_size=1)
    y = np.insert(ionic.target[:20], 10, np.nan)
    model = CGCNNRegressor(readout="site", **SMALL)
    with pytest.warns(FailedCrystalsWarning, match=r"X\[10\] is of type str"):
        model.fit(stored, np.nan_to_num(y))
    found = model.predict(stored)
    assert np.isnan(found).tolist() == np.isnan(y).tolist()
    np.testing.assert_array_equal(found[~np.isnan(y)], model.predict(graphs[:20]))
    # One shard has nothing but the crystal that failed.
    contributions = site_contributions(model, stored)
    expected = site_contributions(model, graphs[:20])
    expected.insert(10, np.empty(0))
    for left, right in zip(contributions, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5)


def test_warnings_are_those_in_memory(ionic, graphs, stored):
    model = CGCNNRegressor(**SMALL).fit(graphs[:5], ionic.target[:5])
    rows = np.random.RandomState(0).permutation(60)
    messages = []
    for X in (graphs, stored):
        with pytest.warns(ExtrapolationWarning, match=r"X\[0\] and \d+ other") as found:
            model.predict(X[rows])
        messages.append([str(warning.message) for warning in found])
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    "make",
    [
        lambda m: make_pipeline(CrystalGraphFeaturizer(), m),
        lambda m: EnsembleRegressor(m, n_estimators=2, random_state=0),
        lambda m: SpreadRegressor(m, random_state=0),
    ],
    ids=["pipeline", "ensemble", "spread"],
)
def test_estimators_around_it(ionic, graphs, stored, make):
    found, expected = (
        make(CGCNNRegressor(**SMALL)).fit(X, ionic.target).predict(X)
        for X in (stored, graphs)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_embeddings(ionic, graphs, stored):
    embedder = CrystalEmbedder(estimator=CGCNNRegressor(**SMALL))
    embedder.fit(stored, ionic.target)
    np.testing.assert_array_equal(
        embedder.transform(stored), embedder.transform(graphs)
    )
