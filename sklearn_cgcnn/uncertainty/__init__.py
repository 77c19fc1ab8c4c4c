"""How far a prediction can be trusted: ensembles, intervals, and scores of spreads."""

from sklearn_cgcnn.uncertainty._applicability import ApplicabilityDomain
from sklearn_cgcnn.uncertainty._conformal import ConformalRegressor
from sklearn_cgcnn.uncertainty._displays import (
    ErrorSpreadDisplay,
    SparsificationDisplay,
    SpreadCalibrationDisplay,
)
from sklearn_cgcnn.uncertainty._element_coverage import ElementCoverageDisplay
from sklearn_cgcnn.uncertainty._ensemble import EnsembleClassifier, EnsembleRegressor
from sklearn_cgcnn.uncertainty._scores import (
    binned_errors,
    calibration_curve,
    miscalibration_area,
    negative_log_likelihood,
    sparsification_area,
    sparsification_curve,
)
from sklearn_cgcnn.uncertainty._spread import SpreadRegressor

__all__ = [
    "ApplicabilityDomain",
    "ConformalRegressor",
    "ElementCoverageDisplay",
    "EnsembleClassifier",
    "EnsembleRegressor",
    "ErrorSpreadDisplay",
    "SparsificationDisplay",
    "SpreadCalibrationDisplay",
    "SpreadRegressor",
    "binned_errors",
    "calibration_curve",
    "miscalibration_area",
    "negative_log_likelihood",
    "sparsification_area",
    "sparsification_curve",
]
