"""Coverage of prediction intervals for the crystals of each element."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._display import Display
from sklearn_cgcnn.metrics import crystal_groups


class ElementCoverageDisplay(Display):
    """Draw the coverage of prediction intervals for the crystals of each element.

    Intervals that cover 90 % of all crystals may cover fewer of those with a certain
    element. A crystal counts for each element that it contains.

    Parameters
    ----------
    elements : list of str
        Symbols of the elements, by atomic number.
    coverage : ndarray of shape (n_elements,)
        Share of the crystals with this element whose true value is in the interval.
    counts : ndarray of shape (n_elements,)
        Number of crystals with this element.
    confidence_level : float
        The share that was asked for.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        What it was drawn on.
    points_ : matplotlib ErrorbarContainer
        The coverage. Error bars are the standard deviation that coverage has by chance
        if the confidence level holds for the element.

    See Also
    --------
    ConformalRegressor : Predicts the intervals.

    Examples
    --------
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.uncertainty import ElementCoverageDisplay
    >>> structures, energy = make_ionic_crystals(60, random_state=0, return_X_y=True)
    >>> intervals = [[-20.0, 0.0]] * 60
    >>> display = ElementCoverageDisplay.from_predictions(energy, intervals, structures)
    >>> display.elements  # those in at least ten crystals
    ['F', 'Te']
    """

    points_: Any

    def __init__(
        self,
        elements: list[str],
        coverage: NDArray[np.float64],
        counts: NDArray[np.intp],
        confidence_level: float,
    ) -> None:
        self.elements = elements
        self.coverage = coverage
        self.counts = counts
        self.confidence_level = confidence_level

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        confidence_level: float = 0.9,
        min_crystals: int = 10,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Predict intervals, compute their coverage by element, and draw it.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict_interval(X, confidence_level)``.
        X : sequence of Structure, or CrystalGraphs
            The crystals, which the estimator was not fitted on.
        y : array-like of shape (n_crystals,)
            True values.
        confidence_level : float, default=0.9
            Share of the true values that intervals are to contain.
        min_crystals : int, default=10
            Elements in fewer crystals are left out.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        ElementCoverageDisplay
        """
        check_is_fitted(estimator)
        intervals = estimator.predict_interval(X, confidence_level)
        return cls.from_predictions(
            y,
            intervals,
            X,
            confidence_level=confidence_level,
            min_crystals=min_crystals,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_interval: Any,
        X: Any,
        *,
        confidence_level: float = 0.9,
        min_crystals: int = 10,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Compute coverage by element, and draw it.

        Parameters
        ----------
        y_true : array-like of shape (n_crystals,)
            True values.
        y_interval : array-like of shape (n_crystals, 2)
            Lower and upper ends of the intervals.
        X : sequence of Structure, or CrystalGraphs
            The crystals.
        confidence_level : float, default=0.9
            Share of the true values that intervals are to contain.
        min_crystals : int, default=10
            Elements in fewer crystals are left out.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        ElementCoverageDisplay

        Raises
        ------
        ValueError
            If the lengths differ, a value is not finite, `y_true` has several columns,
            `y_interval` does not have two, or no element is in `min_crystals` crystals.
        """
        is_covered = _is_covered(y_true, y_interval)
        check_consistent_length(is_covered, X)
        systems = crystal_groups(X, by="chemical_system")
        found: dict[str, list[bool]] = {}
        for system, covered in zip(systems, is_covered.tolist(), strict=True):
            for symbol in system.split("-"):
                found.setdefault(symbol, []).append(covered)
        elements = sorted(
            (symbol for symbol, each in found.items() if len(each) >= min_crystals),
            key=lambda symbol: Element(symbol).Z,
        )
        if not elements:
            raise ValueError(
                f"no element is in min_crystals={min_crystals} crystals; set it lower"
            )
        coverage = np.array([np.mean(found[symbol]) for symbol in elements])
        counts = np.array([len(found[symbol]) for symbol in elements])
        return cls(elements, coverage, counts, confidence_level).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the coverage of each element, and the confidence level.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates new ones.
        name : str, default=None
            What the points are called in the legend.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        ElementCoverageDisplay
        """
        ax = self._begin(ax)
        level, places = self.confidence_level, np.arange(len(self.elements))
        by_chance = np.sqrt(level * (1 - level) / self.counts)
        style = {"fmt": "o", "yerr": by_chance, "label": name, **kwargs}
        self.points_ = ax.errorbar(places, self.coverage, **style)
        ax.axhline(level, color="k", linestyle=":", linewidth=1)
        ax.set_xticks(places, self.elements, rotation=90)
        ax.set(xlabel="element", ylabel="coverage", ylim=(None, 1.02))
        if name is not None:
            ax.legend(loc="lower left")
        return self


def _is_covered(y_true: Any, y_interval: Any) -> NDArray[np.bool_]:
    """Return whether each interval contains the true value."""
    y = check_array(y_true, ensure_2d=False, dtype=np.float64, input_name="y_true")
    if y.ndim != 1:
        raise ValueError(f"y_true has shape {y.shape}; pass one number per crystal")
    ends = check_array(y_interval, dtype=np.float64, input_name="y_interval")
    if ends.shape[1] != 2:
        raise ValueError(
            f"y_interval has shape {ends.shape}; it needs two columns, lower and upper "
            "ends"
        )
    check_consistent_length(y, ends)
    is_covered: NDArray[np.bool_] = (ends[:, 0] <= y) & (y <= ends[:, 1])
    return is_covered
