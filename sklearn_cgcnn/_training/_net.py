"""The seam to skorch, which manages the training."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib import import_module
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from torch import Tensor, nn

from sklearn_cgcnn._ops._precision import rounding_to_tf32
from sklearn_cgcnn._ops._threads import compiled_loops, loop_threads, one_torch_thread
from sklearn_cgcnn._parallel import map_in_threads
from sklearn_cgcnn._training._callbacks import DivergenceGuard, StopTraining
from sklearn_cgcnn._training._packed import (
    BatchIterator,
    CrystalGraphBatch,
    EdgeBoundedIterator,
    PackedDataset,
)
from sklearn_cgcnn.nn import BatchNorm, Dropout, GatedConv

# Of a batch in prediction: on a CPU what its caches hold, on a GPU what keeps it busy.
_EDGES_AT_ONCE = {"cpu": 2**15, "gpu": 2**20}


class CrystalNet(NeuralNet):  # type: ignore[misc]
    """A skorch net whose batches are graphs.

    It prints nothing, holds nothing out by itself, and lets Ctrl-C through.
    """

    #: Whether the module comes with weights that were trained by an earlier net, or
    #: this one.
    trained_before = False
    #: What shuffles, dropout and whatever else is drawn are determined by.
    seed = 0
    #: Whether to sum over the edges in compiled loops, where there is a compiler.
    compiled = False
    #: What matrix products, and their factors, are rounded to.
    matmul_precision = "float32"

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
        ]

    def infer(self, x: CrystalGraphBatch, **fit_params: Any) -> Tensor:
        """Run the module on a batch."""
        return self._compute(self.module_, x, **fit_params)

    def _compute(
        self, function: Callable[..., Tensor], batch: CrystalGraphBatch, **params: Any
    ) -> Tensor:
        """Compute for a batch, with products rounded by autocast if asked for."""
        if self.matmul_precision != "bfloat16":
            return function(**batch.tensors(), **params)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            return function(**batch.tensors(), **params).float()

    def get_loss(
        self,
        y_pred: Tensor,
        y_true: tuple[Tensor, Tensor],
        X: CrystalGraphBatch | None = None,
        training: bool = False,
    ) -> Tensor:
        """Average the loss over the targets that there are, by the crystals' weights.

        Parameters
        ----------
        y_pred : Tensor of shape (n_crystals, n_outputs)
        y_true : tuple of Tensor of shape (n_crystals, ...) and (n_crystals,)
            The targets, NaN where there is none, and the weights, of mean one.
        X, training
            Not used.

        Returns
        -------
        Tensor of shape ()
        """
        target, weight = y_true
        present = ~target.isnan()
        if target.is_floating_point():
            # A missing target becomes its own prediction, so that no NaN enters.
            target = torch.where(present, target, y_pred.detach())
        losses = self.criterion_(y_pred, target)
        if losses.shape != target.shape:
            raise ValueError(
                f"loss gave values of shape {tuple(losses.shape)} for targets of shape "
                f"{tuple(target.shape)}; it must give one for each (reduction='none')"
            )
        weight = weight.view(-1, *[1] * (losses.ndim - 1)) * present
        mean: Tensor = (losses * weight).sum() / present.sum().clamp(min=1)
        return mean

    def train(self, dataset: PackedDataset, epochs: int) -> None:
        """Train for some epochs, or until a callback raises `StopTraining`.

        Unlike skorch's own ``fit`` it does not swallow KeyboardInterrupt: interrupting
        a search must not look like a finished fit.
        """
        self.trained_on_ = dataset
        try:
            with self._computing_as_asked():
                self.notify("on_train_begin", X=dataset, y=None)
                with suppress(StopTraining):
                    self.fit_loop(dataset, epochs=epochs)
                if not self.train_split:
                    self.refresh_statistics(dataset)
                    self.check_last_step(dataset)
        finally:
            del self.trained_on_  # a fitted net holds on to no crystals
            self.trained_before = True
            self.notify("on_train_end", X=dataset, y=None)

    def run_single_epoch(
        self,
        iterator: BatchIterator | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Tensor]],
        **fit_params: Any,
    ) -> None:
        """Pass over training or held-out batches, the latter with fresh statistics.

        Unlike skorch's own it reads the losses after the last batch, since to read one
        is to wait until a GPU has done what it was told. Until then ``history`` holds
        them as tensors.
        """
        if iterator is None:
            return
        if not training:
            self.refresh_statistics(self.trained_on_)
        name, n_before = f"{prefix}_loss", len(self.history[-1]["batches"])
        try:
            for batch in iterator:
                self.notify("on_batch_begin", batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                self.history.record_batch(name, step["loss"].detach())
                self.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
                self.notify("on_batch_end", batch=batch, training=training, **step)
                del step  # and with it what only its gradient needed
        finally:
            rows = self.history[-1]["batches"][n_before:]
            rows = [row for row in rows if name in row]
            losses = (
                torch.stack([row[name] for row in rows]) if rows else torch.empty(0)
            )
            for row, loss in zip(rows, losses.tolist(), strict=True):
                row[name] = loss
        self.history.record(f"{prefix}_batch_count", len(rows))

    def refresh_statistics(self, dataset: PackedDataset) -> None:
        """Take the running statistics of the norms anew, with the weights as they are.

        During training they trail behind: each batch adds a tenth, and after a few
        steps they still hold much of what the network was before them.
        """
        norms = [m for m in self.module_.modules() if isinstance(m, BatchNorm)]
        norms = [norm for norm in norms if norm.weight.requires_grad]
        if not norms:
            return
        self._set_training(False)  # dropout would use up its stream
        for norm in norms:
            norm.num_batches_tracked.zero_()
            norm.momentum = None
            norm.train()
        try:
            with torch.no_grad():
                for batch, _ in BatchIterator(dataset, self.batch_size):
                    self.infer(batch)
        finally:
            for norm in norms:
                norm.momentum = BatchNorm.momentum

    def check_last_step(self, dataset: PackedDataset) -> None:
        """Check that the last step has not gone astray, which no loss has seen yet."""
        first = dataset[torch.arange(min(len(dataset), self.batch_size))]
        if bool(self.evaluation_step(first).isfinite().all()):
            return
        for _, callback in self.callbacks_:
            if isinstance(callback, DivergenceGuard):
                callback.diverged(self)

    def predict_batches(self, dataset: PackedDataset) -> Tensor:
        """Run the module over a dataset, in order, without training it.

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
            On the CPU.
        """
        return self._evaluate(dataset, self.infer)

    def predict_contributions(self, dataset: PackedDataset) -> Tensor:
        """Run the module over a dataset, in order, as far as the sites' own values.

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
        """Collect what is inferred from a dataset, in order, without training."""
        self._set_training(False)
        on_cpu = dataset.targets.is_cpu
        max_edges = _EDGES_AT_ONCE["cpu" if on_cpu else "gpu"]
        batches = EdgeBoundedIterator(dataset, max_edges)

        with self._computing_as_asked():
            n_threads = loop_threads.get()
            # Threads share nothing where each has batches of its own.
            at_once = min(n_threads or 1, len(batches))
            for_each = n_threads and n_threads // at_once

            def infer_one(batch: CrystalGraphBatch) -> Tensor:
                with torch.no_grad(), compiled_loops(for_each):  # in this thread
                    return infer(batch)

            only_batches = (batch for batch, _ in batches)
            outputs = map_in_threads(infer_one, only_batches, at_once)
        return torch.cat(outputs).cpu()

    @contextmanager
    def _computing_as_asked(self) -> Iterator[None]:
        """Compile loops and round products, as far as that is asked for."""
        device = torch.device(self.device)
        with ExitStack() as stack:
            if self.matmul_precision == "tf32" and device.type == "cuda":
                stack.enter_context(rounding_to_tf32())
            if self.compiled and can_compile(device):
                n_threads = 1
                if device.type == "cpu" and _takes_loops(self.module_):
                    n_threads = stack.enter_context(one_torch_thread())
                stack.enter_context(compiled_loops(n_threads))
            yield


