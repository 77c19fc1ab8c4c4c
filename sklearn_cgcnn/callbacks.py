"""Callbacks for the estimators' parameter `callbacks`, beside those of skorch."""

from sklearn_cgcnn._training._callbacks import GaussianWeights, TrainReadoutOnly

__all__ = ["GaussianWeights", "TrainReadoutOnly"]
