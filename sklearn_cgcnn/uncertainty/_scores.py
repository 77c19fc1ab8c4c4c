"""How well predicted spreads describe the errors of predictions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from sklearn.utils import check_array, check_consistent_length


def negative_log_likelihood(y_true: Any, y_pred: Any, y_std: Any) -> float:
    r"""Compute the mean negative log likelihood of normal distributions.

    .. math:: \frac{1}{n} \sum_i \frac{1}{2} \ln(2 \pi \sigma_i^2)
        + \frac{(y_i - \hat y_i)^2}{2 \sigma_i^2}

    Lower is better. It rewards low errors and spreads that match them.

    Parameters
    ----------
    y_true : array-like of shape (n_crystals,)
        True values.
    y_pred : array-like of shape (n_crystals,)
        Predictions.
    y_std : array-like of shape (n_crystals,)
        Spreads (standard deviations) of the predictions.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the lengths differ, a value is not finite, or a spread is not positive.

    Examples
    --------
    >>> from sklearn_cgcnn.uncertainty import negative_log_likelihood
    >>> negative_log_likelihood([0.0, 1.0], [0.0, 1.0], [1.0, 1.0])
    0.918...
    """
    errors, spreads = _check(y_true, y_pred, y_std)
    logs = 0.5 * np.log(2 * np.pi * spreads**2)
    return float(np.mean(logs + 0.5 * (errors / spreads) ** 2))


def miscalibration_area(y_true: Any, y_pred: Any, y_std: Any) -> float:
    """Compute the area between the calibration curve and the diagonal.

    The curve has the confidence level of central intervals of normal distributions on
    the horizontal axis, and the share of true values in these intervals on the
    vertical one (Tran et al. 2020). 0 means calibrated. The largest value is 0.5.

    Parameters
    ----------
    y_true : array-like of shape (n_crystals,)
        True values.
    y_pred : array-like of shape (n_crystals,)
        Predictions.
    y_std : array-like of shape (n_crystals,)
        Spreads (standard deviations) of the predictions.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the lengths differ, a value is not finite, or a spread is not positive.

    References
    ----------
    K. Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020).

    Examples
    --------
    >>> from sklearn_cgcnn.uncertainty import miscalibration_area
    >>> miscalibration_area([0.0, 3.0], [0.0, 0.0], [1e6, 1e6])
    0.499...
    """
    levels, shares = calibration_curve(y_true, y_pred, y_std)
    # The curve is a staircase, which rises at each of `levels`.
    steps = np.diff(np.concatenate([[0.0], levels, [1.0]]))
    starts = np.concatenate([[0.0], levels])
    heights = np.concatenate([[0.0], shares])
    return float(_area_to_diagonal(starts, steps, heights).sum())


def calibration_curve(
    y_true: Any, y_pred: Any, y_std: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the share of true values within intervals of each confidence level.

    Parameters
    ----------
    y_true : array-like of shape (n_crystals,)
        True values.
    y_pred : array-like of shape (n_crystals,)
        Predictions.
    y_std : array-like of shape (n_crystals,)
        Spreads (standard deviations) of the predictions.

    Returns
    -------
    levels : ndarray of shape (n_crystals,)
        Confidence levels, in ascending order, at which the central interval of one more
        normal distribution contains the true value.
    shares : ndarray of shape (n_crystals,)
        Share of the true values that the intervals of this level contain.

    Raises
    ------
    ValueError
        If the lengths differ, a value is not finite, or a spread is not positive.

    Examples
    --------
    >>> from sklearn_cgcnn.uncertainty import calibration_curve
    >>> y_true, y_pred, y_std = [1.0, 2.0, 3.0], [1.1, 2.5, 1.0], [1.0, 1.0, 1.0]
    >>> levels, shares = calibration_curve(y_true, y_pred, y_std)
    >>> levels.round(2), shares.round(2)
    (array([0.08, 0.38, 0.95]), array([0.33, 0.67, 1.  ]))
    """
    errors, spreads = _check(y_true, y_pred, y_std)
    levels = np.sort(erf(np.abs(errors) / spreads / np.sqrt(2)))
    return levels, np.arange(1, len(levels) + 1) / len(levels)


