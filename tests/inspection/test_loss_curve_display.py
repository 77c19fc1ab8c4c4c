"""Curves of losses are those that the estimator recorded."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.inspection import LossCurveDisplay


@pytest.fixture
def validated(estimator, graphs, target):
    """Each estimator in turn, fitted with held-out crystals."""
    estimator.set_params(early_stopping=True)
    return estimator.fit(graphs[:40], target[:40], X_val=graphs[40:], y_val=target[40:])


def test_losses_are_drawn_by_epoch(validated, pyplot):
    display = LossCurveDisplay.from_estimator(validated, name="small")
    for line, name in zip(display.lines_, ("train", "valid"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        losses = validated.history_[f"{name}_loss"]
        np.testing.assert_array_equal(line.get_ydata(), losses)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    best = validated.best_epoch_
    assert labels == [
        "small, training",
        "small, validation",
        f"best epoch ({best})",
    ]
    assert display.ax_.lines[-1].get_xdata() == [best, best]
    display.figure_.canvas.draw()


def test_without_held_out_crystals_there_is_one_curve(
    estimator, graphs, target, pyplot
):
    estimator.fit(graphs, target)
    display = LossCurveDisplay.from_estimator(estimator, color="C4")
    (line,) = display.lines_
    assert display.ax_.lines[:] == [line]
    assert line.get_label() == "training"
    assert line.get_color() == "C4"
    assert display.valid_loss is None
    assert display.best_epoch is None


def test_epochs_that_were_not_recorded_are_gaps(graphs, ionic, pyplot):
    weights = CGCNNRegressor(**SMALL).fit(graphs, ionic.target).net_.module_
    model = CGCNNRegressor(**SMALL).load_weights(weights.state_dict(), n_epochs=2)
    with pytest.raises(ValueError, match="no losses, because its weights come from"):
        LossCurveDisplay.from_estimator(model)
    model.partial_fit(graphs, ionic.target)
    (line,) = LossCurveDisplay.from_estimator(model).lines_
    assert np.isnan(line.get_ydata()).tolist() == [True, True, False]
    # A line through one point would not be visible.
    assert line.get_marker() == "o"


def test_the_scale_is_logarithmic_for_positive_losses(pyplot):
    assert LossCurveDisplay([2.0, 1.0]).plot().ax_.get_yscale() == "log"
    assert LossCurveDisplay([2.0, 1.0], [2.0, -1.0]).plot().ax_.get_yscale() == "linear"
    assert LossCurveDisplay([2.0, 0.0]).plot().ax_.get_yscale() == "linear"


def test_epochs_are_integers(pyplot):
    for n_epochs in (1, 2, 3, 100):
        display = LossCurveDisplay(np.linspace(2, 1, n_epochs)).plot()
        display.figure_.canvas.draw()
        ticks = display.ax_.get_xticks()
        np.testing.assert_array_equal(ticks, ticks.round())


def test_it_draws_on_the_axes_given_and_again(pyplot):
    _, (first, second) = pyplot.subplots(1, 2)
    display = LossCurveDisplay([2.0, 1.0]).plot(first)
    assert display.ax_ is first
    assert display.plot(second) is display
    assert display.ax_ is second
    assert display.figure_ is second.figure


def test_pipelines_and_searches_are_accepted(ionic, pyplot):
    search = GridSearchCV(CGCNNRegressor(**SMALL), {"lr": [0.01]}, cv=2)
    pipeline = make_pipeline(CrystalGraphFeaturizer(), search)
    pipeline.fit(ionic.data, ionic.target)
    (line,) = LossCurveDisplay.from_estimator(pipeline).lines_
    losses = search.best_estimator_.history_["train_loss"]
    np.testing.assert_array_equal(line.get_ydata(), losses)


def test_what_has_no_losses_is_refused():
    with pytest.raises(TypeError, match="estimator is or holds a Ridge"):
        LossCurveDisplay.from_estimator(Ridge())
    with pytest.raises(ValueError, match="not fitted yet"):
        LossCurveDisplay.from_estimator(CGCNNRegressor())
