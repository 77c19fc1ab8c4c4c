"""Eq. 4 against Eq. 5, as in Table IV of the paper: same crystals, splits and recipe.

Run by ``tox run -e bench -- -k equations``. It trains for about an hour on one core.
"""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import train_test_split

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer

MODELS = {
    "Eq. 5": {"conv": "gated"},
    "Eq. 4": {"conv": "shared"},
    "Eq. 4, S11-S13": {"conv": "shared", "pooling": "all_layers"},
}
# What they have in common: features as in the authors' program.
COMMON = {
    "site_features": "properties",
    "edge_basis": "gaussian",
    "activation": "softplus",
    "optimizer": "adamw",
    "max_epochs": 60,
}
SEEDS = range(3)
TASKS = {
    "formation energy (eV/atom)": (
        "materials_project",
        5000,
        "formation_energy_per_atom",
    ),
    "perovskite energy (eV/cell)": ("perovskites", None, "e_form"),
    "log10 K (GPa)": ("elastic", None, "K_VRH_GPa"),
    "log10 G (GPa)": ("elastic", None, "G_VRH_GPa"),
    "Poisson ratio": ("elastic", None, "poisson_ratio"),
}


@pytest.mark.parametrize("task", TASKS)
def test_equations(load_real, task):
    folder, n, label = TASKS[task]
    structures, y = load_real(n, label, folder)
    if task.startswith("log10"):
        y = np.log10(y)
    graphs = CrystalGraphFeaturizer(n_jobs=2).transform(structures)
    errors = {name: [] for name in MODELS}
    for seed in SEEDS:
        rows = np.arange(len(graphs))
        train, test = train_test_split(rows, test_size=0.2, random_state=seed)
        for name, params in MODELS.items():
            model = CGCNNRegressor(random_state=seed, **COMMON, **params)
            model.fit(graphs[train], y[train])
            error = mean_absolute_error(y[test], model.predict(graphs[test]))
            errors[name].append(error)
            print(f"  {task}, seed {seed}, {name}: {error:.4f}", flush=True)
    print(f"{task}, {len(train)} for training, {len(test)} for testing, MAE:")
    for name, values in errors.items():
        print(f"  {name:15} {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}")
    assert np.isfinite(list(errors.values())).all()
