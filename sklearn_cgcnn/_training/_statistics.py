"""Running statistics of norms that belong to the current weights."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from sklearn_cgcnn._training._packed import BatchIterator, CrystalDataset
from sklearn_cgcnn._training._scored_net import ScoredNet
from sklearn_cgcnn.nn import BatchNorm
from sklearn_cgcnn.nn._norm import paused_statistics

# Attributes that exist during a training only. A fitted net must not keep the crystals
# alive.
OF_A_TRAINING = {
    "training_data_",
    "interrupts_",
    "norms_",
    "valid_losses_",
    "has_current_statistics_",
    "modules_",
}


class NetWithStatistics(ScoredNet):
    """A net that recomputes running statistics before they are used.

    During a training they are not updated. Updating them with each batch would take
    time, and they would lag behind the weights.
    """

    def recompute_statistics(self, dataset: CrystalDataset) -> None:
        """Recompute the running statistics of all norms with the current weights.

        Frozen norms keep theirs.

        Parameters
        ----------
        dataset : CrystalDataset
            Training crystals.
        """
        norms = self.__dict__.get("norms_", self._norms())
        if not norms:
            return
        self._set_training(False)  # dropout must not use up its random numbers
        with ExitStack() as stack, torch.no_grad():
            for norm in norms:
                stack.enter_context(norm.recomputing_statistics())
            for batch, _ in self.get_iterator(dataset):
                self.infer(batch)

    def get_iterator(self, dataset: CrystalDataset, training: bool = False) -> Any:
        """Return an iterator over batches, with edge features if they are constant.

        Parameters
        ----------
        dataset : CrystalDataset
            The crystals.
        training : bool, default=False
            Whether to shuffle them.

        Returns
        -------
        BatchIterator
        """
        iterator: BatchIterator = super().get_iterator(dataset, training=training)
        if getattr(self.module_, "has_constant_edge_features", False):
            iterator.prepare = self.module_.attach_edge_features
        return iterator

    def _norms(self) -> list[BatchNorm]:
        """Return the norms whose statistics belong to the weights in training."""
        return [
            module
            for module in self.module_.modules()
            if isinstance(module, BatchNorm) and not module.is_frozen
        ]

    def _bring_statistics_up_to_date(self) -> None:
        """Recompute the statistics if a callback predicts or saves during training."""
        dataset = self.__dict__.get("training_data_")
        if dataset is not None and not self.__dict__.get("has_current_statistics_"):
            self.recompute_statistics(dataset)

    def forward_iter(
        self, X: Any, training: bool = False, device: str = "cpu"
    ) -> Iterator[Tensor]:
        """Yield the outputs for each batch, with statistics of the current weights.

        Parameters
        ----------
        X, training, device
            As in :meth:`ScoredNet.forward_iter`.

        Yields
        ------
        Tensor of shape (n_crystals, n_outputs)
        """
        self._bring_statistics_up_to_date()
        yield from super().forward_iter(X, training=training, device=device)

    def train_step(self, batch: Any, **fit_params: Any) -> Any:
        """Take one step of the optimizer.

        Parameters
        ----------
        batch : tuple of CrystalGraphBatch and BatchTargets
        **fit_params
            Not used.

        Returns
        -------
        dict of str to Tensor
            Loss and outputs.
        """
        if "training_data_" not in self.__dict__:
            return super().train_step(batch, **fit_params)
        with paused_statistics():
            return super().train_step(batch, **fit_params)

    def _set_training(self, training: bool = True) -> None:
        """Set the mode of all modules, without a call for each that has it already."""
        if "training_data_" not in self.__dict__:
            super()._set_training(training)
            return
        if "modules_" not in self.__dict__:
            self.modules_ = list(self.module_.modules())
        for module in self.modules_:
            if module.training is not training:
                module.train(training)

    def save_params(self, **files: Any) -> None:
        """Save the states of module and optimizer, as `Checkpoint` of skorch does.

        Parameters
        ----------
        **files
            Arguments of :meth:`skorch.NeuralNet.save_params`.
        """
        self._bring_statistics_up_to_date()
        super().save_params(**files)

    def __getstate__(self) -> dict[str, Any]:
        self._bring_statistics_up_to_date()
        kept = {k: v for k, v in self.__dict__.items() if k not in OF_A_TRAINING}
        # A twin, because skorch reads the state from the object itself.
        twin = object.__new__(type(self))
        twin.__dict__.update(kept, train_split=None)
        state: dict[str, Any] = super(NetWithStatistics, twin).__getstate__()
        return state
