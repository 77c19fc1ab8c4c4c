"""Callbacks of a training: schedules, early stopping, guards and progress."""

import math
from numbers import Real
from typing import Any, NoReturn

import torch
from scipy.stats import t as t_distribution
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from sklearn_cgcnn._progress import progress_bar
from sklearn_cgcnn.exceptions import TrainingDivergedError

# Significance level at which another epoch is better than the end of a schedule.
_LEVEL = 0.05


class StopTraining(Exception):  # noqa: N818 (it is not an error)
    """Raise from a callback to end the training before its last epoch."""


class OneCycle(Callback):  # type: ignore[misc]
    """Raise the learning rate to the net's ``lr``, then lower it to nearly zero.

    This is the one-cycle policy of Smith and Topin (2019), stepped after every batch.
    """

    def on_train_begin(self, net: NeuralNet, X: Any, **kwargs: Any) -> None:
        """Plan the cycle over all training batches."""
        steps = int(net.max_epochs) * len(net.get_iterator(X, training=True))
        # A single step would be taken at the lowest learning rate of the cycle.
        if steps < 2:
            self.scheduler_ = None
            return
        optimizer = net.optimizer_
        self.scheduler_ = OneCycleLR(
            optimizer,
            max_lr=net.lr,
            total_steps=steps,
            # The cycle moves momentum the other way, if the optimizer has any.
            cycle_momentum=not {"momentum", "betas"}.isdisjoint(optimizer.defaults),
        )

    def on_batch_end(self, net: NeuralNet, training: bool, **kwargs: Any) -> None:
        """Step the cycle."""
        # The cycle has one step fewer than there are batches.
        scheduler = self.scheduler_
        if training and scheduler and scheduler.last_epoch < scheduler.total_steps - 1:
            scheduler.step()


