"""Scores of spreads, against their definitions and known distributions."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from sklearn_cgcnn.uncertainty import (
    calibration_curve,
    miscalibration_area,
    negative_log_likelihood,
    sparsification_area,
    sparsification_curve,
)


@pytest.fixture
def predictions():
    """True values, predictions, and the spreads that the errors were drawn with."""
    rng = np.random.RandomState(0)
    mean, std = rng.normal(size=20_000), rng.uniform(0.2, 2.0, size=20_000)
    return mean + std * rng.normal(size=20_000), mean, std


def test_likelihood_is_that_of_the_normal_distribution(predictions):
    y, mean, std = predictions
    expected = -norm(mean, std).logpdf(y).mean()
    assert negative_log_likelihood(y, mean, std) == pytest.approx(expected)


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.0, 3.0])
def test_area_of_spreads_that_are_wrong_by_a_factor(predictions, factor):
    y, mean, std = predictions

    def distance(level):
        covered = 2 * norm.cdf(factor * norm.ppf((1 + level) / 2)) - 1
        return abs(covered - level)

    expected = quad(distance, 0, 1)[0]
    assert miscalibration_area(y, mean, factor * std) == pytest.approx(
        expected, abs=0.005
    )


def test_area_is_the_integral_of_the_staircase():
    rng = np.random.RandomState(0)
    y, mean, std = rng.normal(size=7), np.zeros(7), np.full(7, 0.7)
    levels, _ = calibration_curve(y, mean, std)
    x = (np.arange(200_000) + 0.5) / 200_000
    covered = np.searchsorted(levels, x) / 7
    expected = np.abs(covered - x).mean()
    assert miscalibration_area(y, mean, std) == pytest.approx(expected, abs=1e-5)


def test_calibration_curve_counts_true_values_in_intervals(predictions):
    y, mean, std = (each[:50] for each in predictions)
    levels, shares = calibration_curve(y, mean, std)
    for level, share in zip(levels, shares, strict=True):
        low, high = norm(mean, std).interval(level * (1 + 1e-9))
        assert np.mean((low <= y) & (y <= high)) == pytest.approx(share)


def test_sparsification_removes_the_most_uncertain(predictions):
    y, mean, std = (each[:40] for each in predictions)
    removed, errors = sparsification_curve(y, mean, std)
    for share, error in zip(removed, errors, strict=True):
        kept = np.argsort(std)[: round(40 * (1 - share))]
        assert error == pytest.approx(np.abs(y - mean)[kept].mean())


def test_sparsification_area_of_chance_and_of_knowledge(predictions):
    y, mean, std = predictions
    rng = np.random.RandomState(1)
    assert sparsification_area(y, mean, rng.permutation(std)) == pytest.approx(
        1, abs=0.05
    )
    oracle = sparsification_area(y, mean, np.abs(y - mean) + 1e-9)
    assert oracle < sparsification_area(y, mean, std) < 0.9
    uniform = np.linspace(0, 1, 20_000)
    area = sparsification_area(uniform, np.zeros(20_000), uniform + 1e-9)
    assert area == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("y_std", "message"),
    [
        ([1.0, 0.0], r"y_std\[1\] is 0.0, but spreads must be positive"),
        ([1.0], "inconsistent numbers of samples"),
        ([1.0, np.nan], "y_std contains NaN"),
        ([[1.0], [2.0]], r"y_std has shape \(2, 1\)"),
    ],
)
@pytest.mark.parametrize("score", [miscalibration_area, sparsification_curve])
def test_what_is_no_spread_is_refused(score, y_std, message):
    with pytest.raises(ValueError, match=message):
        score([0.0, 1.0], [0.0, 1.0], y_std)
