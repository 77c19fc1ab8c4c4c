"""Drawing of predicted against true values."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._display import Display
from sklearn_cgcnn.metrics import mean_absolute_error, r2_score


class ParityDisplay(Display):
    """Draw predicted against true values, as a histogram (paper, Figs. 2c and S4).

    The number of crystals in each bin is drawn on a logarithmic scale, so that single
    outliers are visible beside thousands of good predictions.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_known,)
        True and predicted values, without NaN.
    mae : float
        Mean absolute error.
    r2 : float
        Coefficient of determination.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What it was drawn on.
    bins_ : matplotlib PolyCollection
        The bins that are not empty, with their numbers of crystals.

    See Also
    --------
    sklearn_cgcnn.metrics.mean_absolute_error, sklearn_cgcnn.metrics.r2_score :
        The scores in the title.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cgcnn.inspection import ParityDisplay
    >>> display = ParityDisplay.from_predictions([1.0, 2.0, np.nan], [1.5, 2.0, 3.0])
    >>> display.mae, display.r2
    (0.25, 0.5)
    """

    bins_: Any

    def __init__(
        self,
        y_true: NDArray[np.float64],
        y_pred: NDArray[np.float64],
        mae: float,
        r2: float,
    ) -> None:
        self.y_true = y_true
        self.y_pred = y_pred
        self.mae = mae
        self.r2 = r2

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Predict, compute the scores, and draw.

        Parameters
        ----------
        estimator : estimator
            Fitted regressor.
        X : sequence of Structure, or CrystalGraphs
            The crystals, which the estimator was not trained on.
        y : array-like of shape (n_crystals,)
            True values. NaN marks a missing value, which is left out.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        ParityDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator is not a regressor.
        ValueError
            Under the same conditions as `from_predictions`.
        """
        if not is_regressor(estimator):
            raise TypeError(
                f"estimator is a {type(estimator).__name__}, which is not a regressor; "
                "for a classifier, use ConfusionMatrixDisplay of scikit-learn"
            )
        check_is_fitted(estimator)
        return cls.from_predictions(y, estimator.predict(X), ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls, y_true: Any, y_pred: Any, *, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Compute the scores, and draw.

        Parameters
        ----------
        y_true : array-like of shape (n_crystals,)
            True values. NaN marks a missing value, which is left out.
        y_pred : array-like of shape (n_crystals,)
            Predictions. NaN marks a crystal without a prediction, which is left out
            with a warning.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        ParityDisplay

        Raises
        ------
        ValueError
            If the lengths differ, a value is infinite, an array has several columns, or
            no crystal has both a true value and a prediction.
        """
        true, predicted = _one_target(y_true, "y_true"), _one_target(y_pred, "y_pred")
        mae = mean_absolute_error(true, predicted)  # warns of missing predictions
        is_known = ~np.isnan(true) & ~np.isnan(predicted)
        true, predicted = true[is_known], predicted[is_known]
        r2 = r2_score(true, predicted)
        return cls(true, predicted, float(mae), float(r2)).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the histogram and the diagonal, with the scores in the title.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        name : str, default=None
            What the title begins with, such as the name of the model or the target.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.hexbin`.

        Returns
        -------
        ParityDisplay
        """
        ax = self._begin(ax)
        ends = self._ends()
        self.bins_ = self._draw_bins(ends, kwargs)
        ax.plot(ends, ends, "k:", linewidth=1)
        self._add_color_bar()
        ax.set(aspect="equal", xlim=ends, ylim=ends)
        scores = f"MAE {self.mae:.3g}, R² {self.r2:.3f}"
        ax.set_title(scores if name is None else f"{name}: {scores}")
        ax.set(xlabel="true value", ylabel="predicted value")
        return self

    def _draw_bins(self, ends: tuple[float, float], kwargs: dict[str, Any]) -> Any:
        style: dict[str, Any] = {"gridsize": 50, "mincnt": 1, "linewidths": 0.2}
        style["extent"] = (*ends, *ends)
        style["bins"] = None if "norm" in kwargs else "log"
        bins = self.ax_.hexbin(self.y_true, self.y_pred, **{**style, **kwargs})
        if not {"C", "norm", "vmin", "vmax"} & kwargs.keys():
            # At least one decade, also if every bin holds a single crystal.
            bins.set_clim(1, max(10, bins.get_array().max()))
        return bins

    def _add_color_bar(self) -> None:
        from matplotlib.ticker import NullFormatter

        bar = self.figure_.colorbar(self.bins_, ax=self.ax_, label="crystals")
        bar.ax.yaxis.set_major_formatter("{x:.0f}")
        bar.ax.yaxis.set_minor_formatter(NullFormatter())

    def _ends(self) -> tuple[float, float]:
        """Return the ends of both axes, with a margin around all values."""
        values = np.concatenate([self.y_true, self.y_pred])
        low, high = float(values.min()), float(values.max())
        margin = 0.04 * (high - low) or 0.5
        return low - margin, high + margin


def _one_target(values: Any, name: str) -> NDArray[np.float64]:
    """Return a target as an array of one dimension. Scores check the rest."""
    array: NDArray[np.float64] = check_array(
        values,
        dtype=np.float64,
        ensure_2d=False,
        allow_nd=True,  # the message below is clearer
        ensure_all_finite=False,
        input_name=name,
    )
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}, but a display shows one target; pass one "
            f"column of y_true and y_pred to from_predictions, such as {name}[:, 0]"
        )
    return array
