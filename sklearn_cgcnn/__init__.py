"""Crystal graph convolutional neural networks as scikit-learn estimators."""

from sklearn_cgcnn._estimators import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer

__version__ = "0.1.0"

__all__ = [
    "CGCNNClassifier",
    "CGCNNRegressor",
    "CrystalGraphFeaturizer",
    "__version__",
]
