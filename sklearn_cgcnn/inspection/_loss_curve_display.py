"""Drawing of the losses of a training."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._display import Display
from sklearn_cgcnn._estimators import unwrap


class LossCurveDisplay(Display):
    """Draw the losses of a training against its epochs.

    Losses of the training crystals are means over the batches of an epoch, while the
    weights changed. Those of the held-out crystals belong to the weights at its end.

    Parameters
    ----------
    train_loss : array-like of shape (n_epochs,)
        Loss of each epoch. NaN where none was recorded.
    valid_loss : array-like of shape (n_epochs,) or None, default=None
        Loss on the held-out crystals after each epoch. None if there were none.
    best_epoch : int or None, default=None
        The epoch whose weights were restored, counted from 1.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What it was drawn on.
    lines_ : list of matplotlib Line2D
        The curve of the training crystals, and that of the held-out ones, if any.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Draws scores against the number of
        training crystals.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import LossCurveDisplay
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> held_out = {"X_val": structures[30:], "y_val": energy[30:]}
    >>> model = CGCNNRegressor(max_epochs=5, random_state=0)
    >>> model = model.fit(structures[:30], energy[:30], **held_out)
    >>> display = LossCurveDisplay.from_estimator(model)
    >>> len(display.train_loss), len(display.valid_loss)
    (5, 5)
    """

    lines_: list[Any]

    def __init__(
        self,
        train_loss: ArrayLike,
        valid_loss: ArrayLike | None = None,
        best_epoch: int | None = None,
    ) -> None:
        self.train_loss = train_loss
        self.valid_loss = valid_loss
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Read the losses of a fitted estimator, and draw them.

        Parameters
        ----------
        estimator : CGCNNRegressor, CGCNNClassifier, or estimator that ends in one
            Fitted estimator. A Pipeline or a search may contain it.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If `estimator` does not contain an estimator of this package.
        ValueError
            If no loss was recorded, because the weights were loaded.
        """
        model: Any = unwrap("estimator", estimator)
        check_is_fitted(model)
        history = model.history_
        if np.isnan(history["train_loss"]).all():
            raise ValueError(
                "estimator has no losses, because its weights come from load_weights "
                "or a checkpoint, and it was not trained; train it with fit or "
                "partial_fit"
            )
        losses = history["train_loss"], history.get("valid_loss")
        return cls(*losses, model.best_epoch_).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curves, and a vertical line at the epoch that was restored.

        The scale of losses is logarithmic if all of them are positive.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        name : str, default=None
            What the training is called in the legend.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot`, for both curves.

        Returns
        -------
        LossCurveDisplay
        """
        ax = self._begin(ax)
        curves = {"training": self.train_loss, "validation": self.valid_loss}
        self.lines_ = [
            self._plot_curve(np.asarray(losses, dtype=np.float64), part, name, kwargs)
            for part, losses in curves.items()
            if losses is not None
        ]
        if self.best_epoch is not None:
            label = f"best epoch ({self.best_epoch})"
            ax.axvline(self.best_epoch, color="k", ls=":", linewidth=1, label=label)
        if all(np.nanmin(line.get_ydata()) > 0 for line in self.lines_):
            ax.set_yscale("log")
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        ax.set(xlabel="epoch", ylabel="loss")
        ax.legend()
        return self

    def _plot_curve(
        self, losses: Any, part: str, name: str | None, kwargs: dict[str, Any]
    ) -> Any:
        style = {"label": part if name is None else f"{name}, {part}"}
        if np.isfinite(losses).sum() == 1:  # a line through one point is not visible
            style["marker"] = "o"
        epochs = np.arange(1, len(losses) + 1)
        (line,) = self.ax_.plot(epochs, losses, **{**style, **kwargs})
        return line
