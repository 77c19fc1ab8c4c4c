"""Graphs that several fits or predictions share, instead of each making its own."""

from typing import Any

from sklearn_cgcnn._estimators._base import BaseCGCNN
from sklearn_cgcnn._validation import check_crystals
from sklearn_cgcnn.graphs import AnyGraphs


def graphs_to_fit(estimator: Any, X: Any) -> Any:
    """Return the graphs that `fit` of an estimator would make of X.

    Parameters
    ----------
    estimator : estimator
        Fitted or not.
    X : sequence of Structure, or CrystalGraphs
        The crystals.

    Returns
    -------
    CrystalGraphs, or X itself
        X itself if X holds graphs, in memory or on disk. Also if the estimator is not
        one of this package: a Pipeline or a search may turn structures into graphs in a
        way of its own.
    """
    if not isinstance(estimator, BaseCGCNN) or isinstance(X, AnyGraphs):
        return X
    crystals = check_crystals(X, on_error=estimator._on_error())
    return estimator._make_featurizer(crystals).transform(crystals)


def graphs_to_predict(estimator: Any, X: Any) -> Any:
    """Return the graphs that `predict` of a fitted estimator would make of X.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : sequence of Structure, or CrystalGraphs
        The crystals.

    Returns
    -------
    CrystalGraphs, or X itself
        X itself if X holds graphs, in memory or on disk. Also if the estimator is not
        one of this package.
    """
    if not isinstance(estimator, BaseCGCNN) or isinstance(X, AnyGraphs):
        return X
    crystals = check_crystals(X, on_error=estimator.featurizer_.on_error)
    return estimator.featurizer_.transform(crystals)
