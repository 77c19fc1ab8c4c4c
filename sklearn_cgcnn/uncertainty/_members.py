"""The fitted networks inside an estimator, of which an ensemble has several."""

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._estimators import (
    CGCNNClassifier,
    CGCNNRegressor,
    contained_estimator,
    graphs_to_fit,
    graphs_to_predict,
    unwrap,
)
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn.uncertainty._ensemble import BaseEnsemble


def networks_of(estimator: Any) -> list[Any]:
    """Return the fitted regressors or classifiers that an estimator consists of.

    Parameters
    ----------
    estimator : estimator
        Fitted: a CGCNNRegressor or a CGCNNClassifier, an ensemble of them, a Pipeline
        or a search that ends in one, or an estimator of this package around any of
        these.

    Returns
    -------
    list of CGCNNRegressor or CGCNNClassifier

    Raises
    ------
    TypeError
        If there is no estimator of this package inside.
    """
    inner = estimator
    while not isinstance(inner, BaseEnsemble):
        contained = contained_estimator("estimator", inner)
        if contained is None:
            return [unwrap("estimator", inner)]
        inner = contained
    return [unwrap("estimator", member) for member in inner.estimators_]


def shared_graphs(estimator: Any, X: Any) -> Any:
    """Return the graphs that `fit` would make of X, so that they are made only once.

    Parameters
    ----------
    estimator : estimator
        Fitted or not.
    X : sequence of Structure, or CrystalGraphs
        The crystals.

    Returns
    -------
    CrystalGraphs, or X itself
        X itself if a Pipeline or a search may make graphs in a way of its own.

    Raises
    ------
    NotFittedError
        If the estimator is frozen and not fitted.
    TypeError
        If there is no estimator of this package inside.
    """
    _check_kind(estimator)
    inner = _thawed(estimator)
    if isinstance(estimator, FrozenEstimator):
        check_is_fitted(inner)
        first = inner.estimators_[0] if isinstance(inner, BaseEnsemble) else inner
        return graphs_to_predict(first, X)
    if isinstance(inner, BaseEnsemble):
        inner = inner._untrained_member()
    return graphs_to_fit(inner, X)


def _check_kind(estimator: Any) -> None:
    """Raise a TypeError if there is no estimator of this package inside."""
    inner = estimator
    while not isinstance(inner, CGCNNRegressor | CGCNNClassifier):
        if isinstance(inner, Pipeline):
            _check_steps(inner)
            inner = inner.steps[-1][1]
        elif isinstance(inner, BaseEnsemble):
            inner = inner._untrained_member()
        elif hasattr(inner, "estimator"):
            inner = inner.estimator
        elif hasattr(inner, "regressor"):
            inner = inner.regressor
        else:
            raise TypeError(
                f"estimator is or holds a {type(inner).__name__}; pass a "
                "CGCNNRegressor or a CGCNNClassifier, an ensemble of them, or a "
                "Pipeline or a search that ends in one"
            )


def _check_steps(pipeline: Pipeline) -> None:
    """Refuse steps that may change crystals, which are compared as they are given."""
    for name, step in pipeline.steps[:-1]:
        if not isinstance(step, CrystalGraphFeaturizer):
            raise TypeError(
                f"the step {name!r} of the Pipeline is a {type(step).__name__}, which "
                "may change crystals; make the estimator that you call here the last "
                "step of the Pipeline instead"
            )


def _thawed(estimator: Any) -> Any:
    is_frozen = isinstance(estimator, FrozenEstimator)
    return estimator.estimator if is_frozen else estimator