def sparsification_curve(
    y_true: Any, y_pred: Any, y_std: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the error that is left if the most uncertain predictions are removed.

    Parameters
    ----------
    y_true : array-like of shape (n_crystals,)
        True values.
    y_pred : array-like of shape (n_crystals,)
        Predictions.
    y_std : array-like of shape (n_crystals,)
        Spreads, by which predictions are removed. Any score that rises with the
        uncertainty will do.

    Returns
    -------
    removed : ndarray of shape (n_crystals,)
        Share of the predictions that is removed, from 0 to nearly 1.
    errors : ndarray of shape (n_crystals,)
        Mean absolute error of those that are left.

    Raises
    ------
    ValueError
        If the lengths differ, a value is not finite, or a spread is not positive.

    Examples
    --------
    >>> from sklearn_cgcnn.uncertainty import sparsification_curve
    >>> y_true, y_pred, y_std = [1.0, 2.0, 3.0], [1.5, 3.0, 1.5], [0.1, 0.2, 0.3]
    >>> removed, errors = sparsification_curve(y_true, y_pred, y_std)
    >>> removed.round(2), errors.round(2)
    (array([0.  , 0.33, 0.67]), array([1.  , 0.75, 0.5 ]))
    """
    errors, spreads = _check(y_true, y_pred, y_std)
    ascending = np.abs(errors)[np.argsort(spreads, kind="stable")]
    counts = np.arange(1, len(errors) + 1)
    means = np.cumsum(ascending) / counts
    return 1 - counts[::-1] / len(errors), means[::-1]


def sparsification_area(y_true: Any, y_pred: Any, y_std: Any) -> float:
    """Compute the mean of the sparsification curve, relative to that of chance.

    1 is the expectation if the spread says nothing about the error. The lowest value is
    reached if the spread puts all errors in order (`y_std` proportional to the errors);
    it depends on their distribution, and is 0.5 if they are distributed uniformly.

    Parameters
    ----------
    y_true : array-like of shape (n_crystals,)
        True values.
    y_pred : array-like of shape (n_crystals,)
        Predictions.
    y_std : array-like of shape (n_crystals,)
        Spreads, by which predictions are removed.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the lengths differ, a value is not finite, or a spread is not positive.

    Examples
    --------
    >>> from sklearn_cgcnn.uncertainty import sparsification_area
    >>> round(sparsification_area([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]), 3)
    0.75
    """
    _, errors = sparsification_curve(y_true, y_pred, y_std)
    return float(errors.mean() / errors[0]) if errors[0] else 1.0


def binned_errors(
    y_true: Any, y_pred: Any, y_std: Any, n_bins: int = 10
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute spreads and errors in bins of equally many predictions.

    Parameters
    ----------
    y_true : array-like of shape (n_crystals,)
        True values.
    y_pred : array-like of shape (n_crystals,)
        Predictions.
    y_std : array-like of shape (n_crystals,)
        Spreads of the predictions, by which they are sorted into bins.
    n_bins : int, default=10
        Number of bins.

    Returns
    -------
    spreads : ndarray of shape (n_bins,)
        Root mean square spread of each bin.
    errors : ndarray of shape (n_bins,)
        Root mean square error of each bin.

    Raises
    ------
    ValueError
        If the lengths differ, a value is not finite, a spread is not positive, or there
        are fewer predictions than bins.

    Examples
    --------
    >>> from sklearn_cgcnn.uncertainty import binned_errors
    >>> y_true, y_pred = [1.0, 2.0, 3.0, 4.0], [1.1, 2.2, 2.9, 4.2]
    >>> spreads, errors = binned_errors(y_true, y_pred, [0.1, 0.3, 0.1, 0.3], n_bins=2)
    >>> spreads.round(2), errors.round(2)
    (array([0.1, 0.3]), array([0.1, 0.2]))
    """
    errors, spreads = _check(y_true, y_pred, y_std)
    if not 1 <= n_bins <= len(errors):
        raise ValueError(
            f"n_bins={n_bins} must be from 1 to the number of predictions, "
            f"{len(errors)}"
        )
    bins = np.array_split(np.argsort(spreads, kind="stable"), n_bins)
    means = [
        [np.mean(values[rows] ** 2) for rows in bins] for values in (spreads, errors)
    ]
    root: NDArray[np.float64] = np.sqrt(means)
    return root[0], root[1]


def _check(
    y_true: Any, y_pred: Any, y_std: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return errors and spreads of predictions."""
    named = {"y_true": y_true, "y_pred": y_pred, "y_std": y_std}
    arrays = {
        name: check_array(values, ensure_2d=False, dtype=np.float64, input_name=name)
        for name, values in named.items()
    }
    for name, values in arrays.items():
        if values.ndim != 1:
            raise ValueError(
                f"{name} has shape {values.shape}; pass one number per crystal"
            )
    check_consistent_length(*arrays.values())
    spreads: NDArray[np.float64] = arrays["y_std"]
    if not (spreads > 0).all():
        row = int(np.argmin(spreads > 0))
        raise ValueError(
            f"y_std[{row}] is {spreads[row]}, but spreads must be positive; leave this "
            "crystal out"
        )
    return arrays["y_true"] - arrays["y_pred"], spreads


def _area_to_diagonal(
    starts: NDArray[np.float64],
    steps: NDArray[np.float64],
    heights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Integrate |height - x| for x from each start over each step."""
    ends = starts + steps
    # The integral of |h - x| from a to b, by its antiderivative.
    below = (starts - heights) * np.abs(starts - heights)
    above = (ends - heights) * np.abs(ends - heights)
    return (above - below) / 2
