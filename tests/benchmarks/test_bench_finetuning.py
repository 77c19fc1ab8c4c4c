"""Fine-tuning of a published model against training from scratch on the same crystals.

Run by ``tox run -e bench -- -k tuning``. The published model of bulk moduli learns
shear moduli of 300 crystals, and is tested on all others of the set.
"""

import copy

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold, cross_val_score

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.callbacks import TrainReadoutOnly
from sklearn_cgcnn.checkpoints import load_original_checkpoint

RECIPE = {
    "optimizer": "adamw",
    "lr_schedule": "one_cycle",
    "loss": "absolute_error",
    "weight_decay": 0.01,
    "batch_size": 32,
    "early_stopping": False,
}
WAYS = {
    "all layers": {"warm_start": True, "lr": 1e-3, "max_epochs": 50},
    "readout alone": {
        "warm_start": True,
        "lr": 1e-2,
        "max_epochs": 100,
        "callbacks": [TrainReadoutOnly()],
    },
    "from scratch": {"warm_start": False, "lr": 1e-2, "max_epochs": 100},
}


def test_fine_tuning_in_cross_validation(data_folder, load_real):
    """`pretrained` gives each fold the weights: the errors are those by hand."""
    published = load_published(data_folder)
    structures, y = load_real(200, "G_VRH_GPa", "elastic")
    graphs, y = published.featurizer_.transform(structures), np.log10(y)
    params = {**RECIPE, "lr": 1e-3, "max_epochs": 50, "random_state": 0}
    folds = KFold(5, shuffle=True, random_state=0)
    model = CGCNNRegressor(pretrained=FrozenEstimator(published), **params)
    scoring = "neg_mean_absolute_error"
    scores = cross_val_score(model, graphs, y, cv=folds, scoring=scoring)
    by_hand = []
    for train, test in folds.split(y):
        twin = copy.deepcopy(published).set_params(warm_start=True, **params)
        twin.fit(graphs[train], y[train])
        by_hand.append(-abs(twin.predict(graphs[test]) - y[test]).mean())
    scratch = CGCNNRegressor(random_state=0)
    new = cross_val_score(scratch, structures, y, cv=folds, scoring=scoring)
    print("\nlog10(G / GPa) of 200 crystals, MAE of five folds:")
    for name, values in {"pretrained": scores, "by hand": by_hand, "new": new}.items():
        print(f"  {name:12} {-np.mean(values):.4f} (folds {-np.round(values, 4)})")
    np.testing.assert_array_equal(scores, by_hand)


def load_published(data_folder):
    original = data_folder / "original"
    return load_original_checkpoint(
        original / "pre-trained" / "bulk-moduli.pth.tar",
        original / "mp150" / "atom_init.json",
    )


def test_fine_tuning(data_folder, load_real):
    published = load_published(data_folder)
    structures, y = load_real(None, "G_VRH_GPa", "elastic")
    y = np.log10(y)
    graphs = published.featurizer_.transform(structures)
    default_graphs = CrystalGraphFeaturizer().transform(structures)
    errors = {name: [] for name in [*WAYS, "from scratch, defaults"]}
    for seed in range(3):
        rows = np.random.RandomState(seed).permutation(len(y))
        train, test = rows[:300], rows[300:]
        for name, params in WAYS.items():
            model = copy.deepcopy(published).set_params(
                random_state=seed, **RECIPE, **params
            )
            model.fit(graphs[train], y[train])
            errors[name].append(abs(model.predict(graphs[test]) - y[test]).mean())
        model = CGCNNRegressor(random_state=seed).fit(default_graphs[train], y[train])
        difference = abs(model.predict(default_graphs[test]) - y[test])
        errors["from scratch, defaults"].append(difference.mean())
    print(f"\nlog10(G / GPa), MAE on {len(test)} crystals, three seeds:")
    for name, values in errors.items():
        print(f"  {name:22} {np.mean(values):.4f} (seeds {np.round(values, 4)})")
    assert np.mean(errors["all layers"]) < min(
        np.mean(errors[name]) for name in errors if name.startswith("from scratch")
    )
