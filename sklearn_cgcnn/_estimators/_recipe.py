"""From the names and classes that a user gives to the parts of a training."""

import copy
import functools
import inspect
import threading

import numpy as np
import torch
from torch import nn

from sklearn_cgcnn._callbacks import EpochSchedule, OneCycle
from sklearn_cgcnn.nn import (
    ACTIVATIONS,
    CGCNN,
    CONVS,
    EDGE_BASES,
    NORMS,
    POOLINGS,
    READOUTS,
    Conv,
    NoEdgeFeatures,
    Pooling,
    Readout,
    SiteFeatures,
)

OPTIMIZERS = {
    "adamw": (torch.optim.AdamW, {}),
    "adam": (torch.optim.Adam, {}),
    "sgd": (torch.optim.SGD, {"optimizer__momentum": 0.9}),
}
LOSSES = {
    "absolute_error": nn.L1Loss,
    "squared_error": nn.MSELoss,
    "huber": nn.HuberLoss,
}
_GLOBAL_GENERATOR = threading.Lock()
SCHEDULES = {"constant", "one_cycle"}


def make_module(network_params, seed=0):
    """Build the network, its weights drawn at random.

    Parameters
    ----------
    network_params : dict
        Parameters of CGCNN, with site features as a table of the elements or as an
        instance, edge basis by name, as an instance or None, and the other parts as
        users name them.
    seed : int, default=0
        Determines the weights.

    Returns
    -------
    CGCNN
    """
    params = copy.deepcopy(network_params)
    params["site_features"] = _make_site_features(params["site_features"])
    params["edge_basis"] = _make_edge_basis(params["edge_basis"])
    params["conv"] = _choose_class("conv", params["conv"], CONVS, Conv)
    params["pooling"] = _choose_class("pooling", params["pooling"], POOLINGS, Pooling)
    params["readout"] = _choose_class("readout", params["readout"], READOUTS, Readout)
    params["activation"] = _make_activation(params["activation"])
    if isinstance(params["norm"], str):
        params["norm"] = NORMS[params["norm"]]
    # torch draws first weights from the generator of the whole process: one thread at a
    # time, and left as it was.
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return CGCNN(**params)


def _choose_class(name, choice, named, base):
    """Give the class of a part: the one of that name, or one of the user's own."""
    if isinstance(choice, str):
        return named[choice]
    if not issubclass(choice, base):
        raise TypeError(
            f"{name}={choice.__name__} is no subclass of sklearn_cgcnn.nn."
            f"{base.__name__}; inherit from it, or choose one of {sorted(named)}"
        )
    return choice


def _make_site_features(site_features):
    if isinstance(site_features, SiteFeatures):
        return site_features
    return SiteFeatures(torch.tensor(site_features))


def _make_edge_basis(edge_basis):
    if edge_basis is None:
        return NoEdgeFeatures()
    return EDGE_BASES[edge_basis]() if isinstance(edge_basis, str) else edge_basis


def _make_activation(activation):
    if isinstance(activation, str):
        return ACTIVATIONS[activation]
    return activation() if isinstance(activation, type) else activation


def is_same_part(wanted, found):
    """Tell whether two descriptions of a part of the network agree.

    Two instances of a module, and two partials, are taken for the same by their class,
    as copies of them compare as different.
    """
    if isinstance(wanted, np.ndarray) and isinstance(found, np.ndarray):
        return np.array_equal(wanted, found, equal_nan=True)
    if isinstance(wanted, nn.Module | functools.partial):
        return type(wanted) is type(found)
    return wanted is found or (type(wanted) is type(found) and wanted == found)


def describe_part(part):
    """Write a description of a part short enough for a message."""
    if isinstance(part, np.ndarray):
        return f"<table of {part.shape[1]} features>"
    return part


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
