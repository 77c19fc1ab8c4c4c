"""Scores of regressors, computed from the values that are known."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_cgcnn._messages import warn
from sklearn_cgcnn._sklearn_compat import StrOptions, validate_params
from sklearn_cgcnn.metrics._known_values import Target, known_values

_AVERAGES: list[Any] = [StrOptions({"raw_values", "uniform_average"}), "array-like"]
_R2_AVERAGES: list[Any] = [
    StrOptions({"raw_values", "uniform_average", "variance_weighted"}),
    "array-like",
]


@validate_params({"multioutput": _AVERAGES}, prefer_skip_nested_validation=True)
def mean_absolute_error(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
) -> float | NDArray[np.float64]:
    """Compute the mean absolute error over the known values.

    The error of each target is that of :func:`sklearn.metrics.mean_absolute_error` for
    the crystals whose value of this target is known.

    Parameters
    ----------
    y_true : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
        True values. NaN marks a missing value, which is left out.
    y_pred : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
        Predictions. A row of NaN marks a crystal without a prediction. It is left out,
        with a warning that counts such rows.
    sample_weight : array-like of shape (n_crystals,), default=None
        Sample weights. None gives every crystal the same weight.
    multioutput : {"raw_values", "uniform_average"} or array-like of shape \
            (n_outputs,), default="uniform_average"
        How the errors of several targets are averaged.

        - "raw_values" returns the error of each target. It is NaN, with a warning, if
          no value of the target is known.
        - "uniform_average" returns their mean.
        - An array holds the weight of each target in the mean.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        The error, or the error of each target with ``multioutput="raw_values"``.

    Raises
    ------
    ValueError
        If the shapes do not match, if a value is infinite, if every prediction is NaN
        or only some of those for a crystal are, or if no value of a target is known
        and the errors are averaged.

    See Also
    --------
    neg_mean_absolute_error : The scorer, for the parameter ``scoring``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cgcnn.metrics import mean_absolute_error
    >>> y_true = [[1.0, np.nan], [2.0, 10.0], [np.nan, 30.0]]
    >>> y_pred = [[1.5, 20.0], [2.0, 14.0], [9.0, 24.0]]
    >>> mean_absolute_error(y_true, y_pred, multioutput="raw_values")
    array([0.25, 5.  ])
    """
    targets = known_values(y_true, y_pred, sample_weight)
    scores = _score_each(targets, multioutput, metrics.mean_absolute_error)
    return _average(scores, multioutput)


@validate_params({"multioutput": _AVERAGES}, prefer_skip_nested_validation=True)
def root_mean_squared_error(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
) -> float | NDArray[np.float64]:
    """Compute the root mean squared error over the known values.

    The error of each target is that of :func:`sklearn.metrics.root_mean_squared_error`
    for the crystals whose value of this target is known.

    Parameters
    ----------
    y_true : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
        True values. NaN marks a missing value, which is left out.
    y_pred : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
        Predictions. A row of NaN marks a crystal without a prediction. It is left out,
        with a warning that counts such rows.
    sample_weight : array-like of shape (n_crystals,), default=None
        Sample weights. None gives every crystal the same weight.
    multioutput : {"raw_values", "uniform_average"} or array-like of shape \
            (n_outputs,), default="uniform_average"
        How the errors of several targets are averaged, as in
        :func:`mean_absolute_error`.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        The error, or the error of each target with ``multioutput="raw_values"``.

    Raises
    ------
    ValueError
        Under the same conditions as :func:`mean_absolute_error`.

    See Also
    --------
    neg_root_mean_squared_error : The scorer, for the parameter ``scoring``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cgcnn.metrics import root_mean_squared_error
    >>> root_mean_squared_error([1.0, np.nan, 3.0], [4.0, 0.0, 7.0])
    3.5355339059327378
    """
    targets = known_values(y_true, y_pred, sample_weight)
    scores = _score_each(targets, multioutput, metrics.root_mean_squared_error)
    return _average(scores, multioutput)


@validate_params(
    {"multioutput": _R2_AVERAGES, "force_finite": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def r2_score(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
    force_finite: bool = True,
) -> float | NDArray[np.float64]:
    """Compute R², the coefficient of determination, over the known values.

    The R² of each target is that of :func:`sklearn.metrics.r2_score` for the crystals
    whose value of this target is known.

    Parameters
    ----------
    y_true : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
        True values. NaN marks a missing value, which is left out.
    y_pred : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
        Predictions. A row of NaN marks a crystal without a prediction. It is left out,
        with a warning that counts such rows.
    sample_weight : array-like of shape (n_crystals,), default=None
        Sample weights. None gives every crystal the same weight.
    multioutput : {"raw_values", "uniform_average", "variance_weighted"} or array-like \
            of shape (n_outputs,), default="uniform_average"
        How the scores of several targets are averaged, as in
        :func:`mean_absolute_error`. "variance_weighted" weights each target by the sum
        of the squared deviations of its known values from their mean.
    force_finite : bool, default=True
        Whether the score of a target whose known values are all equal is 1.0 for exact
        predictions and 0.0 otherwise, instead of NaN and minus infinity.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        R², or the R² of each target with ``multioutput="raw_values"``. It is NaN, with
        a warning, if only one value is known, because R² needs two.

    Raises
    ------
    ValueError
        Under the same conditions as :func:`mean_absolute_error`.

    See Also
    --------
    r2 : The scorer, for the parameter ``scoring``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cgcnn.metrics import r2_score
    >>> r2_score([1.0, 2.0, 3.0, np.nan], [1.0, 2.0, 4.0, 0.0])
    0.5
    """
    targets = known_values(y_true, y_pred, sample_weight)
    metric = partial(metrics.r2_score, force_finite=force_finite)
    scores = _score_each(targets, multioutput, metric, n_needed=2)
    if _is(multioutput, "variance_weighted"):
        spreads = [_spread(target) for target in targets]
        multioutput = spreads if any(spreads) else "uniform_average"
    return _average(scores, multioutput)


def _score_each(
    targets: list[Target],
    multioutput: Any,
    metric: Callable[..., float],
    n_needed: int = 1,
) -> NDArray[np.float64]:
    """Return the score of each target, or NaN where it is undefined."""
    for target in targets:
        # The mean over the other targets would be a score of something else.
        if target.is_empty and not _is(multioutput, "raw_values"):
            raise ValueError(
                f"{target.name} has no known value with a prediction and a positive "
                "sample_weight, so that scores cannot be averaged; leave this target "
                'out, or pass multioutput="raw_values"'
            )
    return np.array([_score_one(target, metric, n_needed) for target in targets])


def _score_one(target: Target, metric: Callable[..., float], n_needed: int) -> float:
    n_known = 0 if target.is_empty else len(target.true)
    if n_known < n_needed:
        warn(
            f"the score of {target.name} is NaN, because too few of its values are "
            f"known (known: {n_known}, needed: {n_needed})",
            UndefinedMetricWarning,
        )
        return np.nan
    return metric(target.true, target.predicted, sample_weight=target.weights)


def _spread(target: Target) -> float:
    mean = np.average(target.true, weights=target.weights)
    return float(target.weights @ (target.true - mean) ** 2)


def _average(
    scores: NDArray[np.float64], multioutput: Any
) -> float | NDArray[np.float64]:
    if _is(multioutput, "raw_values"):
        return scores
    if _is(multioutput, "uniform_average"):
        return float(scores.mean())
    weights = np.asarray(multioutput, dtype=np.float64)
    if weights.shape != scores.shape or not np.isfinite(weights).all():
        raise ValueError(
            f"multioutput is {multioutput!r}, but weights must be one finite number "
            f"for each of the {len(scores)} targets"
        )
    if not weights.sum():
        raise ValueError(
            f"multioutput is {multioutput!r}, but the sum of weights must not be zero; "
            "pass a positive weight for at least one target"
        )
    return float(np.average(scores, weights=weights))


def _is(multioutput: Any, name: str) -> bool:
    return isinstance(multioutput, str) and multioutput == name