def _takes_loops(module: nn.Module) -> bool:
    """Say whether there is anything in a module that compiled loops are for."""
    return any(
        isinstance(part, GatedConv) and part.sums_by_hand for part in module.modules()
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
    trained_before: bool = False,
    compiled: bool = False,
    matmul_precision: str = "float32",
    **params: Any,
) -> CrystalNet:
    """Make and initialize a net around a module.

    Parameters
    ----------
    module : Module
    criterion : Module
        The loss, one value for each target.
    device : torch.device
    batch_size : int
    callbacks : iterable of Callback, default=()
    valid : PackedDataset or None, default=None
        What the validation loss is computed on after every epoch.
    seed : int, default=0
        Seed of the shuffles, of dropout and of what callbacks draw.
    trained_before : bool, default=False
        Whether the module has weights that training is to go on with.
    compiled : bool, default=False
        Whether to sum over the edges in compiled loops, where there is a compiler.
    matmul_precision : {"float32", "tf32", "bfloat16"}, default="float32"
        What matrix products, and their factors, are rounded to.
    **params
        Further parameters of :class:`skorch.NeuralNet`.

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
    net.seed, net.trained_before = seed, trained_before
    net.compiled, net.matmul_precision = compiled, matmul_precision
    net.initialize()
    for dropout in net.module_.modules():
        if isinstance(dropout, Dropout):
            dropout.generator = torch.Generator(device).manual_seed(seed)
    return net


@cache
def _has_numba() -> bool:
    """Say whether there is a Numba that can be imported."""
    try:
        import_module("sklearn_cgcnn._ops._numba_backend")
    except ImportError:
        return False
    return True


def can_compile(device: str | torch.device) -> bool:
    """Say whether loops can be compiled for a device.

    Returns
    -------
    bool
        On a CPU it takes Numba, on a CUDA GPU what torch comes with.
    """
    kind = torch.device(device).type
    return kind == "cuda" or (kind == "cpu" and _has_numba())


def resolve_device(device: str | torch.device, compiled: bool = False) -> torch.device:
    """Choose the device: where "auto" is asked for, a CUDA GPU if there is one.

    Parameters
    ----------
    device : str or torch.device
    compiled : bool, default=False
        Whether loops are to be compiled for it.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If a device is asked for by name where there is none of it.
    ImportError
        If there is no compiler for a CPU.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device="cpu" if chosen.type == "cuda" else chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={str(device)!r} is none that this torch can use ({error}); pass "
            'device="auto" or "cpu"'
        ) from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={str(device)!r} asks for a CUDA GPU, and this machine has none "
            'that torch can use; pass device="auto" or "cpu"'
        )
    if compiled and chosen.type == "cpu" and not can_compile(chosen):
        raise ImportError(
            "compile=True needs Numba to compile for a CPU, and it cannot be imported; "
            "pip install numba, or set compile=False"
        )
    return chosen
