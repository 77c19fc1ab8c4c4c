"""Choices of network and training, compared on crystals held back from training parts.

Run by ``tox run -e bench -- -k recipe``. Environment variables say what is run:

``RECIPE_STORE``
    File to which each finished fit is added as a line of JSON. Fits that it holds are
    not repeated, so that a run can be stopped and continued, or shared by processes.
``RECIPE_TASKS``, ``RECIPE_CHOICES``, ``RECIPE_SEEDS``
    Names of tasks, names of choices, and seeds, separated by commas.
``RECIPE_PARAMS``
    Parameters for all fits, as JSON: ``{"max_epochs": 40}`` makes comparisons cheaper.
``RECIPE_SIZE``
    Largest number of training crystals, for cheaper comparisons. All by default.
``RECIPE_PARTS``
    Numbers of the official parts, such as folds of Matbench. All by default.
``RECIPE_OFFICIAL``
    If set, the default, or each of ``RECIPE_CHOICES``, is trained and tested on the
    official parts of the tasks, which are not used for any choice (``-k official``).

Each choice is compared with the default by seed: both are trained on the same crystals
with the same seed. The spread of these differences tells a gain from chance.
"""

import json
import os
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from finished_fits import Store, asked_for
from recipe_tasks import TASKS, Tasks

# What changes, in comparison with the default.
CHOICES = {
    "default": {},
    "first release": {
        "conv": "gated",
        "activation": "softplus",
        "edge_basis": "gaussian",
        "site_features": "properties",
        "optimizer": "adamw",
        "max_epochs": 100,
    },
    "first release of the classifier": {
        "conv": "gated",
        "activation": "softplus",
        "edge_basis": "gaussian",
        "site_features": "properties",
        "optimizer": "adamw",
        "max_epochs": 30,
    },
    "Eq. 5": {"conv": "gated", "activation": "softplus", "edge_basis": "gaussian"},
    "Eq. 5 with SiLU": {"conv": "gated", "edge_basis": "gaussian"},
    "AdamW": {"optimizer": "adamw"},
    "AdamW with decay 0.1": {"optimizer": "adamw", "weight_decay": 0.1},
    "properties alone": {"site_features": "properties"},
    "learned alone": {"site_features": "learned"},
    "Gaussians": {"edge_basis": "gaussian"},
    "softplus": {"activation": "softplus"},
    "no norm": {"norm": None, "lr": 1e-3},
    "128 channels": {"n_site_channels": 128},
    "2 convolutions": {"n_conv_layers": 2},
    "5 convolutions": {"n_conv_layers": 5},
    "no hidden layer": {"n_hidden_layers": 0},
    "2 hidden layers": {"n_hidden_layers": 2},
    "learning rate 0.003": {"lr": 0.003},
    "learning rate 0.02": {"lr": 0.02},
    "weight decay 0.01": {"weight_decay": 0.01},
    "weight decay 0.03": {"weight_decay": 0.03},
    "weight decay 0.2": {"weight_decay": 0.2},
    "batches of 32": {"batch_size": 32},
    "batches of 128": {"batch_size": 128},
    "squared error": {"loss": "squared_error"},
    "dropout 0.1": {"dropout": 0.1},
    # Against overfitting, for classifiers.
    "32 channels": {"n_site_channels": 32},
    "weight decay 0.5": {"weight_decay": 0.5},
    "weight decay 0.5 and 16 epochs": {"weight_decay": 0.5, "max_epochs": 16},
    "5 epochs": {"max_epochs": 5},
    "12 epochs": {"max_epochs": 12},
    "dropout 0.3": {"dropout": 0.3},
    "label smoothing 0.1": {"loss": torch.nn.CrossEntropyLoss(label_smoothing=0.1)},
}


