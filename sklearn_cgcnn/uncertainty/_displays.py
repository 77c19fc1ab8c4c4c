"""Drawings of how well spreads describe the errors of predictions."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._display import Display
from sklearn_cgcnn.uncertainty._scores import (
    binned_errors,
    calibration_curve,
    miscalibration_area,
    sparsification_area,
    sparsification_curve,
)


class _SpreadDisplay(Display, ABC):
    """Base class of the displays of predictions with a spread."""

    @classmethod
    @abstractmethod
    def from_predictions(
        cls, y_true: Any, y_pred: Any, y_std: Any, *, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Compute and draw."""

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Predict mean and spread, compute, and draw.

        Parameters
        ----------
        estimator : estimator
            Fitted regressor with ``predict(X, return_std=True)``.
        X : sequence of Structure, or CrystalGraphs
            The crystals, which the estimator was not trained on.
        y : array-like of shape (n_crystals,)
            True values.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `from_predictions`.

        Returns
        -------
        display
            The object that holds what was computed, and the drawing.
        """
        check_is_fitted(estimator)
        mean, std = estimator.predict(X, return_std=True)
        return cls.from_predictions(y, mean, std, ax=ax, **kwargs)


class SpreadCalibrationDisplay(_SpreadDisplay):
    """Draw the share of true values in intervals against their confidence level.

    Parameters
    ----------
    levels : ndarray of shape (n_crystals,)
        Confidence levels of central intervals of normal distributions.
    shares : ndarray of shape (n_crystals,)
        Share of the true values in these intervals.
    area : float
        Area between this curve and the diagonal.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What it was drawn on.
    line_ : matplotlib Artist
        The curve.

    See Also
    --------
    calibration_curve, miscalibration_area : What is drawn.

    Examples
    --------
    >>> from sklearn_cgcnn.uncertainty import SpreadCalibrationDisplay
    >>> y_true, y_pred, y_std = [1.0, 2.0, 3.0], [1.1, 2.5, 1.0], [1.0, 1.0, 1.0]
    >>> display = SpreadCalibrationDisplay.from_predictions(y_true, y_pred, y_std)
    >>> round(display.area, 2)
    0.12
    """

    def __init__(
        self, levels: NDArray[np.float64], shares: NDArray[np.float64], area: float
    ) -> None:
        self.levels = levels
        self.shares = shares
        self.area = area

    @classmethod
    def from_predictions(
        cls, y_true: Any, y_pred: Any, y_std: Any, *, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Compute the curve, and draw it.

        Parameters
        ----------
        y_true, y_pred, y_std : array-like of shape (n_crystals,)
            True values, predictions, and their spreads.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        SpreadCalibrationDisplay
        """
        levels, shares = calibration_curve(y_true, y_pred, y_std)
        area = miscalibration_area(y_true, y_pred, y_std)
        return cls(levels, shares, area).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curve and the diagonal.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        name : str, default=None
            What the curve is called in the legend.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        SpreadCalibrationDisplay
        """
        ax = self._begin(ax)
        label = _labelled(name, f"area {self.area:.3f}")
        ends = np.array([0.0, 1.0])
        levels, shares = (
            np.concatenate([ends[:1], each, ends[1:]])
            for each in (self.levels, self.shares)
        )
        style = {"drawstyle": "steps-post", "label": label, **kwargs}
        (self.line_,) = ax.plot(levels, shares, **style)
        ax.plot(ends, ends, "k:", linewidth=1)
        ax.set(xlabel="confidence level", ylabel="share of true values in the interval")
        ax.set(aspect="equal", xlim=(0, 1), ylim=(0, 1))
        ax.legend(loc="upper left")
        return self


class ErrorSpreadDisplay(_SpreadDisplay):
    """Draw errors against spreads, in bins of equally many predictions.

    Parameters
    ----------
    spreads : ndarray of shape (n_bins,)
        Root mean square spread of each bin.
    errors : ndarray of shape (n_bins,)
        Root mean square error of each bin. Equal to the spread if it is calibrated.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What it was drawn on.
    line_ : matplotlib Artist
        The points.

    Examples
    --------
    >>> from sklearn_cgcnn.uncertainty import ErrorSpreadDisplay
    >>> y_true, y_pred = [1.0, 2.0, 3.0, 4.0], [1.1, 2.2, 2.9, 4.2]
    >>> y_std = [0.1, 0.3, 0.1, 0.3]
    >>> display = ErrorSpreadDisplay.from_predictions(y_true, y_pred, y_std, n_bins=2)
    >>> display.spreads.round(2), display.errors.round(2)
    (array([0.1, 0.3]), array([0.1, 0.2]))
    """

    def __init__(
        self, spreads: NDArray[np.float64], errors: NDArray[np.float64]
    ) -> None:
        self.spreads = spreads
        self.errors = errors

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        y_std: Any,
        *,
        n_bins: int = 10,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Compute errors and spreads of the bins, and draw them.

        Parameters
        ----------
        y_true, y_pred, y_std : array-like of shape (n_crystals,)
            True values, predictions, and their spreads.
        n_bins : int, default=10
            Number of bins.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        ErrorSpreadDisplay
        """
        return cls(*binned_errors(y_true, y_pred, y_std, n_bins)).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the bins and the diagonal.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        name : str, default=None
            What the points are called in the legend.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        ErrorSpreadDisplay
        """
        ax = self._begin(ax)
        style = {"marker": "o", "label": name, **kwargs}
        (self.line_,) = ax.plot(self.spreads, self.errors, **style)
        ends = np.array([0.0, max(self.spreads.max(), self.errors.max())])
        ax.plot(ends, ends, "k:", linewidth=1)
        ax.set(xlabel="spread (root mean square)", ylabel="error (root mean square)")
        if name is not None:
            ax.legend(loc="upper left")
        return self


class SparsificationDisplay(_SpreadDisplay):
    """Draw the error that is left when the most uncertain predictions are removed.

    Parameters
    ----------
    removed : ndarray of shape (n_crystals,)
        Share of the predictions that is removed.
    errors : ndarray of shape (n_crystals,)
        Mean absolute error of those that are left.
    lowest : ndarray of shape (n_crystals,)
        The same, if predictions are removed by their error.
    area : float
        Mean of `errors`, relative to the first of them.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What it was drawn on.
    line_ : matplotlib Artist
        The curve.

    See Also
    --------
    sparsification_curve, sparsification_area : What is drawn.

    Examples
    --------
    >>> from sklearn_cgcnn.uncertainty import SparsificationDisplay
    >>> y_true, y_pred, y_std = [1.0, 2.0, 3.0], [1.5, 3.0, 1.5], [0.1, 0.2, 0.3]
    >>> display = SparsificationDisplay.from_predictions(y_true, y_pred, y_std)
    >>> round(display.area, 2)
    0.75
    """

    def __init__(
        self,
        removed: NDArray[np.float64],
        errors: NDArray[np.float64],
        lowest: NDArray[np.float64],
        area: float,
    ) -> None:
        self.removed = removed
        self.errors = errors
        self.lowest = lowest
        self.area = area

    @classmethod
    def from_predictions(
        cls, y_true: Any, y_pred: Any, y_std: Any, *, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Compute the curve, and draw it.

        Parameters
        ----------
        y_true, y_pred, y_std : array-like of shape (n_crystals,)
            True values, predictions, and their spreads.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        SparsificationDisplay
        """
        removed, errors = sparsification_curve(y_true, y_pred, y_std)
        sizes = np.abs(np.subtract(y_true, y_pred, dtype=np.float64))
        # Errors may be zero, but what predictions are removed by must be positive.
        _, lowest = sparsification_curve(y_true, y_pred, sizes + 1e-300)
        area = sparsification_area(y_true, y_pred, y_std)
        return cls(removed, errors, lowest, area).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curve, and that of the errors themselves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        name : str, default=None
            What the curve is called in the legend.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        SparsificationDisplay
        """
        ax = self._begin(ax)
        label = _labelled(name, f"area {self.area:.3f}")
        (self.line_,) = ax.plot(self.removed, self.errors, **{"label": label, **kwargs})
        ax.plot(self.removed, self.lowest, "k:", linewidth=1, label="by the error")
        ax.set(xlabel="share removed", ylabel="mean absolute error of the rest")
        ax.set(xlim=(0, 1), ylim=(0, None))
        ax.legend()
        return self


def _labelled(name: str | None, value: str) -> str:
    return value if name is None else f"{name} ({value})"
