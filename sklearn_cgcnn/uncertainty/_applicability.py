"""Whether crystals are like those that a model was trained on."""

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._crystal_input import CrystalInput
from sklearn_cgcnn._estimators import CGCNNRegressor
from sklearn_cgcnn._sklearn_compat import Interval, fit_context
from sklearn_cgcnn._versioned_state import VersionedState
from sklearn_cgcnn.uncertainty._members import networks_of, shared_graphs
from sklearn_cgcnn.uncertainty._training_domain import TrainingDomain
from sklearn_cgcnn.uncertainty._training_range import TAIL


class ApplicabilityDomain(
    VersionedState,
    CrystalInput,
    MetaEstimatorMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Tell how far crystals lie from those that a model was trained on.

    The distance of a crystal is that between its pooled vector and that of the nearest
    training crystal, in the network that was trained. In addition, crystals are
    compared with the elements, the densities and the distances between sites of the
    training crystals, which the network may be blind to.

    Parameters
    ----------
    estimator : estimator or None, default=None
        A CGCNNRegressor, a CGCNNClassifier, an ensemble, or a Pipeline that ends in
        one. A fitted one, as ``FrozenEstimator(model)``, is not trained again; `fit`
        must then be given the crystals that it was trained on. None means
        ``CGCNNRegressor()``.
    n_references : int or None, default=None
        Number of training crystals whose vectors are kept to compare with, drawn at
        random. None keeps those of all. Fewer make the fitted object smaller.

    Attributes
    ----------
    estimator_ : estimator
        The fitted model.

    See Also
    --------
    SpreadRegressor : Turns the same distance into the spread of a prediction.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.uncertainty import ApplicabilityDomain
    >>> structures, energy = make_ionic_crystals(60, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=5, random_state=0).fit(structures, energy)
    >>> domain = ApplicabilityDomain(FrozenEstimator(model)).fit(structures)
    >>> compressed = structures[0].copy()
    >>> _ = compressed.scale_lattice(0.5 * compressed.volume)
    >>> bool(domain.score_samples([compressed])[0] < 0.01)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [BaseEstimator, None],
        "n_references": [Interval(Integral, 2, None, closed="left"), None],
    }

    estimator_: Any

    def __init__(
        self, estimator: Any = None, *, n_references: int | None = None
    ) -> None:
        self.estimator = estimator
        self.n_references = n_references

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the model unless it is frozen, and store what is known of its crystals.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The training crystals.
        y : array-like of shape (n_crystals,) or (n_crystals, n_outputs), default=None
            Targets. Not needed for a frozen model.

        Returns
        -------
        ApplicabilityDomain
            This estimator, fitted.

        Raises
        ------
        TypeError
            If `estimator` holds no estimator of this package, or is a Pipeline whose
            steps may change crystals.
        ValueError
            If there is a single crystal.
        """
        model = CGCNNRegressor() if self.estimator is None else clone(self.estimator)
        graphs = shared_graphs(model, X)
        model.fit(graphs, y)
        self._domain = TrainingDomain(self.n_references).fit(networks_of(model), graphs)
        self.estimator_ = model
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Score how much crystals are like those of the training.

        The score is the share of the training crystals that lie farther from the others
        than the crystal does. If the crystal leaves the range of the training crystals
        for one of the :meth:`reasons`, it is 0.01 at most, and zero if it leaves the
        range by far.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        ndarray of shape (n_crystals,)
            From 0 (unlike any training crystal) to 1. Crystals of the training's own
            distribution have scores spread over the whole range. NaN for a crystal that
            cannot become a graph, where these are collected.
        """
        check_is_fitted(self)
        found = self._domain.locate(networks_of(self.estimator_), X)
        shares = self._domain.shares_farther(found.distances[:, 0])
        beyond = found.excess.values
        return np.where(beyond > 0, np.minimum(shares, TAIL) * (1 - beyond), shares)

    def reasons(self, X: Any) -> list[list[str]]:
        """Say how crystals leave the range of the training crystals.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        list of list of str
            For each crystal its reasons, in words: an element that no training crystal
            contains, or distances that are shorter or longer than the elements let
            expect, by more than those of 99% of the training crystals. Empty for a
            crystal within the range.
        """
        check_is_fitted(self)
        return self._domain.reasons(networks_of(self.estimator_), X)
