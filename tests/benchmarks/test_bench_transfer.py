"""Begin from a model of formation energies, or from scratch, with few crystals.

Run by ``tox run -e bench -- -k transfer``. Environment variables say what is run:

``TRANSFER_STORE``
    Folder for the model of formation energies (joblib) and ``results.jsonl``, one line
    for each fit. What it holds is not computed again.
``TRANSFER_TASKS``, ``TRANSFER_SIZES``, ``TRANSFER_SEEDS``
    Names of tasks, numbers of training crystals, and seeds, separated by commas.
``TRANSFER_PART``
    "validation" compares on crystals held back from the training parts, to choose how
    to train; "test" (the default) on the official test parts.
``TRANSFER_LIMIT``
    Largest number of formation energies, to try it out.

No crystal to compare on has a formula that the model of formation energies was trained
with, so that neither the crystal nor another form of it was.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from finished_fits import Store, asked_for, kept_in_file
from recipe_tasks import TASKS, Tasks
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.metrics import crystal_groups

FOLDER = Path(os.environ["TRANSFER_STORE"]) if "TRANSFER_STORE" in os.environ else None
PART = os.environ.get("TRANSFER_PART", "test")
LIMIT = int(os.environ.get("TRANSFER_LIMIT", "1000000"))
TARGETS = ("phonons", "bulk", "shear", "jdft2d")
# Parameters beside `pretrained`. None begins from scratch.
WAYS = {
    "scratch": None,
    "learning rate 0.02": {"lr": 0.02},
    "and weight decay 0.01": {"lr": 0.02, "weight_decay": 0.01},
}


@pytest.fixture(scope="module")
def tasks(data_folder):
    """The tasks, on the real crystals."""
    return Tasks(data_folder)


@pytest.fixture(scope="module")
def formation(tasks):
    """A model of formation energies that knows no formula of a test crystal."""
    path = None if FOLDER is None else FOLDER / f"formation {PART} {LIMIT}.joblib"
    return kept_in_file(path, lambda: fit_formation(tasks))


def parts(tasks, name):
    """Graphs, values, and positions to train on and to compare on."""
    if PART == "validation":
        return tasks.validation_parts(name, 0)
    graphs, y, ((train, test), *_) = tasks.data(name)
    return graphs, y, train, test


def fit_formation(tasks):
    graphs, y, _ = tasks.data("formation")
    formulas = crystal_groups(graphs)
    kept = np.ones(len(y), dtype=bool)
    for name in TARGETS:
        others, _, _, test = parts(tasks, name)
        kept &= ~np.isin(formulas, crystal_groups(others[np.sort(test)]))
    rows = np.flatnonzero(kept)[:LIMIT]
    print(f"\n{len(rows)} of {len(y)} formation energies", flush=True)
    return CGCNNRegressor(random_state=0).fit(graphs[rows], y[rows])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", asked_for("TRANSFER_TASKS", ",".join(TARGETS)))
def test_transfer(tasks, formation, name):
    store = Store(None if FOLDER is None else FOLDER / "results.jsonl")
    graphs, y, train, test = parts(tasks, name)
    print()
    for size in map(int, asked_for("TRANSFER_SIZES", "100,300,1000")):
        if size > len(train):
            continue
        errors = {}
        for way, params in WAYS.items():
            fits = [
                store.find_or_run(
                    lambda params=params, seed=seed, size=size: fit_and_test(
                        TASKS[name],
                        formation,
                        params,
                        seed,
                        graphs,
                        y,
                        train,
                        test,
                        size,
                    ),
                    task=name,
                    choice=way,
                    seed=seed,
                    part=f"{PART} {size} of {LIMIT}",
                )
                for seed in map(int, asked_for("TRANSFER_SEEDS", "0,1,2"))
            ]
            errors[way] = np.mean([fit["error"] for fit in fits])
            change = 100 * (errors[way] / errors["scratch"] - 1)
            print(
                f"{name:8} {size:5} {way:22} {errors[way]:.4g} {TASKS[name].unit} "
                f"({change:+.0f} %)",
                flush=True,
            )


def fit_and_test(task, formation, params, seed, graphs, y, train, test, size):
    """Return the error of one fit. Each seed draws other training crystals."""
    rows = np.random.RandomState(seed).permutation(train)[:size]
    if params is None:
        model = CGCNNRegressor(random_state=seed)
    else:
        start = FrozenEstimator(formation)
        model = CGCNNRegressor(pretrained=start, random_state=seed, **params)
    model.fit(graphs[rows], y[rows])
    return {"error": float(task.error(model, graphs[test], y[test]))}
