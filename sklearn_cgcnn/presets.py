"""The models of the paper and of the original program, as estimator parameters.

The paper gives equations and the ranges of a random search (Table S1). It gives neither
the values that the search selected nor the length of the training. Values that are not
from the paper are marked as our choice.
"""

import copy
from collections.abc import Mapping
from functools import partial
from math import exp
from typing import Any

from torch.optim.lr_scheduler import MultiStepLR

from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn.callbacks import GaussianWeights
from sklearn_cgcnn.graphs import VoronoiNeighbors

__all__ = ["preset", "search_space"]

# Training runs to the last epoch, and then restores the weights of the best one.
_NEVER = 1_000_000

# Parameters that Eq. 4 and Eq. 5 of the paper have in common.
_PAPER: dict[str, Any] = {
    "readout": "crystal",  # the activation before it is our choice
    "n_conv_layers": 3,  # our choice, within Table S1
    "n_site_channels": 64,  # our choice, between two values of Table S1
    "n_hidden_layers": 1,  # our choice, within Table S1
    "n_hidden_channels": 64,  # our choice
    "site_features": "properties",  # Table II
    "edge_basis": "one-hot",  # Table III
    "norm": None,
    "activation": "softplus",  # our choice: as in the original program
    "dropout": 0.0,  # our choice, within Table S1
    "optimizer": "adam",
    "lr": exp(-6),  # our choice, within Table S1
    "lr_schedule": "constant",  # our choice
    "weight_decay": 0.0,  # our choice: the best epoch is restored instead
    "max_epochs": 100,  # our choice
    "batch_size": 64,  # our choice
    "early_stopping": True,  # by the loss, our choice: the paper uses absolute errors
    "validation_fraction": 0.25,  # a quarter of the 80 % that are not for testing
    "n_iter_no_change": _NEVER,
    "callbacks": [GaussianWeights(exp(-4))],  # our choice, within Table S1
}

# For each preset: parameters of both estimators, of the regressor, of the classifier.
_PRESETS: Mapping[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "paper_eq4": (
        {
            **_PAPER,
            # It is our choice to keep sites without neighbors, and elements without a
            # covalent radius.
            "featurizer": CrystalGraphFeaturizer(
                connectivity=VoronoiNeighbors(
                    missing_radii="ignore", isolated_sites="keep"
                )
            ),
            "conv": "shared",
            "pooling": "all_layers",
        },
        # The loss is our choice: that of the original program.
        {"baseline": None, "loss": "squared_error"},
        {},
    ),
    "paper_eq5": (
        {**_PAPER, "featurizer": None, "conv": "gated", "pooling": "mean"},
        # The loss is our choice: that of the original program.
        {"baseline": None, "loss": "squared_error"},
        {},
    ),
    # The defaults of the original program's command line.
    "released": (
        {
            "featurizer": CrystalGraphFeaturizer(max_neighbors=12, cutoff=8.0),
            "conv": "gated",
            "pooling": "mean",
            "readout": "crystal",
            "n_conv_layers": 3,
            "n_site_channels": 64,
            "n_hidden_layers": 1,
            "n_hidden_channels": 128,
            "site_features": "properties",  # our choice, in place of its atom_init.json
            "edge_basis": "gaussian",
            "norm": "batch",
            "activation": "softplus",
            "optimizer": "sgd",
            "lr": 0.01,
            "lr_schedule": partial(MultiStepLR, milestones=[100]),
            "weight_decay": 0.0,
            "max_epochs": 30,
            "batch_size": 256,
            "early_stopping": True,
            # 10 % of all crystals: another tenth is the test set.
            "validation_fraction": 0.1 / 0.9,
            "n_iter_no_change": _NEVER,
        },
        {"baseline": None, "dropout": 0.0, "loss": "squared_error"},
        {"dropout": 0.5},
    ),
}


