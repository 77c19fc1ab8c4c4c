"""The skorch net that trains and evaluates a network on batches of crystals."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from torch import Tensor, nn

from sklearn_cgcnn._ops import autocast, execution, map_concurrently
from sklearn_cgcnn._training._callbacks import DivergenceGuard, StopTraining
from sklearn_cgcnn._training._packed import (
    BatchIterator,
    EdgeBoundedIterator,
    PackedDataset,
)
from sklearn_cgcnn.nn import BatchNorm, CrystalGraphBatch, Dropout

# Largest number of edges and sites in a batch for prediction: on a CPU such a batch
# stays in the caches, on a GPU it keeps all cores busy.
_MAX_EDGES = {"cpu": 2**15, "gpu": 2**20}


class CrystalNet(NeuralNet):  # type: ignore[misc]
    """A skorch net that takes batches of crystals.

    Unlike :class:`skorch.NeuralNet` it prints nothing, holds out no data by itself and
    does not catch KeyboardInterrupt.
    """

    #: Whether the module has weights that an earlier training learned.
    has_trained_weights = False
    #: Seed of the shuffles, of dropout and of callbacks that draw random numbers.
    seed = 0
    #: Whether to sum over the edges in compiled loops, if the device supports them.
    compiled = False
    #: Precision of matrix products: "float32", "tf32" or "bfloat16".
    matmul_precision = "float32"

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
        y_true: tuple[Tensor, Tensor],
        X: CrystalGraphBatch | None = None,
        training: bool = False,
    ) -> Tensor:
        """Sum the weighted losses, and divide by the number of targets.

        Missing targets are left out of the sum and of the number.

        Parameters
        ----------
        y_pred : Tensor of shape (n_crystals, n_outputs)
        y_true : tuple of Tensor of shape (n_crystals, ...) and (n_crystals,)
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
        target, weight = y_true
        present = ~target.isnan()
        if target.is_floating_point():
            # A missing target is replaced by its prediction, so that no NaN enters.
            target = torch.where(present, target, y_pred.detach())
        losses = self.criterion_(y_pred, target)
        if losses.shape != target.shape:
            raise ValueError(
                f"loss returned values of shape {tuple(losses.shape)} for targets of "
                f"shape {tuple(target.shape)}; it must return one value per target "
                "(reduction='none')"
            )
        weight = weight.view(-1, *[1] * (losses.ndim - 1)) * present
        mean: Tensor = (losses * weight).sum() / present.sum().clamp(min=1)
        return mean

    def train(self, dataset: PackedDataset, epochs: int) -> None:
        """Train for several epochs, or until a callback raises `StopTraining`.

        Unlike skorch's own ``fit``, this method lets KeyboardInterrupt through:
        interrupting a search must not look like a finished fit.

        Parameters
        ----------
        dataset : PackedDataset
            Training crystals.
        epochs : int
            Number of epochs.
        """
        self.training_data_ = dataset
        try:
            with self._execution():
                self.notify("on_train_begin", X=dataset, y=None)
                with suppress(StopTraining):
                    self.fit_loop(dataset, epochs=epochs)
                if not self.train_split:
                    self.recompute_statistics(dataset)
                    self.check_last_step(dataset)
        finally:
            del self.training_data_  # a fitted net must not keep the crystals alive
            self.has_trained_weights = True
            self.notify("on_train_end", X=dataset, y=None)

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
        GPU. Until then ``history`` contains them as tensors. Before a pass over
        held-out batches the running statistics are recomputed.

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
        try:
            for batch in iterator:
                self.notify("on_batch_begin", batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                self.history.record_batch(name, step["loss"].detach())
                self.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
                self.notify("on_batch_end", batch=batch, training=training, **step)
                del step  # frees the tensors that the gradient needed
        finally:
            rows = self.history[-1]["batches"][n_before:]
            rows = [row for row in rows if name in row]
            losses = (
                torch.stack([row[name] for row in rows]) if rows else torch.empty(0)
            )
            for row, loss in zip(rows, losses.tolist(), strict=True):
                row[name] = loss
        self.history.record(f"{prefix}_batch_count", len(rows))

    def recompute_statistics(self, dataset: PackedDataset) -> None:
        """Recompute the running statistics of all norms with the current weights.

        During training the running statistics lag behind. Each batch contributes a
        tenth, so after a few steps they still describe an earlier network.

        Parameters
        ----------
        dataset : PackedDataset
            Training crystals.
        """
        norms = [
            module
            for module in self.module_.modules()
            if isinstance(module, BatchNorm) and not module.is_frozen
        ]
        if not norms:
            return
        self._set_training(False)  # dropout must not use up its random numbers
        with ExitStack() as stack, torch.no_grad():
            for norm in norms:
                stack.enter_context(norm.recomputing_statistics())
            for batch, _ in BatchIterator(dataset, self.batch_size):
                self.infer(batch)

    def check_last_step(self, dataset: PackedDataset) -> None:
        """Check that the last step did not diverge, as no loss has been computed since.

        Parameters
        ----------
        dataset : PackedDataset
            Training crystals.

        Raises
        ------
        TrainingDivergedError
            If predictions for the first batch are not finite.
        """
        first = dataset[torch.arange(min(len(dataset), self.batch_size))]
        if bool(self.evaluation_step(first).isfinite().all()):
            return
        for _, callback in self.callbacks_:
            if isinstance(callback, DivergenceGuard):
                callback.diverged(self)

    def predict_batches(self, dataset: PackedDataset) -> Tensor:
        """Predict for all crystals of a dataset, in order.

        Parameters
        ----------
        dataset : PackedDataset

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
            On the CPU.
        """
        return self._evaluate(dataset, self.infer)

    def predict_contributions(self, dataset: PackedDataset) -> Tensor:
        """Predict the contributions of all sites of a dataset, in order.

        Parameters
        ----------
        dataset : PackedDataset

        Returns
        -------
        Tensor of shape (n_sites, n_outputs)
            On the CPU.
        """
        contributions = self.module_.contributions
        return self._evaluate(
            dataset, lambda batch: self._compute(contributions, batch)
        )

    def _evaluate(
        self, dataset: PackedDataset, infer: Callable[[CrystalGraphBatch], Tensor]
    ) -> Tensor:
        """Concatenate the results of a function for all batches, without training."""
        self._set_training(False)
        on_cpu = dataset.targets.is_cpu
        batches = EdgeBoundedIterator(dataset, _MAX_EDGES["cpu" if on_cpu else "gpu"])
        with self._execution():
            outputs = map_concurrently(
                infer, (batch for batch, _ in batches), len(batches)
            )
        return torch.cat(outputs).cpu()

    def _execution(self) -> AbstractContextManager[None]:
        """Return the context in which the module runs: precision and compiled loops."""
        return execution(
            torch.device(self.device),
            compile=self.compiled,
            matmul_precision=self.matmul_precision,
            has_fused_sums=self.module_.has_fused_sums,
        )


def build_net(
    module: nn.Module,
    *,
    criterion: nn.Module,
    device: torch.device,
    batch_size: int,
    callbacks: Iterable[Callback] = (),
    valid: PackedDataset | None = None,
    seed: int = 0,
    has_trained_weights: bool = False,
    compiled: bool = False,
    matmul_precision: str = "float32",
    **params: Any,
) -> CrystalNet:
    """Return an initialized net around a module.

    Parameters
    ----------
    module : Module
        The network.
    criterion : Module
        The loss, which gives one value per target.
    device, batch_size, callbacks, **params
        Parameters of :class:`skorch.NeuralNet`.
    valid : PackedDataset or None, default=None
        Held-out crystals, on which the validation loss is computed after every epoch.
    seed, has_trained_weights, compiled, matmul_precision
        Attributes of :class:`CrystalNet`.

    Returns
    -------
    CrystalNet
    """
    net = CrystalNet(
        module,
        criterion,
        device=device,
        batch_size=batch_size,
        callbacks=list(callbacks),
        iterator_train=BatchIterator,
        iterator_train__shuffle=True,
        iterator_train__generator=torch.Generator().manual_seed(seed),
        iterator_valid=BatchIterator,
        train_split=None if valid is None else (lambda dataset: (dataset, valid)),
        verbose=0,
        **params,
    )
    net.seed, net.has_trained_weights = seed, has_trained_weights
    net.compiled, net.matmul_precision = compiled, matmul_precision
    net.initialize()
    for layer in net.module_.modules():
        if isinstance(layer, Dropout):
            layer.generator = torch.Generator(device).manual_seed(seed)
    return net
