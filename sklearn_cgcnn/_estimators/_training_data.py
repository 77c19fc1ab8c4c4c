"""Graphs, targets and sample weights of a fit, before they become tensors."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor

from sklearn_cgcnn._training import CrystalDataset, make_dataset
from sklearn_cgcnn.graphs import AnyGraphs, ShardedCrystalGraphs


class Targets(NamedTuple):
    """Targets of a user, and what the network learns of them.

    Attributes
    ----------
    given : ndarray of shape (n_crystals,) or (n_crystals, n_outputs)
        Numbers in the unit of the target, or labels.
    encoded : Tensor of shape (n_crystals, n_outputs) or (n_crystals,)
        Standardized numbers, or codes of classes.
    """

    given: NDArray[Any]
    encoded: Tensor


class TrainingData(NamedTuple):
    """Crystals with targets and sample weights.

    Attributes
    ----------
    graphs : CrystalGraphs or ShardedCrystalGraphs
        The crystals.
    targets : Targets
        Their targets.
    weights : ndarray of shape (n_crystals,), float64
        Weights in the loss.
    """

    graphs: AnyGraphs
    targets: Targets
    weights: NDArray[np.float64]

    def take(self, rows: NDArray[np.intp]) -> "TrainingData":
        """Return some of the crystals.

        Parameters
        ----------
        rows : ndarray of shape (n_selected,), int
            Their positions.

        Returns
        -------
        TrainingData
        """
        targets = Targets(self.targets.given[rows], self.targets.encoded[rows])
        return TrainingData(self.graphs[rows], targets, self.weights[rows])

    def with_mean_weight_one(self) -> "TrainingData":
        """Return the crystals of positive weight, with weights whose mean is one.

        Crystals of weight zero have no effect on the loss, but they would change the
        statistics of batch normalization.

        Returns
        -------
        TrainingData
        """
        rows = np.flatnonzero(self.weights)
        data = self if len(rows) == len(self.graphs) else self.take(rows)
        return data._replace(weights=data.weights / data.weights.mean())

    def hold_out(
        self,
        fraction: float,
        rng: np.random.RandomState,
        stratify: NDArray[Any] | None,
    ) -> tuple["TrainingData", "TrainingData"]:
        """Split the crystals at random.

        Parameters
        ----------
        fraction : float
            Share of the crystals to hold out.
        rng : RandomState
            Source of randomness.
        stratify : ndarray of shape (n_crystals,) or None
            Labels whose shares are kept.

        Returns
        -------
        train, valid : TrainingData

        Raises
        ------
        ValueError
            If one of the parts would be empty, or lack a label.
        """
        try:
            train, valid = train_test_split(
                np.arange(len(self.graphs)),
                test_size=fraction,
                stratify=stratify,
                random_state=rng,
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping=True cannot hold out validation_fraction={fraction} "
                f"of {len(self.graphs)} crystals ({error}); give more crystals, another"
                " fraction, pass X_val and y_val, or set early_stopping=False"
            ) from error
        return self.take(train), self.take(valid)

    def pack(self, device: torch.device | str) -> CrystalDataset:
        """Return the crystals as a dataset, whose tensors are on a device.

        Graphs on disk that do not fit into a buffer are brought into the order of the
        files: each pass without shuffling then reads every file once.

        Parameters
        ----------
        device : torch.device or str
            The device.

        Returns
        -------
        CrystalDataset
        """
        if isinstance(self.graphs, ShardedCrystalGraphs):
            order = self.graphs.reading_order()
            if order is not None:
                return self.take(order).pack(device)
        weights = torch.tensor(self.weights).float()
        given, encoded = self.targets
        return make_dataset(self.graphs, encoded, weights, device, given)
