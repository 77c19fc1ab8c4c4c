"""Prediction intervals with a guaranteed coverage, by split conformal prediction."""

import math
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._crystal_input import CrystalInput
from sklearn_cgcnn._estimators import CGCNNRegressor
from sklearn_cgcnn._sklearn_compat import Interval, StrOptions, fit_context
from sklearn_cgcnn._validation import (
    check_crystals,
    check_regression_target,
    named_as_in,
)
from sklearn_cgcnn._versioned_state import VersionedState
from sklearn_cgcnn.uncertainty._held_out import hold_out, take
from sklearn_cgcnn.uncertainty._inner_regressor import (
    check_regressor,
    predicts_spread,
    weights_as_keyword,
    weights_to_fit,
)

# A spread below this share of the median one counts as this share. Members of an
# ensemble may agree on a crystal by chance, and its width would be zero.
_SMALLEST_SHARE = 0.1


def _knows_training_crystals(conformal: "ConformalRegressor") -> bool:
    return hasattr(conformal._regressor(), "reasons")


class ConformalRegressor(
    VersionedState,
    CrystalInput,
    RegressorMixin,  # type: ignore[misc]
    MetaEstimatorMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    r"""Predict intervals that contain a chosen share of the true values.

    Some crystals are held out for calibration. Their errors, divided by the spread that
    the regressor predicts for them, are the scores

    .. math:: s_i = |y_i - \hat y_i| / \sigma_i.

    The interval of a new crystal is :math:`\hat y \pm q \sigma`, where q is the
    :math:`\lceil (n + 1) c \rceil`-th smallest of the n scores, and c the confidence
    level. If new crystals and those of the calibration are drawn at random from the
    same distribution, the interval contains the true value with a probability from c to
    :math:`c + 1 / (n + 1)` (Vovk et al. 2005; the upper bound holds if no two scores
    are equal). This is true for any regressor and any spread. It is not true for
    crystals of another kind, as with an element that the calibration lacks; for these,
    coverage depends on how well the spread foresees the error.

    Parameters
    ----------
    estimator : estimator or None, default=None
        The regressor. A fitted one, as ``FrozenEstimator(model)``, is not trained
        again, and `fit` uses all crystals for calibration. None means
        ``CGCNNRegressor()``.
    calibration_fraction : float, default=0.2
        Fraction of the crystals that is held out for calibration.
    scaled : bool or "auto", default="auto"
        Whether to divide errors by the spread, which ``predict(X, return_std=True)`` of
        the regressor returns. "auto" does so if it can. Without it, all intervals have
        the same width.
    random_state : int, RandomState instance or None, default=None
        Determines which crystals are held out. Pass an int for the same result on every
        call.

    Attributes
    ----------
    estimator_ : estimator
        The fitted regressor.
    scores_ : ndarray of shape (n_calibration,)
        Scores of the calibration crystals, in ascending order.

    See Also
    --------
    EnsembleRegressor : A regressor that predicts a spread.

    References
    ----------
    V. Vovk, A. Gammerman and G. Shafer, Algorithmic Learning in a Random World,
    Springer (2005).

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.uncertainty import ConformalRegressor
    >>> structures, energy = make_ionic_crystals(60, random_state=0, return_X_y=True)
    >>> model = ConformalRegressor(CGCNNRegressor(max_epochs=5), random_state=0)
    >>> intervals = model.fit(structures, energy).predict_interval(structures)
    >>> intervals.shape
    (60, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [BaseEstimator, None],
        "calibration_fraction": [Interval(Real, 0, 1, closed="neither")],
        "scaled": ["boolean", StrOptions({"auto"})],
        "random_state": ["random_state"],
    }

    estimator_: Any
    scores_: NDArray[np.float64]

    def __init__(
        self,
        estimator: Any = None,
        *,
        calibration_fraction: float = 0.2,
        scaled: bool | str = "auto",
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.calibration_fraction = calibration_fraction
        self.scaled = scaled
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the regressor, and compute the scores of the crystals held out.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.
        y : array-like of shape (n_crystals,)
            Targets.
        sample_weight : array-like of shape (n_crystals,), default=None
            Sample weights in the training of the regressor. In the calibration, all
            crystals count alike. None gives every crystal the same weight.

        Returns
        -------
        ConformalRegressor
            This estimator, fitted.

        Raises
        ------
        TypeError
            If `estimator` is not a regressor.
        ValueError
            If y or `sample_weight` does not match X, if y is two-dimensional, if no
            crystals are left to train on, if `sample_weight` is given for a frozen
            regressor, or if `scaled` is true and the regressor predicts no spread.
        """
        crystals = check_crystals(X, on_error="collect", on_disk=True)
        y = check_regression_target(y, len(crystals))
        if y.ndim != 1:
            raise ValueError(
                f"y has shape {y.shape}, but intervals are for one target; fit a "
                "ConformalRegressor for each column"
            )
        model = CGCNNRegressor() if self.estimator is None else clone(self.estimator)
        check_regressor(model)
        scaled = self._check_scaled(model)
        train, held_out = self._split(len(crystals))
        weights = weights_to_fit(sample_weight, len(crystals), self.estimator)
        if weights is not None:
            weights = weights[train]
        if len(train):
            with named_as_in("X", train):
                keywords = weights_as_keyword(model, weights)
                model.fit(take(crystals, train), y[train], **keywords)
        # Attributes appear when nothing can fail any more.
        with named_as_in("X", held_out):
            mean, spread = _predict(model, take(crystals, held_out), scaled)
        if mean.shape != (len(held_out),):
            raise ValueError(
                f"the regressor predicts an array of shape {mean.shape}, but intervals "
                "are for one target; train it on a y with one axis"
            )
        smallest = _SMALLEST_SHARE * float(np.nanmedian(spread))
        scores = np.abs(y[held_out] - mean) / np.maximum(spread, smallest)
        self.scores_ = np.sort(scores[np.isfinite(scores)])
        self._smallest_spread, self._is_scaled = smallest, scaled
        self.estimator_ = model
        return self

    def predict(
        self, X: Any, return_std: bool = False
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict the property of crystals.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.
        return_std : bool, default=False
            Whether to return the spread too, if the regressor predicts one.

        Returns
        -------
        mean : ndarray of shape (n_crystals,)
            What the regressor predicts.
        std : ndarray of shape (n_crystals,)
            The spread that the regressor predicts, before calibration. Only if
            `return_std` is true.

        Raises
        ------
        ValueError
            If `return_std` is true and the regressor predicts no spread.
        """
        check_is_fitted(self)
        if not return_std:
            mean: NDArray[np.float64] = self.estimator_.predict(X)
            return mean
        if not self._predicts_spread:
            raise ValueError(f"return_std=True {_needs_spread(self.estimator_)}")
        return _predict(self.estimator_, X, scaled=True)

    def predict_interval(
        self, X: Any, confidence_level: float = 0.9
    ) -> NDArray[np.float64]:
        """Predict an interval for each crystal.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.
        confidence_level : float, default=0.9
            Probability with which an interval contains the true value.

        Returns
        -------
        ndarray of shape (n_crystals, 2)
            Lower and upper ends, in the unit of the target. NaN for a crystal that
            cannot become a graph, where these are collected.

        Raises
        ------
        ValueError
            If `confidence_level` is not between 0 and 1, or higher than the number of
            calibration crystals allows: n of them allow up to n / (n + 1).
        """
        check_is_fitted(self)
        quantile = self._quantile(confidence_level)
        mean, spread = _predict(self.estimator_, X, self._is_scaled)
        half = quantile * np.maximum(spread, self._smallest_spread)
        return np.stack([mean - half, mean + half], axis=1)

    @available_if(_knows_training_crystals)  # type: ignore[untyped-decorator]
    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Score how much crystals are like those of the training.

        Available if the regressor has this method, as a SpreadRegressor does.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        ndarray of shape (n_crystals,)
            From 0 to 1, as of :meth:`SpreadRegressor.score_samples`.
        """
        check_is_fitted(self)
        scores: NDArray[np.float64] = self.estimator_.score_samples(X)
        return scores

    @available_if(_knows_training_crystals)  # type: ignore[untyped-decorator]
    def reasons(self, X: Any) -> list[list[str]]:
        """Say how crystals leave the range of the training crystals.

        Available if the regressor has this method, as a SpreadRegressor does.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        list of list of str
            The reasons of each crystal, as of :meth:`SpreadRegressor.reasons`.
        """
        check_is_fitted(self)
        reasons: list[list[str]] = self.estimator_.reasons(X)
        return reasons

    @property
    def _predicts_spread(self) -> bool:
        model = self._regressor()
        return model is not None and predicts_spread(model)

    def _regressor(self) -> Any:
        """Return the fitted regressor, or before `fit` the parameter."""
        return getattr(self, "estimator_", self.estimator)

    def _check_scaled(self, model: Any) -> bool:
        """Return whether to scale by the spread, which must then be predicted."""
        if self.scaled == "auto":
            return predicts_spread(model)
        if self.scaled and not predicts_spread(model):
            raise ValueError(f"scaled=True {_needs_spread(model)}, or scaled=False")
        return bool(self.scaled)

    def _split(self, n_crystals: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the positions of the crystals to train on, and of those held out."""
        if isinstance(self.estimator, FrozenEstimator):
            return np.arange(0), np.arange(n_crystals)
        return hold_out(
            n_crystals,
            "calibration_fraction",
            self.calibration_fraction,
            self.random_state,
        )

    def _quantile(self, confidence_level: float) -> float:
        """Return the score that a new one exceeds with the complement of the level."""
        n_scores = len(self.scores_)
        if not 0 < confidence_level < 1:
            raise ValueError(
                f"confidence_level={confidence_level} must be between 0 and 1"
            )
        # Rounded, because 0.9 * 10 may be a little more than 9.
        rank = max(1, math.ceil(round((n_scores + 1) * confidence_level, 9)))
        if rank > n_scores:
            needed = math.ceil(round(confidence_level / (1 - confidence_level), 9))
            raise ValueError(
                f"confidence_level={confidence_level} needs more than the {n_scores} "
                f"crystals of the calibration; hold out at least {needed}, or ask for "
                f"at most {n_scores / (n_scores + 1):.4g}"
            )
        return float(self.scores_[rank - 1])


def _needs_spread(model: Any) -> str:
    return (
        "needs a regressor that predicts a spread, but "
        f"{type(model).__name__} predicts none; pass an EnsembleRegressor of several "
        "members or a SpreadRegressor"
    )


def _predict(
    model: Any, X: Any, scaled: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return predictions and spreads; without scaling, spreads of one."""
    if scaled:
        mean, spread = model.predict(X, return_std=True)
        return mean, spread
    mean = model.predict(X)
    return mean, np.ones_like(mean)
