"""Errors, coverage and calibration, for the card of a model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.uncertainty import ConformalRegressor

FOLDS = KFold(5, shuffle=True, random_state=0)
_LEVEL, _N_SPLITS = 0.9, 20


def scores(
    truth: NDArray[np.float64], predictions: NDArray[np.float64], mean: float
) -> dict[str, Any]:
    """Return errors of predictions, and of predicting the mean.

    Parameters
    ----------
    truth, predictions : ndarray of shape (n_crystals,)
        True and predicted values.
    mean : float
        Mean of the training crystals.

    Returns
    -------
    dict of str to float
    """
    errors = np.abs(predictions - truth)
    return {
        "mean absolute error": _rounded(errors.mean()),
        "median absolute error": _rounded(np.median(errors)),
        "mean absolute deviation of the property": _rounded(
            np.abs(truth - mean).mean()
        ),
    }


def mean_coverage(
    spread: FrozenEstimator, graphs: CrystalGraphs, y: NDArray[np.float64]
) -> float:
    """Return the share of values in 90 % intervals.

    Intervals are calibrated with half of the crystals and tested on the other half, in
    20 random divisions.

    Parameters
    ----------
    spread : FrozenEstimator
        Predicts values and spreads.
    graphs : CrystalGraphs
        Crystals that it has not learned from.
    y : ndarray of shape (n_crystals,)
        True values.

    Returns
    -------
    float
    """
    coverage = []
    for seed in range(_N_SPLITS):
        order = np.random.RandomState(seed).permutation(len(y))
        calibration, test = np.array_split(order, 2)
        model = ConformalRegressor(spread).fit(graphs[calibration], y[calibration])
        low, high = model.predict_interval(graphs[test], _LEVEL).T
        coverage.append(np.mean((low <= y[test]) & (y[test] <= high)))
    return round(float(np.mean(coverage)), 3)


def cross_validated(
    truth: NDArray[np.float64],
    predictions: NDArray[np.float64],
    coverage: Sequence[float],
) -> dict[str, Any]:
    """Return the results of a cross-validation.

    Parameters
    ----------
    truth, predictions : ndarray of shape (n_crystals,)
        True values, and predictions of models that were trained without the crystal.
    coverage : sequence of float
        Coverage of each fold.

    Returns
    -------
    dict of str to float
    """
    error = np.abs(predictions - truth).mean()
    return {
        "cross-validated mean absolute error, five folds": _rounded(error),
        "cross-validated coverage of 90 % intervals": round(
            float(np.mean(coverage)), 3
        ),
    }


def scores_of_classes(
    truth: NDArray[np.float64], probabilities: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the area under the ROC curve, and the expected calibration error.

    Parameters
    ----------
    truth : ndarray of shape (n_crystals,)
        One for the class, zero for others.
    probabilities : ndarray of shape (n_crystals,)
        Predicted probabilities of the class.

    Returns
    -------
    dict of str to float
    """
    bins = np.array_split(np.argsort(probabilities), 15)
    gaps = [abs(probabilities[each].mean() - truth[each].mean()) for each in bins]
    sizes = [len(each) for each in bins]
    return {
        "area under the ROC curve": _rounded(roc_auc_score(truth, probabilities)),
        "accuracy": _rounded(np.mean((probabilities > 0.5) == truth)),
        "calibration error": _rounded(np.average(gaps, weights=sizes)),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
