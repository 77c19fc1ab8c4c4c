"""Displays: what they store, where they draw, and what they say."""

import numpy as np
import pytest
from pymatgen.core import Element

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.uncertainty import (
    ConformalRegressor,
    ElementCoverageDisplay,
    EnsembleRegressor,
    ErrorSpreadDisplay,
    SparsificationDisplay,
    SpreadCalibrationDisplay,
    binned_errors,
    sparsification_area,
)

DISPLAYS = [ErrorSpreadDisplay, SparsificationDisplay, SpreadCalibrationDisplay]


@pytest.fixture
def predictions():
    """True values, predictions and spreads."""
    rng = np.random.RandomState(0)
    mean, std = rng.normal(size=200), rng.uniform(0.2, 2.0, size=200)
    return mean + std * rng.normal(size=200), mean, std


@pytest.mark.parametrize("display", DISPLAYS)
def test_from_an_estimator_as_from_its_predictions(display, graphs, ionic, pyplot):
    model = EnsembleRegressor(CGCNNRegressor(**SMALL), 3, random_state=0)
    model.fit(graphs, ionic.target)
    drawn = display.from_estimator(model, graphs, ionic.target, name="ensemble")
    mean, std = model.predict(graphs, return_std=True)
    expected = display.from_predictions(ionic.target, mean, std)
    for axis in ("xdata", "ydata"):
        np.testing.assert_array_equal(
            getattr(drawn.line_, f"get_{axis}")(),
            getattr(expected.line_, f"get_{axis}")(),
        )
    assert "ensemble" in drawn.line_.get_label()
    assert drawn.ax_.get_xlabel()
    assert drawn.ax_.get_ylabel()
    drawn.figure_.canvas.draw()


@pytest.mark.parametrize("display", DISPLAYS)
def test_it_draws_on_the_axes_given_and_again(display, predictions, pyplot):
    _, (first, second) = pyplot.subplots(1, 2)
    drawn = display.from_predictions(*predictions, ax=first, color="C3")
    assert drawn.ax_ is first
    assert drawn.line_.get_color() == "C3"
    assert drawn.plot(second) is drawn
    assert drawn.ax_ is second


def test_what_is_drawn_is_what_was_computed(predictions, pyplot):
    calibration = SpreadCalibrationDisplay.from_predictions(*predictions)
    np.testing.assert_array_equal(
        calibration.line_.get_xdata(), [0, *calibration.levels, 1]
    )
    sparsification = SparsificationDisplay.from_predictions(*predictions)
    area = sparsification_area(*predictions)
    assert f"area {area:.3f}" in sparsification.line_.get_label()
    assert (sparsification.lowest <= sparsification.errors + 1e-12).all()
    spreads, errors = binned_errors(*predictions)
    bins = ErrorSpreadDisplay.from_predictions(*predictions)
    np.testing.assert_array_equal(bins.line_.get_xdata(), spreads)
    np.testing.assert_array_equal(bins.line_.get_ydata(), errors)


def test_bins_hold_equally_many_predictions(predictions):
    y, mean, std = predictions
    spreads, errors = binned_errors(y, mean, std, n_bins=4)
    order = np.argsort(std).reshape(4, 50)
    np.testing.assert_allclose(spreads**2, (std[order] ** 2).mean(axis=1))
    np.testing.assert_allclose(errors**2, ((y - mean)[order] ** 2).mean(axis=1))
    with pytest.raises(ValueError, match=r"n_bins=201 must be from 1 to .* 200"):
        binned_errors(y, mean, std, n_bins=201)


def test_coverage_is_counted_by_element(graphs, ionic, pyplot):
    y = np.arange(60.0)
    # Of the intervals, every third one lies above its value.
    intervals = np.stack([y - 1 + 2 * (y % 3 == 0), y + 1 + 2 * (y % 3 == 0)], axis=1)
    for crystals in (graphs, ionic.data):
        drawn = ElementCoverageDisplay.from_predictions(
            y, intervals, crystals, min_crystals=5
        )
        for symbol, coverage, count in zip(
            drawn.elements, drawn.coverage, drawn.counts, strict=True
        ):
            rows = [row for row in range(60) if symbol in ionic.data[row].symbol_set]
            assert count == len(rows) >= 5
            assert coverage == np.mean([row % 3 != 0 for row in rows])
        numbers = [Element(symbol).Z for symbol in drawn.elements]
        assert numbers == sorted(numbers)
        ticks = [label.get_text() for label in drawn.ax_.get_xticklabels()]
        assert ticks == drawn.elements
        drawn.figure_.canvas.draw()


def test_coverage_of_an_estimator(graphs, ionic, pyplot):
    model = ConformalRegressor(CGCNNRegressor(**SMALL), random_state=0)
    model.fit(graphs, ionic.target)
    drawn = ElementCoverageDisplay.from_estimator(
        model, graphs, ionic.target, confidence_level=0.7, name="plain"
    )
    expected = ElementCoverageDisplay.from_predictions(
        ionic.target, model.predict_interval(graphs, 0.7), graphs
    )
    np.testing.assert_array_equal(drawn.coverage, expected.coverage)
    assert drawn.confidence_level == 0.7
    assert drawn.points_.get_label() == "plain"


@pytest.mark.parametrize(
    ("y", "intervals", "params", "message"),
    [
        (np.ones(59), np.ones((60, 2)), {}, "inconsistent numbers"),
        (np.ones((60, 2)), np.ones((60, 2)), {}, "y_true has shape"),
        (np.ones(60), np.ones((60, 3)), {}, "y_interval has shape"),
        (np.ones(60), np.full((60, 2), np.nan), {}, "y_interval contains NaN"),
        (np.ones(60), np.ones((60, 2)), {"min_crystals": 61}, "min_crystals=61"),
    ],
)
def test_coverage_of_what_does_not_match(graphs, y, intervals, params, message):
    with pytest.raises(ValueError, match=message):
        ElementCoverageDisplay.from_predictions(y, intervals, graphs, **params)