def fit_and_test(task, graphs, y, train, test, **params):
    """Return error, error on training crystals, and seconds of a fit."""
    model, target = task.make_model(**params), y[train]
    if task.is_classification:
        target = target.astype(int)
    start = time.perf_counter()
    model.fit(graphs[train], target)
    seconds = time.perf_counter() - start
    some = train[:2_000]
    return {
        "error": float(task.error(model, graphs[test], y[test])),
        "error in training": float(task.error(model, graphs[some], y[some])),
        "seconds": round(seconds, 1),
        "crystals": len(train),
        "epochs": model.n_iter_,
    }


@pytest.fixture(scope="module")
def tasks(data_folder):
    """The tasks, on the real crystals."""
    return Tasks(data_folder)


@pytest.fixture(scope="module")
def store():
    """The file of finished fits, or none."""
    path = os.environ.get("RECIPE_STORE")
    return Store(None if path is None else Path(path))


def report(name, choice, fits, defaults):
    """Print the error of a choice, and its paired differences from the default."""
    errors, of_default = (
        np.array([fit["error"] for fit in each]) for each in (fits, defaults)
    )
    seconds, of_default_seconds = (
        sum(fit["seconds"] for fit in each) for each in (fits, defaults)
    )
    differences = 100 * (errors / of_default - 1)
    spread = differences.std(ddof=1) / len(errors) ** 0.5 if len(errors) > 1 else np.nan
    print(
        f"{name:12s} {choice:22s} {errors.mean():.5g} {TASKS[name].unit}, "
        f"{differences.mean():+.1f} ± {spread:.1f} %, "
        f"{seconds / len(fits):.0f} s ({seconds / of_default_seconds:.2f})"
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", asked_for("RECIPE_TASKS", "bulk,phonons,jdft2d"))
def test_recipe(tasks, store, name):
    common = json.loads(os.environ.get("RECIPE_PARAMS", "{}"))
    seeds = [int(seed) for seed in asked_for("RECIPE_SEEDS", "0,1,2")]
    size = int(os.environ.get("RECIPE_SIZE", "1000000"))
    choices = asked_for("RECIPE_CHOICES", ",".join(CHOICES))
    fits = {}
    print()
    for choice in dict.fromkeys(["default", *choices]):
        fits[choice] = [
            store.find_or_run(
                lambda choice=choice, seed=seed: fit_and_test(
                    TASKS[name],
                    *tasks.validation_parts(name, seed, size),
                    **{"random_state": seed, **common, **CHOICES[choice]},
                ),
                task=name,
                choice=choice,
                seed=seed,
                part=f"validation {size} {json.dumps(common, sort_keys=True)}",
            )
            for seed in seeds
        ]
        report(name, choice, fits[choice], fits["default"])


@pytest.mark.skipif("RECIPE_OFFICIAL" not in os.environ, reason="used once, at the end")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", asked_for("RECIPE_TASKS", ",".join(TASKS)))
def test_official(tasks, store, name):
    graphs, y, parts = tasks.data(name)
    print()
    seeds = [int(seed) for seed in asked_for("RECIPE_SEEDS", "0")]
    every = ",".join(map(str, range(len(parts))))
    chosen = [int(part) for part in asked_for("RECIPE_PARTS", every)]
    for choice, seed in product(asked_for("RECIPE_CHOICES", "default"), seeds):
        fits = [
            store.find_or_run(
                lambda part=part, choice=choice, seed=seed: fit_and_test(
                    TASKS[name],
                    graphs,
                    y,
                    *parts[part],
                    **{"random_state": seed, **CHOICES[choice]},
                ),
                task=name,
                choice=choice,
                seed=seed,
                part=f"official {part}",
            )
            for part in chosen
        ]
        errors = [fit["error"] for fit in fits]
        print(
            f"{name}, {choice}, seed {seed}: {np.mean(errors):.5g} {TASKS[name].unit} "
            f"({', '.join(f'{error:.5g}' for error in errors)}), "
            f"{np.mean([fit['seconds'] for fit in fits]):.0f} s a fit"
        )
