"""The regressor inside another one: what it is, what it predicts, how it is trained."""

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_cgcnn._validation import check_sample_weight


def check_regressor(model: Any) -> None:
    """Check that an estimator predicts numbers.

    Parameters
    ----------
    model : estimator
        What was passed as `estimator`.

    Raises
    ------
    TypeError
        If it is not a regressor.
    """
    if not is_regressor(model):
        remedy = "pass one"
        if is_classifier(model):
            remedy = "its predict_proba says how sure it is of a class"
        raise TypeError(
            f"estimator is a {type(model).__name__}, which is not a regressor; {remedy}"
        )


def predicts_spread(model: Any) -> bool:
    """Return whether the `predict` of a regressor can return a spread.

    Parameters
    ----------
    model : estimator
        The regressor.

    Returns
    -------
    bool
    """
    if isinstance(model, Pipeline):
        return predicts_spread(model.steps[-1][1])
    if hasattr(model, "_predicts_spread"):
        # An ensemble needs several members, and intervals pass on another's spread.
        can_predict: bool = model._predicts_spread
        return can_predict
    return "return_std" in inspect.signature(model.predict).parameters


def weights_to_fit(
    sample_weight: Any, n_crystals: int, estimator: Any
) -> NDArray[np.float64] | None:
    """Check the sample weights for the training of a regressor.

    Parameters
    ----------
    sample_weight : array-like of shape (n_crystals,) or None
        The weights.
    n_crystals : int
        Number of crystals.
    estimator : estimator or None
        The regressor.

    Returns
    -------
    ndarray of shape (n_crystals,) or None
        None without weights.

    Raises
    ------
    ValueError
        If the weights do not match the crystals, or if the regressor is frozen.
    """
    if sample_weight is None:
        return None
    if isinstance(estimator, FrozenEstimator):
        raise ValueError(
            "sample_weight has no effect on a frozen regressor, which is not trained; "
            "leave it out"
        )
    return check_sample_weight(sample_weight, n_crystals)


def weights_as_keyword(model: Any, sample_weight: Any) -> dict[str, Any]:
    """Return the argument that passes sample weights to the `fit` of an estimator.

    Parameters
    ----------
    model : estimator
        The estimator, or a Pipeline that ends in it.
    sample_weight : array-like of shape (n_crystals,) or None
        Sample weights.

    Returns
    -------
    dict of str to array-like
        Empty without weights, so that `fit` need not accept any.
    """
    if sample_weight is None:
        return {}
    # A Pipeline passes on weights that are named after the step that they are for.
    prefix, last = "", model
    while isinstance(last, Pipeline):
        step, last = last.steps[-1]
        prefix += f"{step}__"
    return {f"{prefix}sample_weight": sample_weight}
