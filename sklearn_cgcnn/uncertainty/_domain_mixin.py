"""What estimators that know their training crystals tell of others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn.uncertainty._members import networks_of
from sklearn_cgcnn.uncertainty._training_domain import TrainingDomain


class TrainingDomainMixin:
    """Compare crystals with those that a model was trained on.

    Attributes
    ----------
    estimator_ : estimator
        The fitted model.
    """

    estimator_: Any
    _domain: TrainingDomain

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
        return self._domain.scores(networks_of(self.estimator_), X)

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
            contains, or a distance that is shorter or longer than expected for the
            elements, by more than those of 99 % of the training crystals. Empty for a
            crystal within the range.
        """
        check_is_fitted(self)
        return self._domain.reasons(networks_of(self.estimator_), X)