def preset(name: str, *, classification: bool = False) -> dict[str, Any]:
    """Return the estimator parameters of a model of the paper or the original program.

    Parameters
    ----------
    name : {"paper_eq4", "paper_eq5", "released"}
        The model: Eq. 4 or Eq. 5 of the paper, or the original program.
    classification : bool, default=False
        Whether the parameters are for a classifier.

    Returns
    -------
    dict of str to object
        Parameters of :class:`~sklearn_cgcnn.CGCNNClassifier` if `classification` is
        True, otherwise of :class:`~sklearn_cgcnn.CGCNNRegressor`.

    Raises
    ------
    ValueError
        If there is no preset of this name.

    See Also
    --------
    sklearn_cgcnn.CGCNNRegressor.from_preset : Make an estimator from a preset.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.presets import preset
    >>> params = preset("paper_eq5")
    >>> params["conv"], params["edge_basis"], params["norm"]
    ('gated', 'one-hot', None)
    >>> model = CGCNNRegressor(**{**params, "max_epochs": 20})
    """
    if name not in _PRESETS:
        raise ValueError(
            f"name={name!r} is not a preset; choose one of {sorted(_PRESETS)}"
        )
    common, regressor, classifier = _PRESETS[name]
    specific = classifier if classification else regressor
    return copy.deepcopy({**common, **specific})


def search_space(name: str) -> list[dict[str, list[Any]]]:
    """Return the space of the paper's random search (supplement, Table S1).

    For Eq. 5 the paper searched over the number of convolutions, the regularization and
    the learning rate of Adam. For Eq. 4 it searched over everything in Table S1. Hidden
    layers act either on the sites (L1), and the prediction is the mean over the sites,
    or on the crystal (L2).

    Parameters
    ----------
    name : {"paper_eq4", "paper_eq5"}
        The preset whose parameters the search varies.

    Returns
    -------
    list of dict of str to list
        Parameter distributions for
        :class:`~sklearn.model_selection.RandomizedSearchCV`.

    Raises
    ------
    ValueError
        If the paper has no search for this preset.

    Notes
    -----
    The paper adds λ‖W‖² to its loss. The gradient of this term is 2λW. Adam in torch
    adds `weight_decay` W to the gradient, so that `weight_decay` is 2λ here. The
    initial weights are drawn from Gaussians, and `callbacks` sets their scale.

    Examples
    --------
    >>> from sklearn.model_selection import RandomizedSearchCV, ShuffleSplit
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.presets import search_space
    >>> search = RandomizedSearchCV(
    ...     CGCNNRegressor.from_preset("paper_eq4"),
    ...     search_space("paper_eq4"),
    ...     n_iter=20,
    ...     scoring="neg_mean_absolute_error",
    ...     cv=ShuffleSplit(1, test_size=0.25),
    ... )
    """
    if name not in ("paper_eq4", "paper_eq5"):
        raise ValueError(
            f"the paper has no search for {name!r}; use 'paper_eq4' or 'paper_eq5'"
        )
    space = _training_space()
    if name == "paper_eq5":
        return [space]
    space |= _model_space()
    on_sites = {"readout": ["site"], "pooling": ["mean"]}
    return [
        {**space, **on_sites, "n_hidden_layers": [1, 2, 3, 4]},
        {**space, "n_hidden_layers": [1, 2, 3, 4, 5]},
    ]


def _training_space() -> dict[str, list[Any]]:
    return {
        "n_conv_layers": [1, 2, 3, 4, 5],
        "weight_decay": [2 * exp(power) for power in (-6, -4, -2, 0)],
        "lr": [exp(power) for power in (-8, -7, -6, -5, -4, -3)],
    }


def _model_space() -> dict[str, list[Any]]:
    return {
        "site_features": [
            ("group", "period"),
            ("group", "period", "electronegativity"),
            "properties",
        ],
        "n_site_channels": [10, 20, 50, 100, 200],
        "callbacks": [[GaussianWeights(exp(power))] for power in (-8, -6, -4, -2)],
        "dropout": [0.0, 0.1, 0.2],
    }
