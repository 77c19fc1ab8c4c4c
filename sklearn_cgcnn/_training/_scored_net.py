"""A skorch net that predicts in the unit of the target, as scorers expect."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from torch import Tensor

from sklearn_cgcnn._training._packed import CrystalDataset
from sklearn_cgcnn._training._targets import TargetEncoding
from sklearn_cgcnn.nn import CrystalGraphBatch


class ScoredNet(NeuralNet):  # type: ignore[misc]
    """A net whose predictions scorers of scikit-learn can compare with a user's y.

    Skorch passes the net itself to the scoring functions of its callbacks. For them,
    the net is a regressor or a classifier, as the estimator is that trains it.
    """

    #: What the outputs of the module mean. None returns them as they are.
    encoding: TargetEncoding | None = None

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of a classifier, in the order of the outputs."""
        classes: NDArray[Any] = self.encoding.classes  # type: ignore[union-attr]
        return classes

    def predict(self, X: CrystalDataset | CrystalGraphBatch) -> NDArray[Any]:
        """Predict numbers in the unit of the target, or labels.

        Parameters
        ----------
        X : CrystalDataset or CrystalGraphBatch
            The crystals, as callbacks receive them.

        Returns
        -------
        ndarray of shape (n_crystals,) or (n_crystals, n_outputs)
        """
        outputs = self._outputs(X)
        return outputs if self.encoding is None else self.encoding.decode(outputs)

    def predict_proba(self, X: CrystalDataset | CrystalGraphBatch) -> NDArray[Any]:
        """Predict probabilities of classes.

        Parameters
        ----------
        X : CrystalDataset or CrystalGraphBatch
            The crystals, as callbacks receive them.

        Returns
        -------
        ndarray of shape (n_crystals, n_classes)
        """
        logits = torch.from_numpy(self._outputs(X).astype(np.float64))
        probabilities: NDArray[np.float64] = logits.softmax(dim=1).numpy()
        return probabilities

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score that the estimator's method `score` returns.

        Parameters
        ----------
        X : CrystalDataset or CrystalGraphBatch
            The crystals, as callbacks receive them.
        y : array-like of shape (n_crystals,) or (n_crystals, n_outputs)
            True values.
        sample_weight : array-like of shape (n_crystals,), default=None
            Sample weights.

        Returns
        -------
        float
        """
        if self.encoding is None:
            raise TypeError("a net without an encoding of its targets has no score")
        return self.encoding.score(y, self.predict(X), sample_weight)

    def forward_iter(
        self, X: Any, training: bool = False, device: str = "cpu"
    ) -> Iterator[Tensor]:
        """Yield the outputs for each batch.

        Parameters
        ----------
        X : CrystalDataset or CrystalGraphBatch
            The crystals.
        training : bool, default=False
            Whether to apply dropout and statistics of batches.
        device : str, default="cpu"
            Device of the outputs.

        Yields
        ------
        Tensor of shape (n_crystals, n_outputs)
        """
        if isinstance(X, CrystalGraphBatch):
            yield self.evaluation_step((X, None), training=training).to(device)
            return
        yield from super().forward_iter(X, training=training, device=device)

    def _outputs(self, X: Any) -> NDArray[np.float32]:
        # Skorch replaces forward_iter where it has cached the outputs.
        batches = list(self.forward_iter(X))
        outputs: NDArray[np.float32] = torch.cat(batches).detach().cpu().numpy()
        return outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.encoding is not None:
            tags.estimator_type = self.encoding.estimator_type
        return tags
