"""From the names and classes that a user gives to the parts of a training."""

import copy
import inspect
import threading

import torch
from torch import nn

from sklearn_cgcnn._callbacks import EpochSchedule, OneCycle
from sklearn_cgcnn.graphs import one_hot_site_features
from sklearn_cgcnn.nn import CGCNN, EDGE_BASES, SiteFeatures

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
        Parameters of CGCNN, with the edge basis by name or as an instance, and without
        the site features.
    seed : int, default=0
        Determines the weights.

    Returns
    -------
    CGCNN
    """
    params = copy.deepcopy(network_params)
    edge_basis = params.pop("edge_basis")
    if isinstance(edge_basis, str):
        edge_basis = EDGE_BASES[edge_basis]()
    table = torch.tensor(one_hot_site_features())
    # torch draws first weights from the generator of the whole process: one thread at a
    # time, and left as it was.
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return CGCNN(SiteFeatures(table), edge_basis, **params)


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
