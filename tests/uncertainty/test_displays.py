"""Displays: what they store, where they draw, and what they say."""

import numpy as np
import pytest

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.uncertainty import (
    EnsembleRegressor,
    ErrorSpreadDisplay,
    SparsificationDisplay,
    SpreadCalibrationDisplay,
    binned_errors,
    sparsification_area,
)

DISPLAYS = [ErrorSpreadDisplay, SparsificationDisplay, SpreadCalibrationDisplay]


@pytest.fixture
def pyplot():
    """matplotlib.pyplot, whose figures are closed afterwards."""
    from matplotlib import pyplot as plt

    yield plt
    plt.close("all")


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
