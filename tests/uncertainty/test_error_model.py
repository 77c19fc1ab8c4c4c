"""Errors drawn from a known law: what the model finds of it."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from sklearn_cgcnn.uncertainty._error_model import ErrorModel


def draw(n, seed=0, exponent=0.7, effect=1.0):
    """Return errors, what they depend on, and their expectations."""
    rng = np.random.RandomState(seed)
    distances = rng.lognormal(size=(n, 1))
    fractions = rng.dirichlet(np.ones(6), size=n)
    vectors = rng.normal(size=(n, 4))
    expected = 0.3 * distances[:, 0] ** exponent * np.exp(effect * fractions[:, 0])
    return rng.laplace(scale=expected), (distances, fractions, vectors), expected


def test_errors_that_grow_with_a_distance_are_foreseen():
    errors, features, _ = draw(1_000)
    model = ErrorModel().fit(np.abs(errors), *features)
    others, features, expected = draw(1_000, seed=1)
    predicted = model.predict(*features)
    assert spearmanr(predicted, expected)[0] > 0.97
    # The mean of |error| / expected is one, with a standard error of 0.03.
    assert abs(np.mean(np.abs(others) / predicted) - 1) < 0.15


def test_a_unit_does_not_matter():
    errors, features, _ = draw(200)
    one = ErrorModel().fit(np.abs(errors), *features).predict(*features)
    thousand = ErrorModel().fit(1_000 * np.abs(errors), *features).predict(*features)
    np.testing.assert_allclose(thousand, 1_000 * one, rtol=1e-6)
    distances, *others = features
    other = ErrorModel().fit(np.abs(errors), 50 * distances, *others)
    np.testing.assert_allclose(other.predict(50 * distances, *others), one, rtol=1e-6)


def test_elements_with_large_errors_are_found():
    errors, features, _ = draw(1_000, exponent=0.0, effect=3.0)
    predicted = ErrorModel().fit(np.abs(errors), *features).predict(*features)
    assert spearmanr(predicted, features[1][:, 0])[0] > 0.9


def test_noise_is_not_learned():
    errors, features, _ = draw(60, exponent=0.0, effect=0.0)
    predicted = ErrorModel().fit(np.abs(errors), *features).predict(*features)
    assert predicted.max() / predicted.min() < 3


def test_strange_vectors_are_not_extrapolated_to():
    errors, (distances, fractions, vectors), _ = draw(200)
    errors = np.abs(errors) * np.exp(vectors[:, 0])
    model = ErrorModel().fit(errors, distances, fractions, vectors)
    far = model.predict(distances, fractions, 1e3 * vectors)
    assert far.max() < 100 * errors.max()
    assert far.min() > 0


def test_perfect_predictions_have_no_spread():
    _, features, _ = draw(50)
    predicted = ErrorModel().fit(np.zeros(50), *features).predict(*features)
    assert np.isfinite(predicted).all()
    assert predicted.max() < 1e-30


def test_equal_features_are_no_obstacle():
    errors, (distances, fractions, vectors), _ = draw(50)
    equal = np.ones_like(distances), fractions[[0] * 50], np.zeros_like(vectors)
    predicted = ErrorModel().fit(np.abs(errors), *equal).predict(*equal)
    np.testing.assert_allclose(predicted, predicted[0])


def test_too_few_crystals_are_refused():
    errors, features, _ = draw(4)
    with pytest.raises(ValueError, match="4 crystals are too few"):
        ErrorModel().fit(np.abs(errors), *features)
