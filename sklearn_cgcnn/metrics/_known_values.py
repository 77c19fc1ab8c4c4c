"""Select the values that a score is computed from, target by target."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from sklearn_cgcnn._messages import warn
from sklearn_cgcnn._validation import check_sample_weight


class Target(NamedTuple):
    """The known values of one target, with predictions and weights of their crystals.

    Attributes
    ----------
    name : str
        The target in error messages, such as ``"y_true[:, 1]"``.
    true, predicted, weights : ndarray of shape (n_known,), float64
        Known values, predictions and sample weights.
    """

    name: str
    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def is_empty(self) -> bool:
        """Whether no known value has a positive weight."""
        return not self.weights.any()


def known_values(y_true: Any, y_pred: Any, sample_weight: Any) -> list[Target]:
    """Check the arguments of a score, and return the known values of each target.

    Parameters
    ----------
    y_true : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
        True values. NaN marks a missing value.
    y_pred : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
        Predictions. A row of NaN marks a crystal without a prediction.
    sample_weight : array-like of shape (n_crystals,), float or None
        Sample weights.

    Returns
    -------
    list of Target

    Raises
    ------
    ValueError
        If the shapes differ, if a value is infinite, if there is no prediction, or if
        only some of the predictions for a crystal are NaN.
    """
    true, predicted = _as_columns(y_true, "y_true"), _as_columns(y_pred, "y_pred")
    if true.shape != predicted.shape:
        raise ValueError(
            f"y_true has shape {np.shape(y_true)} and y_pred has shape "
            f"{np.shape(y_pred)}; pass one prediction for each true value"
        )
    weights = check_sample_weight(sample_weight, len(true))
    rows = _rows_with_prediction(predicted)
    is_single = np.ndim(y_true) == 1
    targets = []
    for column in range(true.shape[1]):
        known = rows & ~np.isnan(true[:, column])
        name = "y_true" if is_single else f"y_true[:, {column}]"
        values = true[known, column], predicted[known, column], weights[known]
        targets.append(Target(name, *values))
    return targets


def _as_columns(values: Any, name: str) -> NDArray[np.float64]:
    """Return values as columns, after checking that none of them is infinite."""
    array: NDArray[np.float64] = check_array(
        values,
        dtype=np.float64,
        ensure_2d=False,
        allow_nd=True,  # the message below is clearer
        ensure_all_finite=False,
        input_name=name,
    )
    if array.ndim > 2 or 0 in array.shape:
        raise ValueError(
            f"{name} has shape {array.shape}, but must have shape (n_crystals,) or "
            "(n_crystals, n_outputs)"
        )
    infinite = np.argwhere(np.isinf(array))
    if len(infinite):
        entry = ", ".join(map(str, infinite[0]))
        raise ValueError(
            f"{name}[{entry}] is infinite, but scores need finite numbers; leave this "
            f"crystal out (infinite: {len(infinite)} of {array.size} values)"
        )
    return array.reshape(len(array), -1)


def _rows_with_prediction(predicted: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows have predictions, and warn of those that have none."""
    missing = np.isnan(predicted)
    # A crystal without a graph has no prediction at all. NaN in some of its columns is
    # the sign of another problem.
    partial = np.flatnonzero(missing.any(axis=1) & ~missing.all(axis=1))
    if len(partial):
        row, column = partial[0], int(missing[partial[0]].argmax())
        raise ValueError(
            f"y_pred[{row}, {column}] is NaN, but other predictions in row {row} are "
            "not; pass finite predictions, or NaN in the whole row to leave it out"
        )
    n_missing = int(missing[:, 0].sum())
    if n_missing == len(predicted):
        raise ValueError(
            "y_pred is NaN for every crystal, so that no score can be computed; pass "
            "at least one prediction"
        )
    if n_missing:
        warn(
            f"{n_missing} of {len(predicted)} crystals have no prediction (NaN in "
            "y_pred) and are left out of the score"
        )
    return ~missing[:, 0]
