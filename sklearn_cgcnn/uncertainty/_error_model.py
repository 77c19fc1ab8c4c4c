"""How large the errors of predictions are, learned from crystals held out."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

# Errors and features below these shares of their medians count as these shares:
# logarithms of values near zero say little.
_SMALLEST_ERROR = 0.3
_SMALLEST_FEATURE = 0.05
# Scales of the features of the ridge regression, in units of their deviations. The
# larger the scale, the less a coefficient is shrunk: those of distances and spreads
# hardly, those of elements and of the vectors as cross-validation decides.
_LOG_SCALE, _ELEMENT_SCALE = 10.0, 3.0
_STRENGTHS = np.logspace(-1, 3, 9)
#: Number of crystals that errors can be learned from.
MIN_CRYSTALS = 5
_TINY = float(np.finfo(np.float32).tiny)


class ErrorModel:
    """Expected absolute error of predictions, by ridge regression of its logarithm.

    Three kinds of features explain the error: positive ones, as distances and spreads,
    of which the logarithm is taken; the fractions of the elements; and the pooled
    vector of the network.
    """

    def fit(
        self,
        errors: NDArray[np.float64],
        positive: NDArray[np.float64],
        fractions: NDArray[np.float64],
        vectors: NDArray[np.float64],
    ) -> Self:
        """Learn from the errors of crystals.

        Parameters
        ----------
        errors : ndarray of shape (n_crystals,)
            Absolute errors.
        positive : ndarray of shape (n_crystals, n_positive)
            Distances and spreads.
        fractions : ndarray of shape (n_crystals, n_elements)
            Fractions of the elements.
        vectors : ndarray of shape (n_crystals, n_channels)
            Pooled vectors.

        Returns
        -------
        ErrorModel
            This object.

        Raises
        ------
        ValueError
            If there are fewer than five crystals.
        """
        if len(errors) < MIN_CRYSTALS:
            raise ValueError(
                f"{len(errors)} crystals are too few to learn errors from; hold out at "
                f"least {MIN_CRYSTALS}"
            )
        self._offsets = _SMALLEST_FEATURE * np.median(positive, axis=0) + _TINY
        logs = np.log(positive + self._offsets)
        self._log_mean, self._log_deviation = logs.mean(axis=0), logs.std(axis=0)
        self._log_deviation[self._log_deviation < _TINY] = 1.0
        self._vector_mean = vectors.mean(axis=0)
        self._vector_deviation = np.sqrt(vectors.var(axis=0).sum()) + _TINY
        features = np.hstack(self._features(positive, fractions, vectors))
        targets = np.log(errors + _SMALLEST_ERROR * np.median(errors) + _TINY)
        ridge = RidgeCV(_STRENGTHS).fit(features, targets)
        self._intercept = float(ridge.intercept_)
        self._slopes, self._weights = np.split(ridge.coef_, [positive.shape[1]])
        kinds = features[:, positive.shape[1] :] @ self._weights
        self._kinds = float(kinds.min()), float(kinds.max())
        # The mean of a logarithm is not the logarithm of the mean.
        folds = KFold(MIN_CRYSTALS, shuffle=True, random_state=0)
        left_out = cross_val_predict(Ridge(ridge.alpha_), features, targets, cv=folds)
        self._scale = float(np.mean(errors / np.exp(left_out)))
        return self

    def predict(
        self,
        positive: NDArray[np.float64],
        fractions: NDArray[np.float64],
        vectors: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the expected absolute errors of crystals.

        Parameters
        ----------
        positive : ndarray of shape (n_crystals, n_positive)
            Distances and spreads.
        fractions : ndarray of shape (n_crystals, n_elements)
            Fractions of the elements.
        vectors : ndarray of shape (n_crystals, n_channels)
            Pooled vectors.

        Returns
        -------
        ndarray of shape (n_crystals,)
        """
        logs, kind = self._features(positive, fractions, vectors)
        # Crystals unlike those held out are not extrapolated to, except in distance.
        effects = np.clip(kind @ self._weights, *self._kinds)
        exponents = self._intercept + logs @ self._slopes + effects
        errors: NDArray[np.float64] = self._scale * np.exp(exponents)
        return errors

    def _features(
        self,
        positive: NDArray[np.float64],
        fractions: NDArray[np.float64],
        vectors: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return scaled logarithms, and what tells kinds of crystals apart."""
        logs = np.log(positive + self._offsets) - self._log_mean
        relative = (vectors - self._vector_mean) / self._vector_deviation
        return (
            _LOG_SCALE * logs / self._log_deviation,
            np.hstack([_ELEMENT_SCALE * fractions, relative]),
        )
