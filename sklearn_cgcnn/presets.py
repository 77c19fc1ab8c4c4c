"""The models of the paper and of its program, as parameters of the estimators.

The paper prints equations and the ranges of a random search (Table S1), but not what
the search chose, nor how long it trained. What is taken from elsewhere is marked as our
choice.
"""

import copy
from collections.abc import Mapping
from functools import partial
from math import exp
from typing import Any

from torch.optim.lr_scheduler import MultiStepLR

from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn.callbacks import GaussianWeights

__all__ = ["preset", "search_space"]

# The training runs to its last epoch, and returns to the best one.
_NEVER = 1_000_000

_AS_PRINTED: dict[str, Any] = {
    "readout": "crystal",  # with an activation before it, which is our choice
    "n_conv_layers": 3,  # our choice, within Table S1
    "n_site_channels": 64,  # our choice, between two of Table S1
    "n_hidden_layers": 1,  # our choice, within Table S1
    "n_hidden_channels": 64,  # our choice
    "site_features": "properties",  # Table II
    "edge_basis": "one-hot",  # Table III
    "norm": None,
    "activation": "softplus",  # our choice: that of the authors' program
    "dropout": 0.0,  # our choice, within Table S1
    "optimizer": "adam",
    "lr": exp(-6),  # our choice, within Table S1
    "lr_schedule": "constant",  # our choice
    "weight_decay": 0.0,  # our choice: the recipe stops early instead
    "max_epochs": 100,  # our choice
    "batch_size": 64,  # our choice
    "early_stopping": True,  # by the loss, our choice: the paper by absolute error
    "validation_fraction": 0.25,  # of 80 % of the crystals, as 20 % are for the test
    "n_iter_no_change": _NEVER,
    "callbacks": [GaussianWeights(exp(-4))],  # our choice, within Table S1
}

# By preset: for both estimators, for the regressor, for the classifier.
_PRESETS: Mapping[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "paper_eq4": (
        {
            **_AS_PRINTED,
            # That sites may be left alone, and elements have no radius, is our choice.
            "featurizer": CrystalGraphFeaturizer(
                connectivity="voronoi", isolated_sites="keep", missing_radii="ignore"
            ),
            "conv": "shared",
            "pooling": "all_layers",
        },
        {"loss": "squared_error"},  # our choice: that of the authors' program
        {},
    ),
    "paper_eq5": (
        {**_AS_PRINTED, "featurizer": None, "conv": "gated", "pooling": "mean"},
        {"loss": "squared_error"},  # our choice: that of the authors' program
        {},
    ),
    # What its command line has by default.
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
            "site_features": "properties",  # our choice, where its file is not given
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
            "validation_fraction": 0.1 / 0.9,  # as another tenth is for the test
            "n_iter_no_change": _NEVER,
        },
        {"dropout": 0.0, "loss": "squared_error"},
        {"dropout": 0.5},
    ),
}


def preset(name: str, *, classification: bool = False) -> dict[str, Any]:
    """Give the parameters of a model of the paper or of its program.

    Parameters
    ----------
    name : {"paper_eq4", "paper_eq5", "released"}
        See :meth:`sklearn_cgcnn.CGCNNRegressor.from_preset`, which makes an estimator
        of them.
    classification : bool, default=False
        Whether they are for a classifier.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If there is no such preset.
    """
    if name not in _PRESETS:
        raise ValueError(f"preset must be one of {sorted(_PRESETS)}, got {name!r}")
    common, of_regressor, of_classifier = _PRESETS[name]
    own = of_classifier if classification else of_regressor
    return copy.deepcopy({**common, **own})


def search_space(name: str) -> list[dict[str, list[Any]]]:
    """Give what the paper searched over at random (supplement, Table S1).

    For Eq. 5 the paper searched over the number of convolutions, the regularization
    and the step of Adam; for Eq. 4 over all that Table S1 has. Hidden layers are either
    on the sites (L1), whose mean is then the prediction, or on the crystal (L2).

    Parameters
    ----------
    name : {"paper_eq4", "paper_eq5"}
        The preset that the search is to vary.

    Returns
    -------
    list of dict of str to list
        As :class:`~sklearn.model_selection.RandomizedSearchCV` takes them.

    Raises
    ------
    ValueError
        If there is no such search in the paper.

    Notes
    -----
    The paper adds λ‖W‖² to its loss, whose gradient is 2λW; Adam in torch adds
    `weight_decay` W, which is therefore 2λ here. Searching over the scale of the
    Gaussians that the first weights are drawn from sets `callbacks`.

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
    searched: dict[str, list[Any]] = {
        "n_conv_layers": [1, 2, 3, 4, 5],
        "weight_decay": [2 * exp(power) for power in (-6, -4, -2, 0)],
        "lr": [exp(power) for power in (-8, -7, -6, -5, -4, -3)],
    }
    if name == "paper_eq5":
        return [searched]
    if name != "paper_eq4":
        raise ValueError(
            f"the paper has no search for {name!r}; choose 'paper_eq4' or 'paper_eq5'"
        )
    searched |= {
        "site_features": [
            ("group", "period"),
            ("group", "period", "electronegativity"),
            "properties",
        ],
        "n_site_channels": [10, 20, 50, 100, 200],
        "callbacks": [[GaussianWeights(exp(power))] for power in (-8, -6, -4, -2)],
        "dropout": [0.0, 0.1, 0.2],
    }
    on_sites = {"readout": ["site"], "pooling": ["mean"]}
    return [
        {**searched, **on_sites, "n_hidden_layers": [1, 2, 3, 4]},
        {**searched, "n_hidden_layers": [1, 2, 3, 4, 5]},
    ]
