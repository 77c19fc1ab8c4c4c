"""How well the default estimators do on real crystals: cross-validated, nothing tuned.

Run by ``tox run -e bench -- -k accuracy``. It trains for a quarter of an hour.
"""

import time

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn.datasets import fetch_matminer


def cross_validate(model, X, y, folds, scoring):
    start = time.perf_counter()
    scores = cross_val_score(
        model, X, y, cv=folds, scoring=scoring, n_jobs=2, error_score="raise"
    )
    return scores, (time.perf_counter() - start) / 60


@pytest.mark.parametrize(
    "settings",
    [{"compile": False}, {"compile": True}, {"matmul_precision": "bfloat16"}],
    ids=["by torch", "compiled", "rounded to bfloat16"],
)
def test_accuracy_of_bulk_moduli(data_folder, settings):
    crystals = fetch_matminer(
        "elastic_tensor_2015", target="K_VRH", data_home=data_folder / "matminer"
    )
    scores, minutes = cross_validate(
        CGCNNRegressor(random_state=0, **settings),
        crystals.data,
        np.log10(crystals.target),
        KFold(5, shuffle=True, random_state=0),
        "neg_mean_absolute_error",
    )
    print(
        f"\n{settings}, log10(K / GPa) of {len(crystals.data)} crystals: "
        f"MAE {-scores.mean():.4f} (folds {np.round(-scores, 4).tolist()}), "
        f"{minutes:.1f} min on 2 cores"
    )
    assert -scores.mean() <= 0.075


def test_accuracy_of_metals(load_real):
    structures, is_metal = load_real(4000, "is_metal")
    scores, minutes = cross_validate(
        CGCNNClassifier(random_state=0),
        structures,
        is_metal,
        StratifiedKFold(5, shuffle=True, random_state=0),
        "roc_auc",
    )
    print(
        f"\nmetals among {len(structures)} crystals: ROC-AUC {scores.mean():.4f} "
        f"(folds {np.round(scores, 4).tolist()}), {minutes:.1f} min on 2 cores"
    )
    assert scores.mean() >= 0.90
