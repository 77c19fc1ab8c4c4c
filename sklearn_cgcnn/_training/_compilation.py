"""Whether compiled loops save more time than it takes to compile or to load them."""

import torch

from sklearn_cgcnn._ops import can_compile
from sklearn_cgcnn._training._packed import CrystalDataset

# Seconds that compiled loops save in training, for each step and for each edge of an
# epoch, and in prediction for each edge. Measured with the default network on one core
# (AMD EPYC); others save more or less, in proportion.
_SAVED_A_STEP, _SAVED_AN_EDGE, _SAVED_IN_PREDICTION = 1.4e-3, 1.9e-6, 0.6e-6
# Seconds. Loading the loops takes 0.5 s in each process. Compiling them takes 3 s, once
# on each machine, which several trainings share.
_LEAST_SAVED = 1.0


def is_worth_compiling(
    dataset: CrystalDataset, device: torch.device, n_epochs: int, n_steps: int
) -> bool:
    """Return whether to sum over the edges of a dataset in compiled loops.

    The answer depends only on the amount of work, and not on what has been compiled
    before, so that the same call gives the same result.

    Parameters
    ----------
    dataset : CrystalDataset
        The crystals.
    device : torch.device
        The device that the network runs on.
    n_epochs : int
        Number of epochs of a training. 0 means prediction.
    n_steps : int
        Number of steps of an epoch.

    Returns
    -------
    bool
        False for a GPU, for which torch compiles anew in each process, and where Numba
        cannot be imported.
    """
    n_edges = dataset.n_edges
    saved = n_edges * _SAVED_IN_PREDICTION
    if n_epochs:
        saved = n_epochs * (n_steps * _SAVED_A_STEP + n_edges * _SAVED_AN_EDGE)
    return device.type == "cpu" and saved >= _LEAST_SAVED and can_compile(device)
