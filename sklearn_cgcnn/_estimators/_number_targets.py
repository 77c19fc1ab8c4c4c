"""Targets that are numbers: checked, standardized for training, and converted back."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sklearn_cgcnn._estimators._training_data import Targets
from sklearn_cgcnn._training import NumberEncoding
from sklearn_cgcnn._validation import check_regression_target


class NumberTargets:
    """Mixin of an estimator that learns numbers."""

    target_mean_: NDArray[np.float64]
    target_scale_: NDArray[np.float64]
    _is_multioutput: bool

    def _encode_target(self, y: Any, weights: NDArray[np.float64]) -> Targets:
        given = check_regression_target(y, len(weights))
        self._is_multioutput = given.ndim == 2
        values = given.reshape(len(given), -1)
        # Missing targets do not enter mean and deviation.
        weights = np.where(np.isnan(values), 0.0, weights[:, None])
        present = np.nan_to_num(values)
        total = weights.sum(axis=0)
        if not total.all():
            raise ValueError(
                f"y[:, {int(np.argmin(total))}] is NaN for every crystal with a "
                "positive sample_weight; leave this column out"
            )
        self.target_mean_ = (weights * present).sum(axis=0) / total
        variance = (weights * (present - self.target_mean_) ** 2).sum(axis=0) / total
        self.target_scale_ = np.sqrt(variance)
        return Targets(given, self._standardize(values))

    def _encode_first_target(self, y: Any, weights: NDArray[np.float64]) -> Targets:
        targets = self._encode_target(y, weights)
        # A target that is constant so far may vary in later calls.
        self.target_scale_[self.target_scale_ == 0] = 1.0
        return targets

    def _encode_more_target(self, y: Any, n_crystals: int, name: str = "y") -> Targets:
        given = check_regression_target(y, n_crystals, name)
        shape = (n_crystals, self._n_outputs())[: 1 + self._is_multioutput]
        if given.shape != shape:
            raise ValueError(
                f"{name} has shape {given.shape}, but must have shape {shape}; pass "
                "the same number of targets as before"
            )
        return Targets(given, self._standardize(given.reshape(n_crystals, -1)))

    def _standardize(self, values: NDArray[np.float64]) -> Tensor:
        # A constant target has no scale. It is predicted as its mean.
        scale = np.where(self.target_scale_ > 0, self.target_scale_, 1.0)
        # Always two-dimensional, like the outputs: L1Loss would broadcast (n, 1)
        # against (n,).
        standardized = (values - self.target_mean_) / scale
        return torch.tensor(standardized, dtype=torch.float32)

    def _encoding(self) -> NumberEncoding:
        return NumberEncoding(
            self.target_mean_, self.target_scale_, self._is_multioutput
        )

    def _decode(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        return self._encoding().decode(outputs)

    def _n_outputs(self) -> int:
        return len(self.target_mean_)


def check_scale(
    target_mean: ArrayLike, target_scale: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check the mean and the standard deviation of targets.

    Parameters
    ----------
    target_mean, target_scale : float or array-like of shape (n_outputs,)
        Mean and standard deviation.

    Returns
    -------
    mean, scale : ndarray of shape () or (n_outputs,)

    Raises
    ------
    ValueError
        If they are not finite or differ in shape.
    """
    mean, scale = (np.asarray(x, dtype=np.float64) for x in (target_mean, target_scale))
    is_finite = mean.shape == scale.shape and np.isfinite(mean + scale).all()
    if mean.ndim > 1 or not is_finite:
        raise ValueError(
            f"target_mean has shape {mean.shape} and target_scale {scale.shape}; "
            "give two finite floats, or one finite number per output in each"
        )
    return mean, scale
