"""Checkpoints as the original program would write them, with random weights."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn.checkpoints import load_original_checkpoint

N_FEATURES, N_CHANNELS, N_HIDDEN = 92, 16, 8


@pytest.fixture(scope="session")
def atom_init():
    """Random element features, in the form of an atom_init.json."""
    rng = np.random.default_rng(0)
    return {str(z): rng.integers(0, 2, N_FEATURES).tolist() for z in range(1, 101)}


@pytest.fixture(scope="session")
def make_checkpoint():
    """Function that makes the dictionary of a checkpoint.

    Keyword arguments replace entries, and remove them if they are None. Two underscores
    separate the keys of nested dictionaries, as in ``args__lr=0.1``.
    """

    def make(n_conv=2, n_h=1, classification=False, **changes):
        checkpoint = _checkpoint(n_conv, n_h, classification)
        for path, value in changes.items():
            *outer, name = path.split("__")
            entries = checkpoint
            for key in outer:
                entries = entries[key]
            if value is None:
                del entries[name]
            else:
                entries[name] = value
        return checkpoint

    return make


@pytest.fixture
def save(tmp_path):
    """Function that saves an object as torch does, and returns the path."""

    def save_to_file(content, zipped=True):
        path = tmp_path / "model_best.pth.tar"
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        return path

    return save_to_file


@pytest.fixture(scope="session")
def loaded(make_checkpoint, atom_init, tmp_path_factory):
    """The regressor of an unchanged checkpoint. Tests must copy it to change it."""
    path = tmp_path_factory.mktemp("checkpoint") / "model_best.pth.tar"
    torch.save(make_checkpoint(), path)
    return load_original_checkpoint(path, atom_init)


@pytest.fixture(scope="session")
def crystals(ionic, irregular):
    """Various crystals, some of which have too few neighbors within 8 Å."""
    alone = Structure(Lattice.cubic(7.5), ["Xe"], [[0, 0, 0]])
    pair = Structure(Lattice.cubic(20.0), ["H", "H"], [[0, 0, 0], [0, 0, 0.04]])
    return [*ionic.data[:15], *irregular[:15], alone, pair]


@pytest.fixture(scope="session")
def original_folder(data_folder):
    """Files of the original program: published checkpoints, crystals, predictions."""
    return data_folder / "original"


def _checkpoint(n_conv, n_h, classification):
    return {
        "epoch": 7,
        "state_dict": _state(n_conv, n_h, n_outputs=2 if classification else 1),
        "best_mae_error": torch.tensor(0.25),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.02, "params": [0, 1]}]},
        "normalizer": {"mean": torch.tensor(1.5), "std": torch.tensor(0.5)},
        "args": {
            "data_options": ["folder"],
            "task": "classification" if classification else "regression",
            "lr": 0.02,
            "epochs": 12,
            "batch_size": 32,
            "lr_milestones": [8],
            "weight_decay": 0.0,
            "optim": "SGD",
            "atom_fea_len": N_CHANNELS,
            "h_fea_len": N_HIDDEN,
            "n_conv": n_conv,
            "n_h": n_h,
        },
    }


def _state(n_conv, n_h, n_outputs):
    generator = torch.Generator().manual_seed(0)
    state = OrderedDict()

    def linear(name, n_in, n_out):
        for part, shape in (("weight", (n_out, n_in)), ("bias", (n_out,))):
            state[f"{name}.{part}"] = torch.randn(shape, generator=generator) / 4

    def norm(name, n):
        for part in ("weight", "bias", "running_mean"):
            state[f"{name}.{part}"] = torch.randn(n, generator=generator) / 2
        state[f"{name}.running_var"] = torch.rand(n, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    linear("embedding", N_FEATURES, N_CHANNELS)
    for layer in range(n_conv):
        linear(f"convs.{layer}.fc_full", 2 * N_CHANNELS + 41, 2 * N_CHANNELS)
        norm(f"convs.{layer}.bn1", 2 * N_CHANNELS)
        norm(f"convs.{layer}.bn2", N_CHANNELS)
    linear("conv_to_fc", N_CHANNELS, N_HIDDEN)
    for layer in range(n_h - 1):
        linear(f"fcs.{layer}", N_HIDDEN, N_HIDDEN)
    linear("fc_out", N_HIDDEN, n_outputs)
    return state
