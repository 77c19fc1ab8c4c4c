"""
Three tasks of Matbench
=======================

Matbench (Dunn et al., 2020) compares methods on fixed tasks and fixed folds. This
example predicts three of its properties from structures, with the default estimator and
nothing tuned: energies of perovskites, the highest phonon frequency, and exfoliation
energies of two-dimensional crystals. The datasets are downloaded on first use, unless
the environment variable ``MATMINER_DATA`` names a folder that contains them.

The predictions of each task are written to a file in the format in which Matbench
records its results. Every task trains five models; that of the perovskites takes by far
the longest. To run some of them, name them::

    python examples/studies/matbench.py matbench_phonons matbench_jdft2d
"""

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import max_error, mean_absolute_error, root_mean_squared_error
from sklearn.model_selection import KFold

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import fetch_matminer

TASKS = {
    "matbench_phonons": "last phdos peak",  # 1/cm
    "matbench_jdft2d": "exfoliation_en",  # meV/atom
    "matbench_perovskites": "e_form",  # eV/cell
}

# %%
# Folds
# -----
# Matbench divides every task for regression into the same five folds, by the position
# of a crystal in the dataset.

folds = KFold(n_splits=5, shuffle=True, random_state=18012019)


# %%
# Records
# -------
# A record names each crystal by its position, and scores each fold. Matbench leaves
# targets near zero out of the relative error.


def identifiers(name, n_crystals):
    """Return Matbench's names of all crystals of a dataset."""
    prefix, n_digits = name.replace("matbench_", "mb-"), len(str(n_crystals))
    return [f"{prefix}-{row + 1:0{n_digits}d}" for row in range(n_crystals)]


def scores(y, predicted):
    """Return the scores that Matbench records."""
    is_large = np.abs(y) > 1e-5
    relative = np.abs(predicted[is_large] / y[is_large] - 1)
    return {
        "mae": float(mean_absolute_error(y, predicted)),
        "rmse": float(root_mean_squared_error(y, predicted)),
        "mape": float(relative.mean()),
        "max_error": float(max_error(y, predicted)),
    }


def record(name, results):
    """Return what Matbench reads with ``MatbenchTask.from_dict``."""
    return {
        "@module": "matbench.task",
        "@class": "MatbenchTask",
        "benchmark_name": "matbench_v0.1",
        "dataset_name": name,
        "results": results,
    }


# %%
# Train and predict
# -----------------


def run(name):
    """Predict each fold by a model that was trained on the others."""
    crystals = fetch_matminer(name, target=TASKS[name])
    graphs = CrystalGraphFeaturizer(n_jobs=-1).fit_transform(crystals.data)
    y, names, results = crystals.target, identifiers(name, len(graphs)), {}
    for fold, (train, test) in enumerate(folds.split(y)):
        model = CGCNNRegressor(random_state=0).fit(graphs[train], y[train])
        predicted = model.predict(graphs[test])
        results[f"fold_{fold}"] = {
            "data": dict(zip(np.array(names)[test], predicted.tolist(), strict=True)),
            "parameters": {},
            "scores": scores(y[test], predicted),
        }
        error = results[f"fold_{fold}"]["scores"]["mae"]
        print(f"{name}, fold {fold}: mean absolute error {error:.4g}", flush=True)
    mean = np.mean([each["scores"]["mae"] for each in results.values()])
    print(f"{name}: mean absolute error {mean:.4g}")
    Path(f"{name}.json").write_text(json.dumps(record(name, results)))


for name in sys.argv[1:] or TASKS:
    run(name)