class GaussianWeights(Callback):  # type: ignore[misc]
    """Initialize the weights of all linear maps from a Gaussian distribution.

    Biases keep torch's initialization. Weights from an earlier training (`partial_fit`,
    `pretrained`, or `fit` with `warm_start`) are kept.

    Parameters
    ----------
    scale : float
        Standard deviation of the Gaussian.

    Examples
    --------
    The learning rate is so low here that the initial weights remain:

    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.callbacks import GaussianWeights
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(callbacks=[GaussianWeights(0.02)], lr=1e-9, max_epochs=1)
    >>> weights = model.fit(structures, energy).net_.module_.embedding.weight
    >>> round(weights.detach().std().item(), 2)
    0.02
    """

    def __init__(self, scale: Any) -> None:
        self.scale = scale

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Draw the weights, with the seed of the net."""
        if not isinstance(self.scale, Real) or not 0 < float(self.scale) < math.inf:
            raise ValueError(
                f"GaussianWeights got scale={self.scale!r}; pass a positive, finite "
                "number"
            )
        if net.has_trained_weights:
            return
        generator = torch.Generator().manual_seed(net.seed)
        for module in net.module_.modules():
            if isinstance(module, nn.Linear):
                drawn = torch.empty(module.weight.shape, dtype=module.weight.dtype)
                drawn.normal_(0.0, float(self.scale), generator=generator)
                module.weight.data.copy_(drawn)

    def __repr__(self) -> str:
        return f"GaussianWeights({self.scale})"


class FreezeLayers(Callback):  # type: ignore[misc]
    """Keep the weights of some layers during a training.

    Frozen layers keep the running statistics of their batch normalization too. After
    the training, all parameters are trainable again.

    Parameters
    ----------
    layers : int, "convolutions" or list of str
        As the parameter `freeze` of the estimators.
    """

    def __init__(self, layers: Any) -> None:
        self.layers = layers

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Freeze the layers."""
        try:
            selected = net.module_.select_parameters(self.layers)
        except ValueError as error:
            raise ValueError(f"freeze={self.layers!r}: {error}") from None
        self.frozen_ = [each for each in selected if each.requires_grad]
        for parameter in self.frozen_:
            parameter.requires_grad_(False)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Unfreeze them."""
        for parameter in self.__dict__.pop("frozen_", []):
            parameter.requires_grad_(True)

    def __getstate__(self) -> dict[str, Any]:
        # What is frozen belongs to one network.
        return {k: v for k, v in self.__dict__.items() if k != "frozen_"}


class TrainReadoutOnly(FreezeLayers):
    """Train the readout alone, and keep the rest of the network.

    This adapts a model trained on many crystals to a small dataset. The convolutions
    keep their weights and the running statistics of their batch normalization. Only the
    layers after them are trained. After the training all parameters are trainable
    again. The weights of your own norms are frozen too, but their statistics stay only
    if the norm respects ``requires_grad``.

    Examples
    --------
    >>> import torch
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.callbacks import TrainReadoutOnly
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> first = CGCNNRegressor(max_epochs=1).fit(structures[:30], energy[:30])
    >>> model = CGCNNRegressor(
    ...     pretrained=FrozenEstimator(first),
    ...     callbacks=[TrainReadoutOnly()],
    ...     max_epochs=1,
    ... ).fit(structures[30:], energy[30:])
    >>> before, after = first.net_.module_, model.net_.module_
    >>> torch.equal(before.embedding.weight, after.embedding.weight)
    True
    >>> torch.equal(before.readout.output.weight, after.readout.output.weight)
    False
    """

    layers = "convolutions"

    def __init__(self) -> None:
        pass


class KeepBestEpoch(Callback):  # type: ignore[misc]
    """Restore the epoch with the lowest validation loss.

    Parameters
    ----------
    patience : int or None
        Number of epochs without a new lowest loss before the training stops. None means
        that the schedule lowers the learning rate until the end, and never stops it.
        The end of such a schedule is expected to be best. Another epoch is then
        restored only if its losses are significantly lower: a paired t-test at a level
        of 5 %, divided by the number of epochs, because with few crystals the lowest of
        many losses is low by chance.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Reset the best loss."""
        self.best_loss_ = float("inf")
        self.best_epoch_ = len(net.history)
        self.best_weights_ = copy_weights(net.module_)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Keep the weights of a new best epoch, or stop."""
        self.last_losses_ = net.valid_losses_
        loss = net.history[-1, "valid_loss"]
        if loss < self.best_loss_:
            self.best_loss_, self.best_losses_ = loss, self.last_losses_
            self.best_epoch_ = len(net.history)
            self.best_weights_ = copy_weights(net.module_)
            return
        if self.patience and len(net.history) - self.best_epoch_ >= self.patience:
            raise StopTraining

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Restore the weights of the best epoch, and free their copy."""
        if not hasattr(self, "best_weights_"):
            return
        if self._end_is_as_good(len(net.history)):
            self.best_epoch_ = len(net.history)
        else:
            net.module_.load_state_dict(self.best_weights_)
        for name in ("best_weights_", "best_losses_", "last_losses_"):
            self.__dict__.pop(name, None)

    def _end_is_as_good(self, n_epochs: int) -> bool:
        """Return whether the last epoch may stay: see `patience`."""
        if self.patience is not None or not hasattr(self, "best_losses_"):
            return False
        difference = self.last_losses_ - self.best_losses_
        n_crystals = len(difference)
        if not bool(difference.isfinite().all()):
            return False
        if n_crystals < 2:
            return True
        error = difference.std() / n_crystals**0.5
        bound = t_distribution.isf(_LEVEL / n_epochs, n_crystals - 1)
        return bool(difference.mean() <= bound * error)


class Progress(Callback):  # type: ignore[misc]
    """Show a progress bar over the epochs, with the current losses.

    Parameters
    ----------
    verbose : int
        0 shows nothing.
    """

    def __init__(self, verbose: int) -> None:
        self.verbose = verbose

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = progress_bar(net.max_epochs, "training", "epoch", self.verbose)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Advance the bar."""
        kinds = ["loss"]
        if net.encoding is not None:
            kinds.append(net.encoding.score_name)
        names = [f"{part}_{kind}" for part in ("train", "valid") for kind in kinds]
        row = net.history[-1]
        losses = {name: f"{row[name]:.4g}" for name in names if name in row}
        self.bar_.set_postfix(losses, refresh=False)
        # Not one by one: a resumed training begins with the epochs of the interrupted
        # one. Those that a callback has loaded do not count.
        n_epochs = len(net.history) - net.n_epochs_at_start_
        self.bar_.update(n_epochs - self.bar_.n)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the bar."""
        if hasattr(self, "bar_"):
            self.bar_.close()
            del self.bar_

    def __getstate__(self) -> dict[str, Any]:
        # A bar belongs to a terminal and cannot be stored.
        return {k: v for k, v in self.__dict__.items() if k != "bar_"}


class EpochSchedule(Callback):  # type: ignore[misc]
    """Step a learning rate scheduler of torch after every epoch.

    Parameters
    ----------
    policy : callable
        Class of the scheduler, or a partial of it.
    """

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Create the scheduler for the net's optimizer."""
        self.scheduler_ = self.policy(net.optimizer_)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Step the scheduler. A plateau is judged by the validation loss, if any."""
        if isinstance(self.scheduler_, ReduceLROnPlateau):
            row = net.history[-1]
            self.scheduler_.step(row.get("valid_loss", row["train_loss"]))
        else:
            self.scheduler_.step()


class DivergenceGuard(Callback):  # type: ignore[misc]
    """Raise an error if a loss or a weight is no longer finite.

    The network then gets the weights from the beginning of the last epoch with a finite
    loss.
    """

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Keep the initial weights, with the number of epochs so far."""
        self.verified_ = self.unverified_ = copy_weights(net.module_), len(net.history)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Check the losses, and all weights and running statistics."""
        weights, row = copy_weights(net.module_), net.history[-1]
        losses = [row[name] for name in ("train_loss", "valid_loss") if name in row]
        finite = all(bool(value.isfinite().all()) for value in weights.values())
        if finite and all(map(math.isfinite, losses)):
            self.verified_, self.unverified_ = (
                self.unverified_,
                (weights, len(net.history)),
            )
            return
        self.restore_and_raise(net)

    def restore_and_raise(self, net: NeuralNet) -> NoReturn:
        """Restore the last weights known to be good, and raise an error.

        Parameters
        ----------
        net : CrystalNet

        Raises
        ------
        TrainingDivergedError
        """
        weights, n_epochs = self.verified_
        net.module_.load_state_dict(weights)
        for row in net.history[n_epochs:]:
            row["diverged"] = True
        row = net.history[-1]
        raise TrainingDivergedError(
            f"training diverged in epoch {len(net.history)} (train_loss="
            f"{row['train_loss']:.3g}) with lr={net.lr}; lower lr, or clip the "
            "gradients with callbacks=[skorch.callbacks.GradientNormClipping(1.0)]"
        )

    def release(self) -> None:
        """Free the copies of the weights."""
        self.__dict__.pop("verified_", None)
        self.__dict__.pop("unverified_", None)


def copy_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all parameters and buffers of a module.

    Parameters
    ----------
    module : Module
        The module.

    Returns
    -------
    dict of str to Tensor
    """
    return {name: value.clone() for name, value in module.state_dict().items()}
