"""Losses, optimizers and schedules by name, as the estimators accept them."""

import copy
import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from sklearn_cgcnn._training._callbacks import EpochSchedule, OneCycle
from sklearn_cgcnn._training._muon import Muon

# Fused optimizers take a fifth of the time for small networks. Fused SGD is left out:
# it fails if parameters are frozen during its first steps.
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adamw": (torch.optim.AdamW, {"optimizer__fused": True}),
    "adam": (torch.optim.Adam, {"optimizer__fused": True}),
    "muon": (Muon, {"optimizer__fused": True}),
    "sgd": (torch.optim.SGD, {"optimizer__momentum": 0.9}),
}
LOSSES: dict[str, type[nn.Module]] = {
    "absolute_error": nn.L1Loss,
    "squared_error": nn.MSELoss,
    "huber": nn.HuberLoss,
}
CLASS_LOSSES: dict[str, type[nn.Module]] = {"cross_entropy": nn.CrossEntropyLoss}
SCHEDULES = {"constant", "one_cycle"}


# Steps and epochs of a training with ``max_epochs="auto"``. Validation errors of the
# default network: of 400 exfoliation energies, 17 % higher after 200 epochs than after
# 100; of 800 phonon frequencies, 5 % lower after 200 than after 100, and equal after
# 300; of 5,000 formation energies, 2 % lower after 200 than after 60.
_N_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS, _EPOCHS_PER_CRYSTAL = 20_000, 100, 200, 0.2


def automatic_epochs(n_crystals: int, batch_size: int) -> int:
    """Return the number of epochs that ``max_epochs="auto"`` stands for.

    Parameters
    ----------
    n_crystals : int
        Number of training crystals.
    batch_size : int
        Largest number of crystals in a batch.

    Returns
    -------
    int
        A fifth of the number of crystals, but no more than 200 or than 20,000 steps
        take, and no fewer than 100.
    """
    steps_per_epoch = -(-n_crystals // batch_size)
    most = min(_N_STEPS // steps_per_epoch, _MOST_EPOCHS)
    return max(min(int(_EPOCHS_PER_CRYSTAL * n_crystals), most), _FEWEST_EPOCHS)


def make_criterion(loss: Any) -> nn.Module:
    """Return a loss module that gives one value per target.

    Parameters
    ----------
    loss : str, class or instance of a torch loss, or function
        A function takes predictions and targets of shape (n_crystals, n_outputs), or
        logits and codes of classes.

    Returns
    -------
    Module
        The net weights and averages its values.
    """
    loss = {**LOSSES, **CLASS_LOSSES}[loss] if isinstance(loss, str) else loss
    criterion: Any
    if isinstance(loss, type):
        criterion = loss(reduction="none")
    elif isinstance(loss, nn.Module):
        criterion = copy.deepcopy(loss)
        criterion.reduction = "none"
    else:
        criterion = _FunctionLoss(loss)
    module: nn.Module = criterion
    return module


class _FunctionLoss(nn.Module):
    """A function as a module, because skorch accepts only modules as losses."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return self.function(predictions, targets)


def make_optimizer_params(
    optimizer: Any, weight_decay: float | Literal["auto"]
) -> dict[str, Any]:
    """Return the optimizer and its parameters as a skorch net accepts them.

    Parameters
    ----------
    optimizer : str, optimizer class or partial of one
        The optimizer.
    weight_decay : float or "auto"
        Passed on if the optimizer has a parameter of this name, and is not a partial
        that already sets it. "auto" is 0.1 for "muon" and 0.01 for all others.

    Returns
    -------
    dict
    """
    if weight_decay == "auto":
        weight_decay = 0.1 if optimizer == "muon" else 0.01
    optimizer, params = OPTIMIZERS.get(optimizer, (optimizer, {}))
    accepted = "weight_decay" in inspect.signature(optimizer).parameters
    if accepted and "weight_decay" not in getattr(optimizer, "keywords", {}):
        params = {"optimizer__weight_decay": weight_decay, **params}
    return {"optimizer": optimizer, **params}


def make_schedule(lr_schedule: Any) -> list[Callback]:
    """Return the callbacks that change the learning rate.

    Parameters
    ----------
    lr_schedule : {"constant", "one_cycle"}, scheduler class or partial of one
        The schedule.

    Returns
    -------
    list of Callback
    """
    if lr_schedule == "constant":
        return []
    return [OneCycle() if lr_schedule == "one_cycle" else EpochSchedule(lr_schedule)]
