"""Vectors of crystals and of sites."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from helpers import PARTS, SMALL, small
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.inspection import (
    crystal_embeddings,
    site_contributions,
    site_embeddings,
)


@pytest.fixture(scope="module")
def fitted(ionic):
    # Without a baseline, the prediction is that of the vectors alone.
    return CGCNNRegressor(**SMALL, baseline=None).fit(ionic.data, ionic.target)


def test_a_crystal_is_the_mean_of_its_sites(fitted, ionic):
    sites = site_embeddings(fitted, ionic.data)
    assert [len(each) for each in sites] == [len(each) for each in ionic.data]
    means = np.stack([each.mean(axis=0) for each in sites])
    np.testing.assert_allclose(crystal_embeddings(fitted, ionic.data), means, rtol=1e-5)


def test_the_readout_of_the_vectors_is_the_prediction(fitted, ionic):
    """SiLU, one hidden layer, SiLU, output: by hand in numpy."""
    weights = {k: v.numpy() for k, v in fitted.net_.module_.state_dict().items()}

    def silu(x):
        return x / (1 + np.exp(-x))

    vectors = silu(crystal_embeddings(fitted, ionic.data))
    hidden = vectors @ weights["readout.hidden.0.weight"].T
    hidden = silu(hidden + weights["readout.hidden.0.bias"])
    outputs = hidden @ weights["readout.output.weight"][0]
    outputs += weights["readout.output.bias"]
    expected = fitted.target_mean_ + fitted.target_scale_ * outputs
    np.testing.assert_allclose(fitted.predict(ionic.data), expected, rtol=1e-5)


@pytest.mark.parametrize("part", PARTS)
def test_sites_come_in_their_own_order(irregular, part):
    """Shuffled sites keep their vectors, and so do crystals in larger cells."""
    rng = np.random.RandomState(0)
    model = small(**PARTS[part])
    model.fit(irregular, np.linspace(-1, 1, len(irregular)))
    expected = site_embeddings(model, irregular)
    orders = [rng.permutation(len(each)) for each in irregular]
    shuffled = [
        each.__class__.from_sites([each[i] for i in order])
        for each, order in zip(irregular, orders, strict=True)
    ]
    found = site_embeddings(model, shuffled)
    for order, vectors, before in zip(orders, found, expected, strict=True):
        np.testing.assert_allclose(vectors, before[order], rtol=1e-4, atol=1e-5)
    larger = [each.make_supercell([2, 1, 1], in_place=False) for each in irregular]
    np.testing.assert_allclose(
        crystal_embeddings(model, larger),
        crystal_embeddings(model, irregular),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("function", [crystal_embeddings, site_embeddings])
def test_pipelines_and_searches_are_accepted(ionic, function):
    search = GridSearchCV(CGCNNRegressor(**SMALL), {"lr": [0.01]}, cv=2)
    pipeline = make_pipeline(CrystalGraphFeaturizer(max_neighbors=8), search)
    pipeline.fit(ionic.data, ionic.target)
    found = function(pipeline, ionic.data)
    expected = function(search.best_estimator_, ionic.data)
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    "function", [crystal_embeddings, site_embeddings, site_contributions]
)
def test_what_has_no_vectors_is_named(ionic, function):
    with pytest.raises(TypeError, match="estimator is or holds a Ridge; pass a CGCNN"):
        function(Ridge(), ionic.data)
    with pytest.raises(NotFittedError):
        function(CGCNNRegressor(readout="site"), ionic.data)
    search = GridSearchCV(CGCNNRegressor(), {"lr": [0.01]})
    with pytest.raises(ValueError, match="without best_estimator_; fit it"):
        function(search, ionic.data)
