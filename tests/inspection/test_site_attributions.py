"""Attributions divide a prediction among the sites, as integrated gradients do."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.inspection import (
    crystal_embeddings,
    site_attributions,
    site_embeddings,
)
from sklearn_cgcnn.nn import MeanPooling

SHORT = {"max_epochs": 10, "random_state": 0}


@pytest.fixture(scope="module")
def fitted(ionic):
    return CGCNNRegressor(**SHORT, baseline=None).fit(ionic.data, ionic.target)


def assert_they_average_to(predictions, attributions, scale):
    means = [each.mean(axis=0) for each in attributions]
    np.testing.assert_allclose(means, predictions, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"pooling": "all_layers"},
        {"baseline": "linear"},
        {"n_hidden_layers": 0},
        {"n_hidden_layers": 3, "activation": torch.nn.functional.relu},
    ],
    ids=str,
)
def test_they_average_to_the_prediction(ionic, params):
    X, y = ionic.data[:60], ionic.target[:60]
    model = CGCNNRegressor(**{**SHORT, **params}).fit(X, y)
    attributions = site_attributions(model, X)
    assert [len(each) for each in attributions] == [len(each) for each in X]
    assert_they_average_to(model.predict(X), attributions, abs(y).max())
    spread = np.concatenate([each - each.mean() for each in attributions]).std()
    assert spread > 0.01 * y.std()


def test_they_are_logits_of_classes(ionic):
    labels = ionic.target > np.median(ionic.target)
    model = make_pipeline(CrystalGraphFeaturizer(), CGCNNClassifier(**SHORT))
    model.fit(ionic.data, labels)
    means = np.array([each.mean(0) for each in site_attributions(model, ionic.data)])
    probabilities = torch.tensor(means).softmax(dim=1).numpy()
    np.testing.assert_allclose(
        probabilities, model.predict_proba(ionic.data), atol=1e-5
    )


def test_they_are_integrals_of_derivatives(fitted, ionic):
    """Central differences in double precision along many points of the line."""
    X = ionic.data[:8]
    readout = fitted.net_.module_.readout.double()
    try:
        pooled, sites = crystal_embeddings(fitted, X), site_embeddings(fitted, X)
        with torch.no_grad():
            expected = [
                integrate(readout._outputs, torch.tensor(center), torch.tensor(vectors))
                for center, vectors in zip(pooled, sites, strict=True)
            ]
    finally:
        readout.float()
    mean, scale = fitted.target_mean_.item(), fitted.target_scale_.item()
    for found, values in zip(site_attributions(fitted, X), expected, strict=True):
        np.testing.assert_allclose(found, mean + scale * values, atol=1e-4 * scale)


def integrate(function, center, vectors, n_points=1000, step=1e-4):
    alphas = (torch.arange(n_points, dtype=torch.float64) + 0.5) / n_points
    line = alphas[:, None] * center
    at_zero = function(torch.zeros_like(center)[None]).item()
    rises = [
        (function(line + step * each) - function(line - step * each)).mean().item()
        for each in vectors
    ]
    return at_zero + np.array(rises) / (2 * step)


def test_a_linear_readout_has_its_own_terms(ionic):
    """Without hidden layers and activation, a site contributes W u + b."""
    model = CGCNNRegressor(**SHORT, n_hidden_layers=0, baseline=None)
    model.fit(ionic.data, ionic.target)
    readout = model.net_.module_.readout
    readout.activation = torch.nn.Identity()
    weights, bias = readout.output.weight, readout.output.bias
    for found, vectors in zip(
        site_attributions(model, ionic.data),
        site_embeddings(model, ionic.data),
        strict=True,
    ):
        terms = vectors @ weights.detach().numpy()[0] + bias.item()
        decoded = model.target_mean_ + model.target_scale_ * terms
        np.testing.assert_allclose(found, decoded, atol=1e-4 * abs(decoded).max())


def test_sites_of_a_supercell_have_those_of_the_cell(fitted, ionic):
    cell = ionic.data[0]
    [values], [repeated] = (
        site_attributions(fitted, [each]) for each in (cell, cell * (2, 1, 1))
    )
    # pymatgen puts the images of a site one after the other.
    np.testing.assert_allclose(repeated, np.repeat(values, 2), atol=1e-5)


class MaxPooling(MeanPooling):
    """The largest value of a channel."""

    def forward(self, layers, batch):
        index = batch.crystal_index[:, None].expand_as(layers[-1])
        empty = layers[-1].new_full((len(batch), layers[-1].shape[1]), -torch.inf)
        return empty.scatter_reduce(0, index, layers[-1], "amax")


def test_poolings_that_are_no_mean_are_refused(ionic):
    model = CGCNNRegressor(**SHORT, pooling=MaxPooling).fit(ionic.data, ionic.target)
    with pytest.raises(ValueError, match="MaxPooling is not a mean over the sites"):
        site_attributions(model, ionic.data)


def test_other_readouts_are_refused(ionic):
    model = CGCNNRegressor(**SHORT, readout="site").fit(ionic.data, ionic.target)
    with pytest.raises(ValueError, match=r"SiteReadout; .*call site_contributions"):
        site_attributions(model, ionic.data)
    with pytest.raises(TypeError, match="those of a CrystalReadout"):
        model._predict_contributions(ionic.data, "attributions")


def test_the_estimator_must_be_fitted(ionic):
    with pytest.raises(NotFittedError):
        site_attributions(CGCNNRegressor(), ionic.data)
