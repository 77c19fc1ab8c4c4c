"""From a checkpoint of the original program to a fitted estimator."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
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
    neighbours within 8 Å, cut at exactly 12), its weights and its normalisation of the
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
        Fitted. Its parameters are those of the training, as far as the file tells. The
        classes of a classifier are 0 and 1.

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
    model = kind.from_preset("released", **_params(found), site_features=atom_init)
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
    args = found.args
    for name, of_args, kind in [
        ("lr", "lr", float),
        ("weight_decay", "weight_decay", float),
        ("batch_size", "batch_size", int),
        ("max_epochs", "epochs", int),
    ]:
        if isinstance(args.get(of_args), int | float) and args[of_args] >= 0:
            params[name] = kind(args[of_args])
    if args.get("optim") == "Adam":
        params["optimizer"] = "adam"
    milestones = args.get("lr_milestones")
    if isinstance(milestones, list) and all(isinstance(n, int) for n in milestones):
        params["lr_schedule"] = partial(MultiStepLR, milestones=milestones)
    return params


def _weights(found: OriginalCheckpoint) -> dict[str, Tensor]:
    """Weights by the names of our network."""
    state, weights = found.state, {}

    def take(name: str, original: str, *parts: str) -> None:
        for part in parts:
            weights[f"{name}.{part}"] = state[f"{original}.{part}"].clone()

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
        mean = weights[f"{conv}.edge_norm.running_mean"]
        mean -= state[f"{conv}.fc_full.bias"]
    take("readout.hidden.0", "conv_to_fc", "weight", "bias")
    for layer in range(found.n_hidden_layers - 1):
        take(f"readout.hidden.{layer + 1}", f"fcs.{layer}", "weight", "bias")
    take("readout.output", "fc_out", "weight", "bias")
    return weights
