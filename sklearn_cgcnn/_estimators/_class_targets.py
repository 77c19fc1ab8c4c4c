"""Targets that are labels: checked, encoded as integers, and weighted by class."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from sklearn_cgcnn._estimators._training_data import Targets
from sklearn_cgcnn._training import ClassEncoding
from sklearn_cgcnn._validation import check_class_target, check_labels


class ClassTargets:
    """Mixin of an estimator that learns classes."""

    class_weight: dict[Any, float] | str | None
    classes_: NDArray[Any]
    warm_start: bool

    def _encode_target(self, y: Any, weights: NDArray[np.float64]) -> Targets:
        classes, codes = check_class_target(y, len(weights))
        continued = self.warm_start and hasattr(self, "net_")
        if continued and not np.array_equal(classes, self.classes_):
            raise ValueError(
                "warm_start=True continues with the classes of the last fit, "
                f"{self.classes_.tolist()}, but y has {classes.tolist()}; give all "
                "classes of the last fit and no others, or set warm_start=False"
            )
        self.classes_ = classes
        return Targets(classes[codes], torch.tensor(codes))

    def _encode_more_target(self, y: Any, n_crystals: int, name: str = "y") -> Targets:
        labels = check_labels(y, n_crystals, name)
        codes = np.searchsorted(self.classes_, labels).clip(max=len(self.classes_) - 1)
        unknown = np.flatnonzero(self.classes_[codes] != labels)
        if len(unknown):
            label = labels.tolist()[unknown[0]]
            raise ValueError(
                f"{name}[{unknown[0]}] is {label!r}, which is not among the trained "
                f"classes {self.classes_.tolist()}; leave this crystal out, or pass all"
                " classes to the first call of partial_fit"
            )
        return Targets(labels, torch.tensor(codes))

    def _encoding(self) -> ClassEncoding:
        return ClassEncoding(self.classes_)

    def _decode(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        return outputs.astype(np.float64)

    def _apply_class_weights(
        self, targets: Targets, weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        if self.class_weight is None:
            return weights
        codes = targets.encoded.numpy()
        counted = codes[weights > 0]
        classes = np.arange(len(self.classes_))
        if self.class_weight == "balanced":
            # A class may be absent from a call of partial_fit, or weigh nothing.
            classes = np.unique(counted)
        class_weights = np.zeros(len(self.classes_))
        class_weights[classes] = compute_class_weight(
            self.class_weight,
            classes=self.classes_[classes],
            y=self.classes_[counted],
        )
        weighted: NDArray[np.float64] = weights * class_weights[codes]
        return weighted

    def _labels_to_stratify(self, targets: Targets) -> NDArray[Any]:
        return targets.encoded.numpy()

    def _n_outputs(self) -> int:
        return len(self.classes_)


def most_probable(
    probabilities: NDArray[np.float64], classes: NDArray[Any]
) -> NDArray[Any]:
    """Return the most probable class of each crystal.

    Parameters
    ----------
    probabilities : ndarray of shape (n_crystals, n_classes)
        Probabilities. NaN for crystals that cannot become graphs.
    classes : ndarray of shape (n_classes,)
        Their labels.

    Returns
    -------
    ndarray of shape (n_crystals,)

    Raises
    ------
    ValueError
        If there are crystals that cannot become graphs.
    """
    failed = np.flatnonzero(np.isnan(probabilities).any(axis=1))
    if len(failed):
        raise ValueError(
            f"{len(failed)} of {len(probabilities)} crystals cannot become graphs (the "
            f"first is X[{failed[0]}]), and there is no label for a missing class; use "
            "predict_proba, which gives NaN for them, or leave them out"
        )
    labels: NDArray[Any] = classes[probabilities.argmax(axis=1)]
    return labels
