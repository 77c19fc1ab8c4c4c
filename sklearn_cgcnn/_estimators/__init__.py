"""The estimators: regressor, classifier, and a transformer of their vectors."""

from sklearn_cgcnn._estimators._class_targets import most_probable
from sklearn_cgcnn._estimators._classifier import CGCNNClassifier
from sklearn_cgcnn._estimators._embedder import CrystalEmbedder
from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn._estimators._regressor import CGCNNRegressor
from sklearn_cgcnn._estimators._sharing import (
    collect_graphs,
    graphs_to_fit,
    graphs_to_predict,
)
from sklearn_cgcnn._estimators._unwrap import contained_estimator, unwrap

__all__ = [
    "CGCNNClassifier",
    "CGCNNRegressor",
    "CrystalEmbedder",
    "NetworkSpec",
    "collect_graphs",
    "contained_estimator",
    "graphs_to_fit",
    "graphs_to_predict",
    "most_probable",
    "unwrap",
]
