"""Find the estimator of this package inside a Pipeline, a search or a frozen one."""

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_cgcnn._estimators._persistence import PersistentWeights


def unwrap(name: str, estimator: Any) -> PersistentWeights:
    """Return the regressor or classifier that an estimator is or ends in.

    Parameters
    ----------
    name : str
        Name of the argument, for messages.
    estimator : estimator
        A CGCNNRegressor or CGCNNClassifier, or a Pipeline, a search, a
        FrozenEstimator, a TransformedTargetRegressor or another estimator around one.

    Returns
    -------
    CGCNNRegressor or CGCNNClassifier
        Fitted or not.

    Raises
    ------
    TypeError
        If there is no such estimator.
    ValueError
        If a search is not fitted.
    """
    model = estimator
    while not isinstance(model, PersistentWeights):
        inner = contained_estimator(name, model)
        if inner is None:
            raise TypeError(
                f"{name} is or holds a {type(model).__name__}; pass a CGCNNRegressor "
                "or a CGCNNClassifier, or a Pipeline or a search that ends in one"
            )
        model = inner
    return model


def contained_estimator(name: str, model: Any) -> Any:
    """Return the estimator inside another one.

    Parameters
    ----------
    name : str
        Name of the argument, for messages.
    model : estimator
        A Pipeline, a search, a FrozenEstimator, or another estimator around one.

    Returns
    -------
    estimator or None
        None if there is nothing inside.

    Raises
    ------
    ValueError
        If a search is not fitted.
    """
    if isinstance(model, FrozenEstimator):
        return model.estimator
    if isinstance(model, Pipeline):
        return model.steps[-1][1]
    for fitted in ("best_estimator_", "regressor_", "estimator_"):
        if hasattr(model, fitted):
            return getattr(model, fitted)
    if hasattr(model, "estimator") and hasattr(model, "refit"):
        raise ValueError(
            f"{name} holds a {type(model).__name__} without best_estimator_; fit it, "
            "with refit=True"
        )
    return None
