"""Callbacks for the estimators' parameter `callbacks`, in addition to skorch's."""

from sklearn_cgcnn._training._callbacks import GaussianWeights, TrainReadoutOnly

__all__ = ["GaussianWeights", "TrainReadoutOnly"]
