"""The regressor and the classifier."""

from sklearn_cgcnn._estimators._classifier import CGCNNClassifier
from sklearn_cgcnn._estimators._regressor import CGCNNRegressor

__all__ = ["CGCNNClassifier", "CGCNNRegressor"]
