"""The seam to skorch, which manages the training."""

from collections.abc import Iterable
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from sklearn_cgcnn._batching import BatchIterator, CrystalGraphBatch, PackedDataset
from sklearn_cgcnn._progress import progress_bar


class StopTraining(Exception):  # noqa: N818 (no error)
    """Raised by a callback to end the training before its last epoch."""


class CrystalNet(NeuralNet):  # type: ignore[misc]
    """A skorch net whose batches are graphs.

    It prints nothing, holds nothing out by itself, and lets Ctrl-C through.
    """

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
        ]

    def infer(self, x: CrystalGraphBatch, **fit_params: Any) -> Tensor:
        """Run the module on a batch."""
        output: Tensor = self.module_(
            x.atomic_numbers,
            x.edge_index,
            x.distances,
            x.multiplicity,
            x.edge_weights,
            x.crystal_index,
            x.n_crystals,
            **fit_params,
        )
        return output

    def train(self, dataset: PackedDataset) -> None:
        """Train for `max_epochs`, or until a callback raises `StopTraining`.

        Unlike skorch's own ``fit`` it does not swallow KeyboardInterrupt: interrupting
        a search must not look like a finished fit.
        """
        self.notify("on_train_begin", X=dataset, y=None)
        try:
            self.fit_loop(dataset)
        except StopTraining:
            pass
        finally:
            self.notify("on_train_end", X=dataset, y=None)

    def predict_batches(self, dataset: PackedDataset) -> Tensor:
        """Run the module over a dataset, in order, without training it.

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
            On the CPU.
        """
        outputs: Tensor = self.forward(dataset)
        return outputs


class OneCycle(Callback):  # type: ignore[misc]
    """Raise the learning rate to the net's ``lr``, then lower it to nothing.

    The one-cycle policy of Smith and Topin (2019), stepped after every batch.
    """

    def on_train_begin(self, net: CrystalNet, X: PackedDataset, **kwargs: Any) -> None:
        """Lay out the cycle over all batches that there will be."""
        steps = net.max_epochs * len(net.get_iterator(X, training=True))
        self.scheduler_ = OneCycleLR(net.optimizer_, max_lr=net.lr, total_steps=steps)

    def on_batch_end(self, net: CrystalNet, training: bool, **kwargs: Any) -> None:
        """Take a step."""
        # The cycle's last step is the one before the last batch's end.
        if training and self.scheduler_.last_epoch < self.scheduler_.total_steps - 1:
            self.scheduler_.step()


class KeepBestEpoch(Callback):  # type: ignore[misc]
    """Stop when the validation loss no longer falls, and return to its lowest.

    Parameters
    ----------
    patience : int
        Number of epochs without a new lowest loss after which the training stops.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_train_begin(self, net: CrystalNet, **kwargs: Any) -> None:
        """Forget what was best before."""
        self.best_loss_ = float("inf")
        self.best_epoch_ = len(net.history)
        self.best_weights_ = _copy_weights(net.module_)

    def on_epoch_end(self, net: CrystalNet, **kwargs: Any) -> None:
        """Compare, keep, or stop."""
        loss = net.history[-1, "valid_loss"]
        if loss < self.best_loss_:
            self.best_loss_ = loss
            self.best_epoch_ = len(net.history)
            self.best_weights_ = _copy_weights(net.module_)
        elif len(net.history) - self.best_epoch_ >= self.patience:
            raise StopTraining

    def on_train_end(self, net: CrystalNet, **kwargs: Any) -> None:
        """Restore the best epoch, and keep no second copy of its weights."""
        net.module_.load_state_dict(self.best_weights_)
        del self.best_weights_


class Progress(Callback):  # type: ignore[misc]
    """Show a bar over epochs with the current losses.

    Parameters
    ----------
    verbose : int
        Nothing is shown at 0.
    """

    def __init__(self, verbose: int) -> None:
        self.verbose = verbose

    def on_train_begin(self, net: CrystalNet, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = progress_bar(net.max_epochs, "training", "epoch", self.verbose)

    def on_epoch_end(self, net: CrystalNet, **kwargs: Any) -> None:
        """Advance the bar."""
        losses = {
            name: f"{net.history[-1][name]:.4f}"
            for name in ("train_loss", "valid_loss")
            if name in net.history[-1]
        }
        self.bar_.set_postfix(losses, refresh=False)
        self.bar_.update()

    def on_train_end(self, net: CrystalNet, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar_.close()
        del self.bar_


def build_net(
    module: nn.Module,
    *,
    criterion: type[nn.Module],
    device: torch.device,
    batch_size: int,
    callbacks: Iterable[Callback] = (),
    valid: PackedDataset | None = None,
    **params: Any,
) -> CrystalNet:
    """Make and initialise a net around a module.

    Parameters
    ----------
    module : Module
    criterion : type of Module
        The loss.
    device : torch.device
    batch_size : int
    callbacks : iterable of Callback, default=()
    valid : PackedDataset or None, default=None
        What the validation loss is computed on after every epoch.
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
        iterator_valid=BatchIterator,
        train_split=None if valid is None else (lambda dataset: (dataset, valid)),
        verbose=0,
        **params,
    )
    net.initialize()
    return net


def resolve_device(device: str | torch.device) -> torch.device:
    """Choose the device: where "auto" is asked for, a CUDA GPU if there is one.

    Raises
    ------
    ValueError
        If a CUDA device is asked for by name where there is none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={str(device)!r} asks for a CUDA GPU, and this machine has none "
            'that torch can use; pass device="auto" or "cpu"'
        )
    return chosen


def _copy_weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}
