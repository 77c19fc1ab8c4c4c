"""From the names and classes that a user gives to the parts of a training."""

import copy
import inspect

import torch
from torch import nn

from sklearn_cgcnn._training._callbacks import EpochSchedule, OneCycle

# Fused, they take a fifth of the time, which counts where networks are small. Not SGD,
# which then fails where parameters are frozen for its first steps.
OPTIMIZERS = {
    "adamw": (torch.optim.AdamW, {"optimizer__fused": True}),
    "adam": (torch.optim.Adam, {"optimizer__fused": True}),
    "sgd": (torch.optim.SGD, {"optimizer__momentum": 0.9}),
}
LOSSES = {
    "absolute_error": nn.L1Loss,
    "squared_error": nn.MSELoss,
    "huber": nn.HuberLoss,
}
SCHEDULES = {"constant", "one_cycle"}


def make_criterion(loss):
    """Make a loss that gives one value for each target, to be weighted and averaged.

    Parameters
    ----------
    loss : str, class or instance of a torch loss, or function
        A function takes predictions and targets of shape (n_crystals, n_outputs).

    Returns
    -------
    Module
    """
    loss = LOSSES.get(loss, loss) if isinstance(loss, str) else loss
    if isinstance(loss, type):
        return loss(reduction="none")
    if isinstance(loss, nn.Module):
        loss = copy.deepcopy(loss)
        loss.reduction = "none"
        return loss
    return _Function(loss)


class _Function(nn.Module):
    """A function as a module, which is what skorch takes for a loss."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, predictions, targets):
        return self.function(predictions, targets)


def make_optimizer_params(optimizer, weight_decay):
    """Choose the optimizer and its parameters, as a skorch net takes them.

    Parameters
    ----------
    optimizer : str, optimizer class or partial of one
    weight_decay : float
        Passed on where the optimizer has such a parameter.

    Returns
    -------
    dict
    """
    optimizer, params = OPTIMIZERS.get(optimizer, (optimizer, {}))
    if "weight_decay" in inspect.signature(optimizer).parameters:
        params = {"optimizer__weight_decay": weight_decay, **params}
    return {"optimizer": optimizer, **params}


def make_schedule(lr_schedule):
    """Choose the callbacks that change the learning rate.

    Parameters
    ----------
    lr_schedule : {"constant", "one_cycle"}, scheduler class or partial of one

    Returns
    -------
    list of Callback
    """
    if lr_schedule == "constant":
        return []
    return [OneCycle() if lr_schedule == "one_cycle" else EpochSchedule(lr_schedule)]
