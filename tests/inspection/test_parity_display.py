"""Histogram of predicted against true values: bins, scores, and what is left out."""

import warnings

import numpy as np
import pytest
from matplotlib.colors import LogNorm, Normalize
from sklearn.pipeline import make_pipeline

from helpers import SMALL
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.inspection import ParityDisplay
from sklearn_cgcnn.uncertainty import EnsembleRegressor


@pytest.fixture
def values():
    """True and predicted values."""
    rng = np.random.RandomState(0)
    true = rng.normal(size=500)
    return true, true + 0.1 * rng.normal(size=500)


def nearest_bins(display, gridsize=50):
    """For each crystal, the nearest of the bins, by trying all of them.

    Hexagons are slightly stretched, and regular in the units of the grid.
    """
    low, high = display.ax_.get_xlim()
    width, height = (high - low) / gridsize, (high - low) / int(gridsize / 3**0.5)
    centers = display.bins_.get_offsets()
    across = (display.y_true[:, None] - centers[:, 0]) / width
    up = (display.y_pred[:, None] - centers[:, 1]) / height
    return (across**2 + 3 * up**2).argmin(axis=1)


def test_bins_count_crystals(values, pyplot):
    display = ParityDisplay.from_predictions(*values)
    counts = display.bins_.get_array()
    assert counts.sum() == 500
    assert counts.min() >= 1
    expected = np.bincount(nearest_bins(display), minlength=len(counts))
    np.testing.assert_array_equal(counts, expected)
    assert isinstance(display.bins_.norm, LogNorm)
    assert display.bins_.get_clim() == (1, max(10, counts.max()))
    display.figure_.canvas.draw()


def test_the_scores_are_in_the_title(values, pyplot):
    true, predicted = values
    display = ParityDisplay.from_predictions(true, predicted, name="band gap")
    mae = abs(true - predicted).mean()
    r2 = 1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum()
    assert display.mae == pytest.approx(mae)
    assert display.r2 == pytest.approx(r2)
    assert display.ax_.get_title() == f"band gap: MAE {mae:.3g}, R² {r2:.3f}"


def test_both_axes_are_equal_and_hold_all_values(values, pyplot):
    true, predicted = values
    display = ParityDisplay.from_predictions(true, predicted + 7)
    low, high = display.ax_.get_xlim()
    assert display.ax_.get_ylim() == (low, high)
    assert low < true.min()
    assert high > predicted.max() + 7
    assert display.ax_.get_aspect() == 1
    (diagonal,) = display.ax_.lines
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    # Equal values have no range.
    display = ParityDisplay.from_predictions([2.0, 2.0], [2.0, 2.0])
    assert display.ax_.get_xlim() == (1.5, 2.5)
    assert display.bins_.get_clim() == (1, 10)
    display.figure_.canvas.draw()


def test_unknown_values_are_left_out(values, pyplot):
    true, predicted = (each.copy() for each in values)
    true[:100] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display = ParityDisplay.from_predictions(true, predicted)
    np.testing.assert_array_equal(display.y_true, values[0][100:])
    np.testing.assert_array_equal(display.y_pred, values[1][100:])
    assert display.bins_.get_array().sum() == 400
    predicted[50:150] = np.nan
    with pytest.warns(UserWarning, match="100 of 500 crystals") as caught:
        display = ParityDisplay.from_predictions(true, predicted)
    assert len(caught) == 1
    np.testing.assert_array_equal(display.y_true, values[0][150:])
    error = abs(values[0] - values[1])[150:].mean()
    assert display.mae == pytest.approx(error)


def test_the_user_chooses_bins_and_colors(values, pyplot):
    display = ParityDisplay.from_predictions(*values, gridsize=8, cmap="magma", vmax=30)
    assert len(display.bins_.get_array()) < 40
    assert display.bins_.get_cmap().name == "magma"
    assert isinstance(display.bins_.norm, LogNorm)
    assert display.bins_.get_clim()[1] == 30
    display = ParityDisplay.from_predictions(*values, norm=Normalize(0, 5))
    assert type(display.bins_.norm) is Normalize
    assert display.bins_.get_clim() == (0, 5)


def test_it_draws_on_the_axes_given_and_again(values, pyplot):
    _, (first, second) = pyplot.subplots(1, 2)
    display = ParityDisplay.from_predictions(*values, ax=first)
    assert display.ax_ is first
    assert display.plot(second) is display
    assert display.ax_ is second
    assert display.figure_ is second.figure


@pytest.mark.parametrize(
    "model",
    [
        CGCNNRegressor(**SMALL),
        make_pipeline(CrystalGraphFeaturizer(), CGCNNRegressor(**SMALL)),
        EnsembleRegressor(CGCNNRegressor(**SMALL), 2, random_state=0),
    ],
    ids=["regressor", "pipeline", "ensemble"],
)
def test_from_an_estimator_as_from_its_predictions(model, ionic, pyplot):
    model.fit(ionic.data, ionic.target)
    display = ParityDisplay.from_estimator(model, ionic.data, ionic.target, name="a")
    expected = ParityDisplay.from_predictions(ionic.target, model.predict(ionic.data))
    np.testing.assert_array_equal(display.y_pred, expected.y_pred)
    assert (display.mae, display.r2) == (expected.mae, expected.r2)
    assert display.ax_.get_title().startswith("a: MAE")


def test_what_does_not_match_is_refused(values, ionic):
    true, predicted = values
    classifier = CGCNNClassifier(**SMALL).fit(ionic.data, ionic.prototype)
    with pytest.raises(TypeError, match=r"CGCNNClassifier, which is not a regressor"):
        ParityDisplay.from_estimator(classifier, ionic.data, ionic.prototype)
    with pytest.raises(ValueError, match=r"y_pred has shape \(500, 2\).* y_pred\[:, 0"):
        ParityDisplay.from_predictions(true, np.column_stack([predicted] * 2))
    with pytest.raises(ValueError, match=r"y_true has shape \(500,\) and y_pred has"):
        ParityDisplay.from_predictions(true, predicted[1:])
    with pytest.raises(ValueError, match=r"y_true\[0\] is infinite"):
        ParityDisplay.from_predictions([np.inf, 1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="y_true has no known value"):
        ParityDisplay.from_predictions([np.nan], [1.0])


def test_one_column_is_one_target(values, pyplot):
    true, predicted = values
    display = ParityDisplay.from_predictions(true[:, None], predicted)
    assert display.y_true.shape == (500,)
