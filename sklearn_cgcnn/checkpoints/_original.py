"""From a checkpoint of the original program to a fitted estimator."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import MultiStepLR

from sklearn_cgcnn._estimators import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn.checkpoints._audit import OriginalCheckpoint, audit
from sklearn_cgcnn.checkpoints._reading import read_checkpoint
from sklearn_cgcnn.exceptions import CheckpointFormatError
from sklearn_cgcnn.graphs import element_table


def load_original_checkpoint(
    path: str | os.PathLike[str], atom_init: Any
) -> CGCNNRegressor | CGCNNClassifier:
    """Load a model that the program of the paper's authors has trained.

    The model predicts what their program would: it has its graphs (the 12 nearest
    neighbors within 8 Å, cut at exactly 12), its weights and its normalization of the
    target. It is an estimator like any other, and can be trained on with
    ``set_params(warm_start=True)``.

    Parameters
    ----------
    path : str or path-like
        A file ``*.pth.tar`` that the program wrote. Nothing in it is executed.
    atom_init : str, path-like, DataFrame, mapping or array-like
        The features of the elements that the model was trained with, which the file
        does not hold: the path of its ``atom_init.json``, or such a table in another
        form that `site_features` of the estimators takes.

    Returns
    -------
    CGCNNRegressor or CGCNNClassifier
        Fitted. Its parameters are those of the network, and those of the optimizer,
        its schedule, and the batches, as far as the file tells. The classes of a
        classifier are 0 and 1.

    Raises
    ------
    CheckpointFormatError
        If the file is damaged, is no checkpoint of the original program, or has other
        features of the elements than `atom_init`.
    OSError
        If the file cannot be read.

    Notes
    -----
    Files as the published ones are, in torch's format before 1.6, hold no sums: of
    these, damage is noticed only where it shows. The published ones are compared with
    their SHA-256.

    Examples
    --------
    >>> from sklearn_cgcnn.checkpoints import load_original_checkpoint
    >>> model = load_original_checkpoint(
    ...     "pre-trained/bulk-moduli.pth.tar", "atom_init.json"
    ... )  # doctest: +SKIP
    >>> model.predict(structures)  # doctest: +SKIP
    """
    path = Path(path)
    found = audit(read_checkpoint(path), path)
    table = element_table(atom_init)
    if table.shape[1] != found.n_features:
        raise CheckpointFormatError(
            f"{path} was trained with {found.n_features} features of the elements, and "
            f"atom_init has {table.shape[1]}; pass the atom_init.json that it was "
            "trained with"
        )
    kind = CGCNNClassifier if found.classification else CGCNNRegressor
    model = kind.from_preset("released", **_params(found), site_features=table)
    if found.classification:
        target: dict[str, Any] = {"classes_": np.array([0, 1])}
    else:
        target = {
            "target_mean_": np.array([found.mean]),
            "target_scale_": np.array([found.std]),
            "_two_dimensional": False,
        }
    fitted: CGCNNRegressor | CGCNNClassifier = model._with_weights(
        _weights(found), n_epochs=found.epoch, **target
    )
    return fitted


def _params(found: OriginalCheckpoint) -> dict[str, Any]:
    """Parameters of the estimator, those of the training as far as they are told."""
    params: dict[str, Any] = {
        "featurizer": CrystalGraphFeaturizer(
            max_neighbors=12,
            cutoff=8.0,
            connectivity="original",
            merge_equivalent=False,
        ),
        "n_conv_layers": found.n_conv_layers,
        "n_site_channels": found.n_site_channels,
        "n_hidden_layers": found.n_hidden_layers,
        "n_hidden_channels": found.n_hidden_channels,
    }
    return params | {
        name: value for name, value in _recipe(found.args).items() if value is not None
    }


def _recipe(args: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the training, None where the arguments do not tell."""

    def number(name: str, least: float, kind: type = float) -> Any:
        value: Any = args.get(name)
        is_one = isinstance(value, int if kind is int else int | float)
        is_one = is_one and not isinstance(value, bool)
        return value if is_one and least <= value < 1e9 else None

    optimizer, momentum = args.get("optim"), number("momentum", 0.0)
    if optimizer == "SGD" and momentum not in (None, 0.9):
        chosen: Any = partial(torch.optim.SGD, momentum=momentum)
    else:
        chosen = {"SGD": "sgd", "Adam": "adam"}.get(str(optimizer)[:9])
    milestones: Any = args.get("lr_milestones")
    told = isinstance(milestones, list) and all(type(n) is int for n in milestones)
    return {
        "lr": number("lr", 1e-12),
        "weight_decay": number("weight_decay", 0.0),
        "batch_size": number("batch_size", 1, int),
        "max_epochs": number("epochs", 1, int),
        "optimizer": chosen,
        "lr_schedule": partial(MultiStepLR, milestones=milestones) if told else None,
    }


def _weights(found: OriginalCheckpoint) -> dict[str, Tensor]:
    """Weights by the names of our network."""
    state, weights = found.state, {}

    def take(name: str, original: str, *parts: str) -> None:
        for part in parts:
            weights[f"{name}.{part}"] = state[f"{original}.{part}"]

    take("embedding", "embedding", "weight", "bias")
    for layer in range(found.n_conv_layers):
        conv = f"convs.{layer}"
        take(f"{conv}.linear", f"{conv}.fc_full", "weight")
        for ours, original in [("edge_norm", "bn1"), ("site_norm", "bn2")]:
            take(
                f"{conv}.{ours}",
                f"{conv}.{original}",
                "weight",
                "bias",
                "running_mean",
                "running_var",
            )
        # A bias before a norm only shifts the mean that it takes away.
        name = f"{conv}.edge_norm.running_mean"
        weights[name] = weights[name] - state[f"{conv}.fc_full.bias"]
    take("readout.hidden.0", "conv_to_fc", "weight", "bias")
    for layer in range(found.n_hidden_layers - 1):
        take(f"readout.hidden.{layer + 1}", f"fcs.{layer}", "weight", "bias")
    take("readout.output", "fc_out", "weight", "bias")
    return weights
