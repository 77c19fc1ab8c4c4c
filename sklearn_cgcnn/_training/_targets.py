"""What outputs of the network mean: numbers in the target's unit, or classes."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from torch import Tensor

from sklearn_cgcnn.metrics import r2_score


class TargetEncoding(Protocol):
    """The relation between the outputs of a network and the targets of a user."""

    #: "regressor" or "classifier", as in scikit-learn's tags.
    estimator_type: ClassVar[str]
    #: Name of the score that is recorded beside the loss.
    score_name: ClassVar[str]

    def decode(self, outputs: NDArray[np.float32]) -> NDArray[Any]:
        """Convert outputs to numbers in the unit of the target, or to labels.

        Parameters
        ----------
        outputs : ndarray of shape (n_crystals, n_outputs)
            Outputs of the network.

        Returns
        -------
        ndarray of shape (n_crystals,) or (n_crystals, n_outputs)
        """

    def score(self, y: Any, predictions: Any, sample_weight: Any = None) -> float:
        """Return the score of the estimators' method `score`."""

    def scores(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the score named `score_name` for each target.

        Parameters
        ----------
        outputs : Tensor of shape (n_crystals, n_outputs)
            Outputs of the network.
        targets : Tensor of shape (n_crystals, ...)
            Encoded targets. Scores of missing ones are NaN.

        Returns
        -------
        Tensor of the shape of `targets`
        """


@dataclass(frozen=True, eq=False)
class NumberEncoding:
    """Numbers, which the network predicts standardized.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_outputs,)
        Mean and standard deviation of the targets, in their unit.
    is_multioutput : bool
        Whether predictions are two-dimensional.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    is_multioutput: bool

    estimator_type: ClassVar[str] = "regressor"
    score_name: ClassVar[str] = "mae"

    def decode(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the predictions in the unit of the targets."""
        values = self.mean + self.scale * outputs.astype(np.float64)
        return values if self.is_multioutput else values[:, 0]

    def score(self, y: Any, predictions: Any, sample_weight: Any = None) -> float:
        """Return R²."""
        return float(r2_score(y, predictions, sample_weight=sample_weight))

    def scores(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the absolute errors in the unit of the targets."""
        scale = targets.new_tensor(self.scale)
        return (outputs - targets).abs() * scale


@dataclass(frozen=True, eq=False)
class ClassEncoding:
    """Classes, of which the network predicts logits.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Labels of the outputs.
    """

    classes: NDArray[Any]

    estimator_type: ClassVar[str] = "classifier"
    score_name: ClassVar[str] = "accuracy"

    def decode(self, outputs: NDArray[np.float32]) -> NDArray[Any]:
        """Return the most probable labels."""
        labels: NDArray[Any] = self.classes[outputs.argmax(axis=1)]
        return labels

    def score(self, y: Any, predictions: Any, sample_weight: Any = None) -> float:
        """Return the accuracy."""
        return float(accuracy_score(y, predictions, sample_weight=sample_weight))

    def scores(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return 1 for crystals whose most probable class is right, else 0."""
        return (outputs.argmax(dim=1) == targets).float()
