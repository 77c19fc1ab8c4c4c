"""Spreads of predictions, learned from the errors of crystals held out."""

import math
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._crystal_input import CrystalInput
from sklearn_cgcnn._estimators import CGCNNRegressor
from sklearn_cgcnn._sklearn_compat import Interval, fit_context
from sklearn_cgcnn._validation import (
    check_crystals,
    check_regression_target,
    named_as_in,
)
from sklearn_cgcnn._versioned_state import VersionedState
from sklearn_cgcnn.uncertainty._domain_mixin import TrainingDomainMixin
from sklearn_cgcnn.uncertainty._error_model import MIN_CRYSTALS, ErrorModel
from sklearn_cgcnn.uncertainty._held_out import hold_out, take
from sklearn_cgcnn.uncertainty._inner_regressor import (
    check_regressor,
    predicts_spread,
    weights_as_keyword,
    weights_to_fit,
)
from sklearn_cgcnn.uncertainty._members import networks_of, shared_graphs
from sklearn_cgcnn.uncertainty._training_domain import Location, TrainingDomain

# Expected error of a crystal far beyond the range of the training crystals, relative to
# the mean absolute deviation of the targets.
_ERROR_BEYOND_RANGE = 0.3


class SpreadRegressor(
    VersionedState,
    TrainingDomainMixin,
    CrystalInput,
    RegressorMixin,  # type: ignore[misc]
    MetaEstimatorMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    r"""Learn how large the errors of a regressor are, and predict a spread.

    The expected error of a crystal is

    .. math::
        b = \exp(w_0 + w_1 \ln d_1 + w_2 \ln d_{20} + w_3 \ln s + w^T x) + 0.3 \nu m.

    :math:`d_1` and :math:`d_{20}` are the distances to the nearest training crystal and
    to the nearest 20, between the pooled vectors of the network. s is the spread that
    the regressor itself predicts, as an ensemble does; without one the term is left
    out. x holds the fractions of the elements and the pooled vector. The coefficients
    are learned from the errors of crystals that are held out, by ridge regression of
    their logarithms, which shrinks w.

    The last term applies to few crystals: :math:`\nu` is how far a crystal leaves the
    range of the training crystals, as by an element that none of them contains, from 0
    (within the range) to 1 (:meth:`reasons`), and m is the mean absolute deviation of
    the targets, which is the error of predicting their mean. For elements left out of a
    training, the mean error was a quarter of it for bulk moduli, and a tenth to a fifth
    for formation energies.

    Parameters
    ----------
    estimator : estimator or None, default=None
        The regressor: a CGCNNRegressor, an EnsembleRegressor, or a Pipeline that ends
        in one. A fitted one, as ``FrozenEstimator(model)``, is not trained again; `fit`
        must then be given the crystals that it was trained on, and others as `X_val`
        and `y_val`. None means ``CGCNNRegressor()``.
    held_out_fraction : float, default=0.1
        Fraction of the crystals that is held out, unless `fit` is given `X_val`.
    n_references : int or None, default=None
        Number of training crystals whose vectors are kept to compare with, drawn at
        random. None keeps those of all. Fewer make the fitted object smaller.
    random_state : int, RandomState instance or None, default=None
        Determines which crystals are held out. Pass an int for the same result on every
        call.

    Attributes
    ----------
    estimator_ : estimator
        The fitted regressor.

    See Also
    --------
    ApplicabilityDomain : Tells how crystals differ from those of the training.
    ConformalRegressor : Turns spreads into intervals with a guaranteed coverage.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.uncertainty import SpreadRegressor
    >>> structures, energy = make_ionic_crystals(60, random_state=0, return_X_y=True)
    >>> model = SpreadRegressor(CGCNNRegressor(max_epochs=5), random_state=0)
    >>> mean, std = model.fit(structures, energy).predict(structures, return_std=True)
    >>> mean.shape == std.shape == (60,)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [BaseEstimator, None],
        "n_references": [Interval(Integral, 2, None, closed="left"), None],
        "held_out_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    estimator_: Any

    def __init__(
        self,
        estimator: Any = None,
        *,
        held_out_fraction: float = 0.1,
        n_references: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_references = n_references
        self.held_out_fraction = held_out_fraction
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: Any,
        X_val: Any = None,
        y_val: Any = None,
        *,
        sample_weight: Any = None,
    ) -> Self:
        """Train the regressor, and learn its errors from crystals held out.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.
        y : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
            Targets.
        X_val : sequence of Structure, or CrystalGraphs, default=None
            Crystals to learn the errors from. None holds out a fraction of X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Targets of `X_val`.
        sample_weight : array-like of shape (n_crystals,), default=None
            Sample weights in the training of the regressor. Of the crystals held out,
            the errors of all count alike. None gives every crystal the same weight.

        Returns
        -------
        SpreadRegressor
            This estimator, fitted.

        Raises
        ------
        NotFittedError
            If `estimator` is frozen and not fitted.
        TypeError
            If `estimator` holds no regressor of this package, or is a Pipeline whose
            steps may change crystals.
        ValueError
            If y or `sample_weight` does not match X, if only one of `X_val` and `y_val`
            is given, if neither is and the regressor is frozen, if `sample_weight` is
            given for a frozen regressor, or if too few crystals are left to train on.
        """
        model = CGCNNRegressor() if self.estimator is None else clone(self.estimator)
        check_regressor(model)
        train, held_out = self._split(X, y, X_val, y_val)
        # In X, which the crystals held out belong to unless they are X_val.
        n_crystals = len(train.y) + (0 if train.rows is None else len(held_out.y))
        weights = weights_to_fit(sample_weight, n_crystals, self.estimator)
        if weights is not None:
            train, weights = train.with_positive(weights)
        with named_as_in(train.argument, train.rows):
            graphs = shared_graphs(model, train.crystals)
            model.fit(graphs, train.y, **weights_as_keyword(model, weights))
        domain = TrainingDomain(self.n_references).fit(networks_of(model), graphs)
        deviation = np.nanmean(np.abs(train.y - np.nanmean(train.y, axis=0)), axis=0)
        with named_as_in(held_out.argument, held_out.rows):
            self._learn_errors(model, domain, held_out)
        self._domain, self._deviation = domain, deviation
        self.estimator_ = model
        return self

    def predict(
        self, X: Any, return_std: bool = False
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        r"""Predict the property of crystals.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.
        return_std : bool, default=False
            Whether to return the spread too.

        Returns
        -------
        mean : ndarray of shape (n_crystals,) or (n_crystals, n_outputs)
            What the regressor predicts.
        std : ndarray of the same shape
            Standard deviation of the Laplace distribution of the error,
            :math:`\sqrt 2` times the expected error. Only if `return_std` is true.
        """
        check_is_fitted(self)
        if not return_std:
            predictions: NDArray[np.float64] = self.estimator_.predict(X)
            return predictions
        graphs = shared_graphs(FrozenEstimator(self.estimator_), X)
        mean, spread = _predict(self.estimator_, graphs)
        located = self._domain.locate(networks_of(self.estimator_), graphs)
        std = np.full(_columns(mean).shape, np.nan)
        known = np.flatnonzero(located.is_known)
        for column, error_model in enumerate(self._error_models):
            features = _features(located, spread, column, known)
            std[known, column] = error_model.predict(*features)
        beyond = located.excess.values[:, None]
        std += _ERROR_BEYOND_RANGE * beyond * self._deviation
        return mean, math.sqrt(2) * std.reshape(mean.shape)

    def _learn_errors(
        self, model: Any, domain: TrainingDomain, held_out: "_Part"
    ) -> None:
        graphs = shared_graphs(FrozenEstimator(model), held_out.crystals)
        mean, spread = _predict(model, graphs)
        if held_out.y.shape != mean.shape:
            raise ValueError(
                f"y{held_out.argument[1:]} has shape {held_out.y.shape}, but the "
                f"regressor predicts {mean.shape}; pass the targets that it was "
                "trained on, in the same shape"
            )
        located = domain.locate(networks_of(model), graphs)
        errors = _columns(np.abs(held_out.y - mean))
        error_models = []
        for column in range(errors.shape[1]):
            known = located.is_known & np.isfinite(errors[:, column])
            # Crystals beyond the range have a term of their own.
            usual = np.flatnonzero(known & (located.excess.values == 0))
            rows = usual if len(usual) >= MIN_CRYSTALS else np.flatnonzero(known)
            features = _features(located, spread, column, rows)
            error_models.append(ErrorModel().fit(errors[rows, column], *features))
        self._error_models = error_models

    def _split(self, X: Any, y: Any, X_val: Any, y_val: Any) -> "tuple[_Part, _Part]":
        """Return crystals and targets for training, and those that are held out."""
        crystals = check_crystals(X, on_error="collect", on_disk=True)
        y = check_regression_target(y, len(crystals))
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together; pass both, or neither")
        if X_val is not None:
            with named_as_in("X_val"):
                others = check_crystals(X_val, on_error="collect", on_disk=True)
            y_val = check_regression_target(y_val, len(others), name="y_val")
            return _Part(crystals, y), _Part(others, y_val, "X_val")
        if isinstance(self.estimator, FrozenEstimator):
            raise ValueError(
                "the errors of a frozen regressor are those of crystals that it was "
                "not trained on; pass them as X_val and y_val"
            )
        rest, held_out = hold_out(
            len(crystals),
            "held_out_fraction",
            self.held_out_fraction,
            self.random_state,
        )
        if len(held_out) < MIN_CRYSTALS:
            raise ValueError(
                f"held_out_fraction={self.held_out_fraction} of {len(crystals)} "
                f"crystals holds out {len(held_out)}, but errors are learned from "
                f"{MIN_CRYSTALS} or more; pass more crystals, or a larger fraction"
            )
        return (
            _Part(take(crystals, rest), y[rest], "X", rest),
            _Part(take(crystals, held_out), y[held_out], "X", held_out),
        )


class _Part(NamedTuple):
    """Crystals with their targets, and where they lie in an argument of `fit`.

    Attributes
    ----------
    crystals : list of Structure, or CrystalGraphs
    y : ndarray of shape (n_crystals,) or (n_crystals, n_outputs)
    argument : str, default="X"
        Name of the argument.
    rows : ndarray of int or None, default=None
        Their positions in it. None means that they are all of it.
    """

    crystals: Any
    y: NDArray[np.float64]
    argument: str = "X"
    rows: NDArray[np.intp] | None = None

    def with_positive(
        self, weights: NDArray[np.float64]
    ) -> "tuple[_Part, NDArray[np.float64]]":
        """Return the crystals of positive weight, and their weights.

        `weights` has those of all crystals of the argument.
        """
        rows = np.arange(len(weights)) if self.rows is None else self.rows
        kept = np.flatnonzero(weights[rows])
        part = _Part(take(self.crystals, kept), self.y[kept], self.argument, rows[kept])
        return part, weights[rows[kept]]


def _predict(
    model: Any, X: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return predictions, and their spread if the regressor predicts one."""
    if not predicts_spread(model):
        return model.predict(X), None
    mean, spread = model.predict(X, return_std=True)
    return mean, _columns(spread)


def _features(
    located: Location,
    spread: NDArray[np.float64] | None,
    column: int,
    rows: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what explains the errors of an output, for some crystals."""
    positive = [located.distances]
    if spread is not None:
        positive.append(spread[:, [column]])
    return np.hstack(positive)[rows], located.fractions[rows], located.vectors[rows]


def _columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.reshape(len(values), -1)
