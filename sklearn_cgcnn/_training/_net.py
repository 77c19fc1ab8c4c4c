"""The skorch net that trains and evaluates a network on batches of crystals."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Literal

import torch
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from torch import Tensor

from sklearn_cgcnn._ops import autocast, execution, map_concurrently
from sklearn_cgcnn._training._callbacks import DivergenceGuard, OneCycle, StopTraining
from sklearn_cgcnn._training._checkpoint import (
    TrainingCheckpoint,
    restore_training,
    training_state,
)
from sklearn_cgcnn._training._compilation import is_worth_compiling
from sklearn_cgcnn._training._interrupts import InterruptWatch
from sklearn_cgcnn._training._packed import (
    BatchIterator,
    BatchTargets,
    CrystalDataset,
    EdgeBoundedIterator,
    Sample,
)
from sklearn_cgcnn._training._statistics import OF_A_TRAINING, NetWithStatistics
from sklearn_cgcnn.nn import CrystalGraphBatch

# Largest number of edges and sites in a batch for prediction: on a CPU such a batch
# stays in the caches, on a GPU it keeps all cores busy.
_MAX_EDGES = {"cpu": 2**15, "gpu": 2**20}

# Where a callback may raise KeyboardInterrupt to stop, as those of skorch do. Within an
# epoch it would leave the epoch incomplete.
_STOPPING_POINTS = {"on_epoch_begin", "on_epoch_end"}

# Packages whose callbacks do not evaluate the module themselves.
_WITHOUT_THE_MODULE = {"skorch", "sklearn_cgcnn"}


class CrystalNet(NetWithStatistics):
    """A skorch net that takes batches of crystals.

    Unlike :class:`skorch.NeuralNet` it holds out no data by itself, and Ctrl-C does not
    end the training as if it had finished.
    """

    #: Whether the module has weights that an earlier training learned.
    has_trained_weights = False
    #: Seed of the shuffles, of dropout and of callbacks that draw random numbers.
    seed = 0
    #: Whether to sum over the edges in compiled loops, if the device supports them.
    #: "auto" means in trainings and predictions that are long enough.
    compiled: bool | Literal["auto"] = False
    #: File from which an interrupted training resumes, if any.
    checkpoint: TrainingCheckpoint | None = None
    #: Precision of matrix products: "float32", "tf32" or "bfloat16".
    matmul_precision = "float32"
    #: Whether a callback stopped the last training.
    is_stopped_ = False
    #: Tells Ctrl-C from a callback, during a training.
    interrupts_: InterruptWatch | None = None

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
        ]

    def infer(self, x: CrystalGraphBatch, **fit_params: Any) -> Tensor:
        """Apply the module to a batch, in the precision that was set.

        Parameters
        ----------
        x : CrystalGraphBatch
            The crystals, already on the device of the module.
        **fit_params
            Not used. skorch passes the arguments of its ``fit`` here.

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
            Single precision also if products are rounded to bfloat16.
        """
        return self._compute(self.module_, x, **fit_params)

    def _compute(
        self, function: Callable[..., Tensor], batch: CrystalGraphBatch, **params: Any
    ) -> Tensor:
        """Call a function of the module with a batch, in the precision that was set."""
        with autocast(torch.device(self.device), self.matmul_precision):
            result = function(batch, **params)
        return result.float() if self.matmul_precision == "bfloat16" else result

    def get_loss(
        self,
        y_pred: Tensor,
        y_true: BatchTargets,
        X: CrystalGraphBatch | None = None,
        training: bool = False,
    ) -> Tensor:
        """Sum the weighted losses, and divide by the number of targets.

        Missing targets are left out of the sum and of the number.

        Parameters
        ----------
        y_pred : Tensor of shape (n_crystals, n_outputs)
        y_true : BatchTargets
            Targets, NaN where missing, and sample weights with mean one.
        X, training
            Not used.

        Returns
        -------
        Tensor of shape ()

        Raises
        ------
        ValueError
            If the loss does not give one value per target.
        """
        losses, present = self._weighted_losses(y_pred, y_true.values, y_true.weights)
        mean: Tensor = losses.sum() / present.sum().clamp(min=1)
        return mean

    def _weighted_losses(
        self, y_pred: Tensor, target: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each target, zero if missing, and which are present."""
        present = ~target.isnan()
        if target.is_floating_point():
            # A missing target is replaced by its prediction, so that no NaN enters.
            target = torch.where(present, target, y_pred.detach())
        losses: Tensor = self.criterion_(y_pred, target)
        if losses.shape != target.shape:
            raise ValueError(
                f"loss returned values of shape {tuple(losses.shape)} for targets of "
                f"shape {tuple(target.shape)}; it must return one value per target "
                "(reduction='none')"
            )
        return losses * weight.view(-1, *[1] * (losses.ndim - 1)) * present, present

    def train(self, dataset: CrystalDataset, epochs: int) -> None:
        """Train for several epochs, or until a callback stops the training.

        A callback stops it by raising `StopTraining`, or at the beginning or the end of
        an epoch KeyboardInterrupt, as those of skorch do. Ctrl-C is raised to the
        caller, while skorch's own ``fit`` returns: interrupting a search must not look
        like a finished fit.

        Parameters
        ----------
        dataset : CrystalDataset
            Training crystals.
        epochs : int
            Number of epochs.
        """
        self.training_data_, self.n_epochs_before_ = dataset, len(self.history)
        self.trained_epochs_, self.is_stopped_ = list[Mapping[str, Any]](), False
        try:
            with self._execution(dataset, epochs), InterruptWatch() as self.interrupts_:
                self._train_and_finish(dataset, epochs)
        finally:
            for name in OF_A_TRAINING:
                self.__dict__.pop(name, None)
            self.has_trained_weights = True
            self._release_guards()

    def _train_and_finish(self, dataset: CrystalDataset, epochs: int) -> None:
        saved = self.checkpoint and self.checkpoint.load(self.device)
        if saved and saved["is_finished"]:
            restore_training(self, saved)
            self.trained_epochs_ = saved["trained_epochs"]
            return
        try:
            self.notify("on_train_begin", X=dataset, y=dataset.y)
            # A callback may have loaded epochs of another training.
            self.n_epochs_at_start_ = len(self.history)
            if saved:
                restore_training(self, saved)
                epochs = 0 if saved["is_stopped"] else epochs - saved["n_trained"]
            with suppress(StopTraining):
                self.fit_loop(dataset, epochs=epochs)
        finally:
            # At the end of the training, callbacks may load another history, and thaw
            # what they froze.
            self.trained_epochs_ = list(self.history[self.n_epochs_before_ :])
            self.norms_ = self._norms()
            self.notify("on_train_end", X=dataset, y=dataset.y)
            # Callbacks may also have changed the weights.
            if any(map(is_complete, self.trained_epochs_)):
                self.recompute_statistics(dataset)
        self._check_last_step(dataset)
        self._release_guards()  # their copies would double the size of the file
        if self.checkpoint:
            self.checkpoint.save(training_state(self, is_finished=True))

    def notify(self, method_name: str, **arguments: Any) -> None:
        """Call a method of all callbacks.

        All callbacks see the end of an epoch, even if one of them stops the training.

        Parameters
        ----------
        method_name : str
            Name of the method.
        **arguments
            Its arguments, apart from the net.

        Raises
        ------
        StopTraining
            If a callback stops the training.
        """
        if method_name == "on_epoch_end" and self._callbacks_read_the_module():
            self._bring_statistics_up_to_date()
        getattr(self, method_name)(self, **arguments)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **arguments)
            except StopTraining:
                self.is_stopped_ = True
            except KeyboardInterrupt:
                watch = self.interrupts_
                if (
                    watch is None
                    or watch.was_pressed
                    or method_name not in _STOPPING_POINTS
                ):
                    raise
                self.is_stopped_ = True
        if self.is_stopped_ and method_name != "on_train_end":
            raise StopTraining

    def run_single_epoch(
        self,
        iterator: BatchIterator | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Tensor]],
        **fit_params: Any,
    ) -> None:
        """Pass once over training batches, or over held-out batches.

        The losses are read after the last batch, because reading a loss waits for the
        GPU. Until then ``history`` contains them as tensors, unless a callback of the
        user may read them. Before a pass over held-out batches the running statistics
        are recomputed.

        Parameters
        ----------
        iterator : BatchIterator or None
            The batches. None does nothing.
        training : bool
            Whether to train on them.
        prefix : {"train", "valid"}
            Prefix of the names recorded in the history.
        step_fn : callable
            Computes one step from a batch.
        **fit_params
            Further arguments of `step_fn`.
        """
        if iterator is None:
            return
        if not training:
            self.recompute_statistics(self.training_data_)
        name, n_before = f"{prefix}_loss", len(self.history[-1]["batches"])
        reads_now = self._callbacks_read_batches()
        outputs, targets = list[Tensor](), list[BatchTargets]()
        self.has_current_statistics_ = not training
        try:
            for batch in iterator:
                self.notify("on_batch_begin", batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                loss = step["loss"].detach()
                self.history.record_batch(name, loss.item() if reads_now else loss)
                self.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
                self.notify("on_batch_end", batch=batch, training=training, **step)
                outputs.append(step["y_pred"].detach())
                targets.append(batch[1])
                del step  # frees the tensors that the gradient needed
        finally:
            self.has_current_statistics_ = False
            rows = self.history[-1]["batches"][n_before:]
            _read_losses([row for row in rows if name in row], name)
        self.history.record(f"{prefix}_batch_count", len(outputs))
        self._record_scores(outputs, targets, prefix)

    def _record_scores(
        self, outputs: list[Tensor], targets: list[BatchTargets], prefix: str
    ) -> None:
        """Record the mean score of a pass, and the losses of held-out crystals."""
        predicted = torch.cat(outputs)
        values = torch.cat([each.values for each in targets])
        weights = torch.cat([each.weights for each in targets])
        if prefix == "valid":
            losses, _ = self._weighted_losses(predicted, values, weights)
            self.valid_losses_ = losses.reshape(len(losses), -1).sum(dim=1)
        if self.encoding is not None:
            scores = self.encoding.scores(predicted, values)
            weighted = scores * weights.view(-1, *[1] * (scores.ndim - 1))
            name = f"{prefix}_{self.encoding.score_name}"
            self.history.record(name, float(weighted.nanmean()))

    def _callbacks_read_batches(self) -> bool:
        """Return whether a callback of the user is called after every batch."""
        return any(
            type(callback).on_batch_end is not Callback.on_batch_end
            and not isinstance(callback, OneCycle)
            for _, callback in self.callbacks_
        )

    def _callbacks_read_the_module(self) -> bool:
        """Return whether a callback may evaluate the module without the net's help.

        Those of skorch and of this package predict with the net.
        """
        return any(
            type(callback).on_epoch_end is not Callback.on_epoch_end
            and type(callback).__module__.split(".")[0] not in _WITHOUT_THE_MODULE
            for _, callback in self.callbacks_
        )

    def _check_last_step(self, dataset: CrystalDataset) -> None:
        """Raise an error if predictions for the first batch are not finite.

        No loss has been computed since the last step, which may have diverged.
        """
        first: Sample = dataset[torch.arange(min(len(dataset), self.batch_size))]
        if bool(self.evaluation_step(first).isfinite().all()):
            return
        for guard in self._guards():
            try:
                guard.restore_and_raise(self)
            finally:
                self.recompute_statistics(dataset)  # of the weights that were restored

    def _guards(self) -> list[DivergenceGuard]:
        callbacks = [callback for _, callback in self.callbacks_]
        return [each for each in callbacks if isinstance(each, DivergenceGuard)]

    def _release_guards(self) -> None:
        for guard in self._guards():
            guard.release()

    def predict_batches(self, dataset: CrystalDataset) -> Tensor:
        """Predict for all crystals of a dataset, in order.

        Parameters
        ----------
        dataset : CrystalDataset

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
            On the CPU.
        """
        return self._evaluate(dataset, self.infer)

    def evaluate(self, dataset: CrystalDataset, method: str) -> Tensor:
        """Compute something of all crystals of a dataset, in order.

        Parameters
        ----------
        dataset : CrystalDataset
        method : str
            ``"infer"``, or the name of a method of the module that takes a batch, such
            as ``"contributions"``.

        Returns
        -------
        Tensor of shape (n_crystals, ...) or (n_sites, ...)
            On the CPU.
        """
        if method == "infer":
            return self.predict_batches(dataset)
        function = getattr(self.module_, method)
        return self._evaluate(dataset, lambda batch: self._compute(function, batch))

    def _evaluate(
        self, dataset: CrystalDataset, infer: Callable[[CrystalGraphBatch], Tensor]
    ) -> Tensor:
        """Concatenate the results of a function for all batches, without training."""
        self._set_training(False)
        on_cpu = dataset.targets.is_cpu
        batches = EdgeBoundedIterator(dataset, _MAX_EDGES["cpu" if on_cpu else "gpu"])
        with self._execution(dataset):
            outputs = map_concurrently(
                infer, (batch for batch, _ in batches), len(batches)
            )
        return torch.cat(outputs).cpu()

    def _execution(
        self, dataset: CrystalDataset, epochs: int = 0
    ) -> AbstractContextManager[None]:
        """Return the context in which the module runs: precision and compiled loops.

        Without epochs it is that of a prediction.
        """
        device, has_fused_sums = torch.device(self.device), self.module_.has_fused_sums
        compiled = self.compiled
        if compiled == "auto":
            n_steps = len(self.get_iterator(dataset, training=True)) if epochs else 0
            compiled = has_fused_sums and is_worth_compiling(
                dataset, device, epochs, n_steps
            )
        return execution(
            device,
            compile=compiled,
            matmul_precision=self.matmul_precision,
            has_fused_sums=has_fused_sums,
        )


def is_complete(epoch: Mapping[str, Any]) -> bool:
    """Return whether an epoch of a net's history ended, and did not diverge.

    Parameters
    ----------
    epoch : mapping
        A row of the history.

    Returns
    -------
    bool
    """
    return "dur" in epoch and not epoch.get("diverged")


def _read_losses(rows: list[dict[str, Any]], name: str) -> None:
    """Replace losses that are tensors by numbers, in one copy from the device."""
    unread = [row for row in rows if isinstance(row[name], Tensor)]
    if unread:
        losses = torch.stack([row[name] for row in unread])
        for row, loss in zip(unread, losses.tolist(), strict=True):
            row[name] = loss
