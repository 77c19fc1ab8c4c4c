"""How far a prediction can be trusted: ensembles, intervals, and scores of spreads."""

from sklearn_cgcnn.uncertainty._conformal import ConformalRegressor
from sklearn_cgcnn.uncertainty._displays import (
    ErrorSpreadDisplay,
    SparsificationDisplay,
    SpreadCalibrationDisplay,
)
from sklearn_cgcnn.uncertainty._ensemble import EnsembleClassifier, EnsembleRegressor
from sklearn_cgcnn.uncertainty._scores import (
    binned_errors,
    calibration_curve,
    miscalibration_area,
    negative_log_likelihood,
    sparsification_area,
    sparsification_curve,
)

__all__ = [
    "ConformalRegressor",
    "EnsembleClassifier",
    "EnsembleRegressor",
    "ErrorSpreadDisplay",
    "SparsificationDisplay",
    "SpreadCalibrationDisplay",
    "binned_errors",
    "calibration_curve",
    "miscalibration_area",
    "negative_log_likelihood",
    "sparsification_area",
    "sparsification_curve",
]
