"""Ensembles: mean and spread of models that differ in their random weights."""

from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    clone,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._crystal_input import CrystalInput
from sklearn_cgcnn._estimators import (
    CGCNNClassifier,
    CGCNNRegressor,
    graphs_to_fit,
    graphs_to_predict,
    most_probable,
)
from sklearn_cgcnn._parallel import generator_of
from sklearn_cgcnn._sklearn_compat import Interval, fit_context
from sklearn_cgcnn._versioned_state import VersionedState
from sklearn_cgcnn.uncertainty._inner_regressor import weights_as_keyword


class BaseEnsemble(
    VersionedState,
    CrystalInput,
    MetaEstimatorMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Base class of the ensembles: trains the members."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [BaseEstimator, None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
    }
    #: What `estimator` stands for if it is None.
    _default: ClassVar[Callable[[], Any]]

    estimator: Any
    n_estimators: int
    n_jobs: int | None
    random_state: Any
    warm_start: bool
    estimators_: list[Any]

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **fit_params: Any) -> Self:
        """Train the members.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            Crystals. All members share their graphs, unless the estimator is a Pipeline
            or a search.
        y : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_crystals,), default=None
            Sample weights. None gives every crystal the same weight.
        **fit_params : dict
            Passed to `fit` of each member, for example ``X_val`` and ``y_val``.

        Returns
        -------
        object
            This ensemble, fitted.

        Raises
        ------
        StructureError
            If a structure cannot become a graph.
        ValueError
            If y or `sample_weight` does not match X or has invalid values, or if
            `warm_start` would have to remove members.
        """
        kept = self._members_to_keep()
        untrained = self._untrained_member()
        rng = check_random_state(self.random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=self.n_estimators)
        fit_params |= weights_as_keyword(untrained, sample_weight)
        crystals = graphs_to_fit(untrained, X)
        new = (_with_seed(untrained, seed) for seed in seeds[len(kept) :].tolist())
        trained = generator_of(self.n_jobs)(
            delayed(_train)(member, crystals, y, fit_params) for member in new
        )
        self.estimators_ = [*kept, *trained]
        return self

    def _untrained_member(self) -> Any:
        """Return the estimator that `fit` trains copies of.

        Returns
        -------
        estimator
            The parameter `estimator`, or what None stands for.
        """
        return type(self)._default() if self.estimator is None else self.estimator

    def _members_to_keep(self) -> list[Any]:
        """Return the members of the last fit that `warm_start` keeps."""
        kept = list(getattr(self, "estimators_", [])) if self.warm_start else []
        if len(kept) > self.n_estimators:
            raise ValueError(
                f"n_estimators={self.n_estimators} is less than the {len(kept)} "
                "members kept by warm_start=True; set it higher, or warm_start=False"
            )
        return kept

    def _each_prediction(self, X: Any, method: str) -> Iterator[NDArray[Any]]:
        """Yield what each member predicts, for the same graphs."""
        check_is_fitted(self)
        crystals = graphs_to_predict(self.estimators_[0], X)
        for member in self.estimators_:
            yield getattr(member, method)(crystals)


