"""Convert a checkpoint of the original program to a fitted estimator."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import MultiStepLR

from sklearn_cgcnn._estimators import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn.checkpoints._audit import NORM_ENTRIES, OriginalCheckpoint, audit
from sklearn_cgcnn.checkpoints._reading import read_checkpoint
from sklearn_cgcnn.exceptions import CheckpointFormatError
from sklearn_cgcnn.graphs import element_table


def load_original_checkpoint(
    path: str | os.PathLike[str], atom_init: Any
) -> CGCNNRegressor | CGCNNClassifier:
    """Load a model that was trained by the program of the paper's authors.

    The model predicts what the original program would predict. It uses the same graphs
    (the 12 nearest neighbors within 8 Å, cut at exactly 12), the same weights and the
    same normalization of the target. Like any other estimator, it can be trained
    further with ``set_params(warm_start=True)``.

    Parameters
    ----------
    path : str or path-like
        A file ``*.pth.tar`` that the program wrote. Nothing in it is executed.
    atom_init : str, path-like, DataFrame, mapping or array-like
        Element features that the model was trained with, which the file does not
        contain: the path of its ``atom_init.json``, or any other table that the
        parameter `site_features` of the estimators accepts.

    Returns
    -------
    CGCNNRegressor or CGCNNClassifier
        Fitted estimator. Its parameters describe the network. Optimizer, learning rate
        schedule and batch size are those of the checkpoint as far as it states them.
        The classes of a classifier are 0 and 1.

    Raises
    ------
    CheckpointFormatError
        If the file is damaged, is not a checkpoint of the original program, or was
        trained with another number of element features than `atom_init` has.
    OSError
        If the file cannot be read.
    ValueError
        If `atom_init` cannot be read, or is not a table of element features.

    Notes
    -----
    The published files have the format that torch used before version 1.6, which has
    no checksums. Damage to such a file is detected only if its content becomes
    invalid. A file that claims to be published is therefore accepted only if its
    SHA-256 is that of a published file.

    Examples
    --------
    >>> from sklearn_cgcnn.checkpoints import load_original_checkpoint
    >>> model = load_original_checkpoint(
    ...     "pre-trained/bulk-moduli.pth.tar", "atom_init.json"
    ... )  # doctest: +SKIP
    >>> model.predict(structures)  # doctest: +SKIP
    """
    path = Path(path)
    checkpoint = audit(read_checkpoint(path), path)
    site_features = element_table(atom_init)
    if site_features.shape[1] != checkpoint.n_features:
        raise CheckpointFormatError(
            f"{path} was trained with {checkpoint.n_features} element features, but "
            f"atom_init has {site_features.shape[1]}; pass the atom_init.json that it "
            "was trained with"
        )
    return _make_fitted(checkpoint, site_features)


def _make_fitted(
    checkpoint: OriginalCheckpoint, site_features: NDArray[Any]
) -> CGCNNRegressor | CGCNNClassifier:
    params = {
        **_network_params(checkpoint),
        **_training_params(checkpoint.args),
        "site_features": site_features,
    }
    weights, n_epochs = _map_weights(checkpoint), checkpoint.epoch
    if checkpoint.classification:
        classifier = CGCNNClassifier.from_preset("released", **params)
        return classifier.load_weights(weights, classes=[0, 1], n_epochs=n_epochs)
    regressor = CGCNNRegressor.from_preset("released", **params)
    return regressor.load_weights(
        weights,
        target_mean=checkpoint.mean,
        target_scale=checkpoint.std,
        n_epochs=n_epochs,
    )


def _network_params(checkpoint: OriginalCheckpoint) -> dict[str, Any]:
    """Return the parameters of the estimator that define graphs and network."""
    return {
        "featurizer": CrystalGraphFeaturizer(
            max_neighbors=12,
            cutoff=8.0,
            connectivity="original",
            merge_equivalent=False,
        ),
        "n_conv_layers": checkpoint.n_conv_layers,
        "n_site_channels": checkpoint.n_site_channels,
        "n_hidden_layers": checkpoint.n_hidden_layers,
        "n_hidden_channels": checkpoint.n_hidden_channels,
    }


def _training_params(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the training parameters that the arguments contain, if they are valid."""
    params = {
        "lr": _get_number(args, "lr", 1e-12),
        "weight_decay": _get_number(args, "weight_decay", 0.0),
        "batch_size": _get_number(args, "batch_size", 1, int),
        "max_epochs": _get_number(args, "epochs", 1, int),
        "optimizer": _get_optimizer(args),
        "lr_schedule": _get_schedule(args),
    }
    return {name: value for name, value in params.items() if value is not None}


def _get_number(
    args: Mapping[str, Any], name: str, minimum: float, dtype: type = float
) -> Any:
    """Return a number among the arguments, or None if it is not valid."""
    value: Any = args.get(name)
    # By type, because True and False are instances of int.
    is_number = type(value) in {int, dtype}
    return value if is_number and minimum <= value < 1e9 else None


def _get_optimizer(args: Mapping[str, Any]) -> Any:
    name, momentum = args.get("optim"), _get_number(args, "momentum", 0.0)
    if not isinstance(name, str):
        return None
    # The momentum of optimizer="sgd" is 0.9, the default of the original program.
    if name == "SGD" and momentum not in (None, 0.9):
        return partial(torch.optim.SGD, momentum=momentum)
    return {"SGD": "sgd", "Adam": "adam"}.get(name)


def _get_schedule(args: Mapping[str, Any]) -> Any:
    milestones: Any = args.get("lr_milestones")
    if isinstance(milestones, list) and all(type(epoch) is int for epoch in milestones):
        return partial(MultiStepLR, milestones=milestones)
    return None


def _map_weights(checkpoint: OriginalCheckpoint) -> dict[str, Tensor]:
    """Return the weights under the names of this package's network."""
    original, weights = checkpoint.state, {}

    def copy(name: str, original_name: str, *entries: str) -> None:
        for entry in entries:
            weights[f"{name}.{entry}"] = original[f"{original_name}.{entry}"]

    copy("embedding", "embedding", "weight", "bias")
    for layer in range(checkpoint.n_conv_layers):
        conv = f"convs.{layer}"
        copy(f"{conv}.linear", f"{conv}.fc_full", "weight")
        copy(f"{conv}.edge_norm", f"{conv}.bn1", *NORM_ENTRIES)
        copy(f"{conv}.site_norm", f"{conv}.bn2", *NORM_ENTRIES)
        # The original program has a bias before the norm, and this package has none:
        # (W x + bias) - mean = W x - (mean - bias).
        mean = f"{conv}.edge_norm.running_mean"
        weights[mean] = weights[mean] - original[f"{conv}.fc_full.bias"]
    copy("readout.hidden.0", "conv_to_fc", "weight", "bias")
    for layer in range(checkpoint.n_hidden_layers - 1):
        copy(f"readout.hidden.{layer + 1}", f"fcs.{layer}", "weight", "bias")
    copy("readout.output", "fc_out", "weight", "bias")
    return weights
