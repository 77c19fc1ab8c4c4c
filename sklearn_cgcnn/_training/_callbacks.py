"""What happens beside the steps of a training: schedules, stops, guards, progress."""

import math
from typing import Any, NoReturn

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from sklearn_cgcnn._progress import progress_bar
from sklearn_cgcnn.exceptions import TrainingDivergedError


class StopTraining(Exception):  # noqa: N818 (no error)
    """Raised by a callback to end the training before its last epoch."""


class OneCycle(Callback):  # type: ignore[misc]
    """Raise the learning rate to the net's ``lr``, then lower it to nothing.

    The one-cycle policy of Smith and Topin (2019), stepped after every batch.
    """

    def on_train_begin(self, net: NeuralNet, X: Any, **kwargs: Any) -> None:
        """Lay out the cycle over all batches that there will be."""
        steps = int(net.max_epochs) * len(net.get_iterator(X, training=True))
        # A single step makes no cycle; it would be taken at the bottom of one.
        if steps < 2:
            self.scheduler_ = None
            return
        optimizer = net.optimizer_
        self.scheduler_ = OneCycleLR(
            optimizer,
            max_lr=net.lr,
            total_steps=steps,
            # It has momentum run the other way, where there is one.
            cycle_momentum=not {"momentum", "betas"}.isdisjoint(optimizer.defaults),
        )

    def on_batch_end(self, net: NeuralNet, training: bool, **kwargs: Any) -> None:
        """Take a step."""
        # The cycle's last step is the one before the last batch's end.
        scheduler = self.scheduler_
        if training and scheduler and scheduler.last_epoch < scheduler.total_steps - 1:
            scheduler.step()


class GaussianWeights(Callback):  # type: ignore[misc]
    """Draw the first weights of all linear maps from a Gaussian.

    Biases stay as torch draws them. Weights that were trained before, by an earlier
    `partial_fit` or with `warm_start`, stay too.

    Parameters
    ----------
    scale : float
        Standard deviation of the Gaussian.
    """

    def __init__(self, scale: Any) -> None:
        self.scale = scale

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Draw, by the seed of the net."""
        if not isinstance(self.scale, int | float) or not 0 < self.scale < math.inf:
            raise ValueError(f"scale={self.scale!r} must be positive and finite")
        if net.trained_before:
            return
        generator = torch.Generator().manual_seed(net.seed)
        for module in net.module_.modules():
            if isinstance(module, nn.Linear):
                drawn = torch.empty(module.weight.shape, dtype=module.weight.dtype)
                drawn.normal_(0.0, self.scale, generator=generator)
                module.weight.data.copy_(drawn)

    def __repr__(self) -> str:
        return f"GaussianWeights({self.scale})"


class TrainReadoutOnly(Callback):  # type: ignore[misc]
    """Leave all of the network but its readout as it is.

    To adapt a model that was trained on many crystals to few: the convolutions keep
    their weights and the statistics of their batch normalization, and only the layers
    after them are trained. All can be trained again afterwards. (Norms of one's own are
    frozen too, but keep statistics only if they heed ``requires_grad``.)
    """

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Freeze."""
        self.thawed_ = [
            parameter
            for name, parameter in net.module_.named_parameters()
            if parameter.requires_grad and not name.startswith("readout.")
        ]
        for parameter in self.thawed_:
            parameter.requires_grad_(False)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Thaw."""
        for parameter in self.__dict__.pop("thawed_", []):
            parameter.requires_grad_(True)


class KeepBestEpoch(Callback):  # type: ignore[misc]
    """Stop when the validation loss no longer falls, and return to its lowest.

    Parameters
    ----------
    patience : int
        Number of epochs without a new lowest loss after which the training stops.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Forget what was best before."""
        self.best_loss_ = float("inf")
        self.best_epoch_ = len(net.history)
        self.best_weights_ = copy_weights(net.module_)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Compare, keep, or stop."""
        loss = net.history[-1, "valid_loss"]
        if loss < self.best_loss_:
            self.best_loss_ = loss
            self.best_epoch_ = len(net.history)
            self.best_weights_ = copy_weights(net.module_)
        elif len(net.history) - self.best_epoch_ >= self.patience:
            raise StopTraining

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Restore the best epoch, and keep no second copy of its weights."""
        if hasattr(self, "best_weights_"):
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

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = progress_bar(net.max_epochs, "training", "epoch", self.verbose)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Advance the bar."""
        losses = {
            name: f"{net.history[-1][name]:.4f}"
            for name in ("train_loss", "valid_loss")
            if name in net.history[-1]
        }
        self.bar_.set_postfix(losses, refresh=False)
        self.bar_.update()

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the bar."""
        if hasattr(self, "bar_"):
            self.bar_.close()
            del self.bar_


class EpochSchedule(Callback):  # type: ignore[misc]
    """Step a learning rate scheduler of torch after every epoch.

    Parameters
    ----------
    policy : callable
        Makes the scheduler from an optimizer: its class, or a partial of it.
    """

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Make the scheduler for the net's optimizer."""
        self.scheduler_ = self.policy(net.optimizer_)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Take a step; a plateau is judged by the validation loss if there is one."""
        if isinstance(self.scheduler_, ReduceLROnPlateau):
            row = net.history[-1]
            self.scheduler_.step(row.get("valid_loss", row["train_loss"]))
        else:
            self.scheduler_.step()


class DivergenceGuard(Callback):  # type: ignore[misc]
    """Stop with an error where a loss or a weight is no longer finite.

    The network is left with the weights that the last epoch of finite loss began with.
    """

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Remember the weights to begin with, and after how many epochs they are."""
        self.proven_ = self.latest_ = copy_weights(net.module_), len(net.history)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Look at the losses, and at every weight and statistic."""
        weights, row = copy_weights(net.module_), net.history[-1]
        losses = [row[name] for name in ("train_loss", "valid_loss") if name in row]
        finite = all(bool(value.isfinite().all()) for value in weights.values())
        if finite and all(map(math.isfinite, losses)):
            self.proven_, self.latest_ = self.latest_, (weights, len(net.history))
            return
        self.diverged(net)

    def diverged(self, net: NeuralNet) -> NoReturn:
        """Go back to the last weights that are known to be good, and say so."""
        weights, n_epochs = self.proven_
        net.module_.load_state_dict(weights)
        for row in net.history[n_epochs:]:
            row["diverged"] = True
        row = net.history[-1]
        raise TrainingDivergedError(
            f"training diverged in epoch {len(net.history)} (train_loss="
            f"{row['train_loss']:.3g}) with lr={net.lr}; lower lr, or clip the "
            "gradients with callbacks=[skorch.callbacks.GradientNormClipping(1.0)]"
        )

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Keep no second copy of the weights."""
        self.__dict__.pop("proven_", None)
        self.__dict__.pop("latest_", None)


def copy_weights(module: nn.Module) -> dict[str, Tensor]:
    """Copy all parameters and buffers of a module.

    Parameters
    ----------
    module : Module

    Returns
    -------
    dict of str to Tensor
    """
    return {name: value.clone() for name, value in module.state_dict().items()}