class EnsembleRegressor(RegressorMixin, BaseEnsemble):  # type: ignore[misc]
    """Several regressors, whose predictions are averaged, and whose spread is known.

    The members differ in initial weights and in the order of batches alone. They are
    trained on the same crystals.

    Parameters
    ----------
    estimator : estimator or None, default=None
        The regressor to train several times: a CGCNNRegressor, or a Pipeline or a
        search that ends in one. None means ``CGCNNRegressor()``.
    n_estimators : int, default=5
        Number of members.
    n_jobs : int or None, default=None
        Number of members that are trained at the same time, in processes of their own.
    random_state : int, RandomState instance or None, default=None
        Determines the `random_state` of each member. Pass an int for the same result on
        every call.
    warm_start : bool, default=False
        Whether `fit` keeps the members of the last fit, and only adds those that are
        missing to `n_estimators`. The crystals must be the same.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted members.

    See Also
    --------
    ConformalRegressor : Turns spreads into intervals.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.uncertainty import EnsembleRegressor
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = EnsembleRegressor(CGCNNRegressor(max_epochs=5), 3, random_state=0)
    >>> mean, std = model.fit(structures, energy).predict(structures, return_std=True)
    >>> mean.shape == std.shape == (40,)
    True
    """

    _default = CGCNNRegressor

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 5,
        *,
        n_jobs: int | None = None,
        random_state: Any = None,
        warm_start: bool = False,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.warm_start = warm_start

    def predict(
        self, X: Any, return_std: bool = False
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict the property of crystals.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.
        return_std : bool, default=False
            Whether to return the spread too.

        Returns
        -------
        mean : ndarray of shape (n_crystals,) or (n_crystals, n_outputs)
            Mean prediction of the members.
        std : ndarray of the same shape
            Standard deviation of the members' predictions, with n - 1 in the
            denominator. Only if `return_std` is true.

        Raises
        ------
        ValueError
            If `return_std` is true and there is a single member.
        """
        check_is_fitted(self)
        if return_std and len(self.estimators_) == 1:
            raise ValueError(
                "return_std=True needs several members; set n_estimators to 2 or more"
            )
        predictions = np.stack(list(self._each_prediction(X, "predict")))
        mean: NDArray[np.float64] = predictions.mean(axis=0)
        return (mean, predictions.std(axis=0, ddof=1)) if return_std else mean

    @property
    def _predicts_spread(self) -> bool:
        """Whether `predict` can return a spread, or will be able to after `fit`."""
        members = getattr(self, "estimators_", range(self.n_estimators))
        return len(members) > 1


class EnsembleClassifier(ClassifierMixin, BaseEnsemble):  # type: ignore[misc]
    """Several classifiers, whose probabilities are averaged.

    The members differ in initial weights and in the order of batches alone. They are
    trained on the same crystals.

    Parameters
    ----------
    estimator : estimator or None, default=None
        The classifier to train several times: a CGCNNClassifier, or a Pipeline or a
        search that ends in one. None means ``CGCNNClassifier()``.
    n_estimators : int, default=5
        Number of members.
    n_jobs : int or None, default=None
        Number of members that are trained at the same time, in processes of their own.
    random_state : int, RandomState instance or None, default=None
        Determines the `random_state` of each member. Pass an int for the same result on
        every call.
    warm_start : bool, default=False
        Whether `fit` keeps the members of the last fit, and only adds those that are
        missing to `n_estimators`. The crystals must be the same.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted members.
    classes_ : ndarray of shape (n_classes,)
        The class labels.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNClassifier
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.uncertainty import EnsembleClassifier
    >>> crystals = make_ionic_crystals(40, random_state=0)
    >>> model = EnsembleClassifier(CGCNNClassifier(max_epochs=5), 3, random_state=0)
    >>> model = model.fit(crystals.data, crystals.prototype)
    >>> model.predict_proba(crystals.data).shape == (40, len(model.classes_))
    True
    """

    _default = CGCNNClassifier

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 5,
        *,
        n_jobs: int | None = None,
        random_state: Any = None,
        warm_start: bool = False,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.warm_start = warm_start

    @property
    def classes_(self) -> NDArray[Any]:
        """The class labels."""
        check_is_fitted(self)
        classes: NDArray[Any] = self.estimators_[0].classes_
        return classes

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict class probabilities.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        ndarray of shape (n_crystals, n_classes)
            Mean probabilities of the members, in the order of `classes_`. NaN for a
            crystal that cannot become a graph, where these are collected.
        """
        predictions = list(self._each_prediction(X, "predict_proba"))
        mean: NDArray[np.float64] = np.mean(predictions, axis=0)
        return mean

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the class of crystals.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        ndarray of shape (n_crystals,)
            The class with the highest mean probability.

        Raises
        ------
        ValueError
            If the members collect crystals that cannot become graphs, and there are
            some.
        """
        return most_probable(self.predict_proba(X), self.classes_)


def _with_seed(estimator: Any, seed: int) -> Any:
    """Return an untrained copy with another `random_state`, wherever it has one."""
    member = clone(estimator)
    names = [
        name
        for name in member.get_params()
        if name == "random_state" or name.endswith("__random_state")
    ]
    return member.set_params(**dict.fromkeys(names, seed))


def _train(member: Any, X: Any, y: Any, fit_params: dict[str, Any]) -> Any:
    return member.fit(X, y, **fit_params)
