"""Spreads and intervals of several methods, at random splits and for new families.

Run by ``tox run -e bench -- -k uncertainty``. Environment variables say what is run:

``UNCERTAINTY_STORE``
    Folder in which each trained network is kept, so that a run can be stopped and
    continued.
``UNCERTAINTY_TASKS``
    Names of tasks, separated by commas.

Five networks are trained on the same crystals. Of the crystals that they have not seen,
a quarter is for methods that learn from errors; the rest is split 20 times into halves
to calibrate intervals and to test them.
"""

import math
import os
import time
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from recipe_tasks import TASKS, Tasks
from sklearn_cgcnn import CGCNNRegressor, CrystalEmbedder
from sklearn_cgcnn.metrics import crystal_groups
from sklearn_cgcnn.uncertainty import (
    EnsembleRegressor,
    SpreadRegressor,
    miscalibration_area,
    negative_log_likelihood,
    sparsification_area,
)

N_MEMBERS, N_SPLITS, LEVEL = 5, 20, 0.9
N_ELEMENTS, N_PROTOTYPES = 10, 5
# Largest number of training crystals, and the epochs.
SIZES = {
    "bulk": (None, "auto"),
    "shear": (None, "auto"),
    "phonons": (None, "auto"),
    "perovskites": (3_000, "auto"),
    "formation": (5_000, 100),
}
NAMES = os.environ.get("UNCERTAINTY_TASKS", ",".join(SIZES)).split(",")


class LookedUp(RegressorMixin, BaseEstimator):
    """Predictions that are known, for other libraries."""

    def __init__(self, mean=None):
        self.mean = mean

    def fit(self, X, y):
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return self.mean[np.ravel(X).astype(int)]


@pytest.fixture(scope="module")
def tasks(data_folder):
    """The tasks, on the real crystals."""
    return Tasks(data_folder)


def trained(name, split, seed, graphs, y, train, others):
    """Return a network and the crystals of its split, from the store if it has them."""
    folder = os.environ.get("UNCERTAINTY_STORE")
    path = None if folder is None else Path(folder) / f"{name}-{split}-{seed}.joblib"
    if path is not None and path.exists():
        return joblib.load(path)
    model = CGCNNRegressor(max_epochs=SIZES[name][1], random_state=seed)
    start = time.process_time()
    model.fit(graphs[train], y[train])
    seconds = time.process_time() - start
    kept = {"model": model, "train": train, "others": others, "seconds": seconds}
    if path is not None:
        joblib.dump(kept, path)
    return kept


def ensemble_of(models):
    ensemble = EnsembleRegressor(models[0], len(models))
    ensemble.estimators_ = models
    return ensemble


def with_scale(method):
    """Scale spreads of a method to the errors of the crystals to learn from."""

    def predict(models, graphs, y, train, learn, test):
        mean, std = method(models, graphs, y, train, np.concatenate([learn, test]))
        errors = y[learn] - mean[: len(learn)]
        scale = np.sqrt(np.mean((errors / std[: len(learn)]) ** 2))
        return mean[len(learn) :], scale * std[len(learn) :]

    return predict


def equal_spreads(models, graphs, y, train, rows):
    return models[0].predict(graphs[rows]), np.ones(len(rows))


def ensemble_spread(models, graphs, y, train, rows):
    mean, std = ensemble_of(models).predict(graphs[rows], return_std=True)
    return mean, std + 1e-3 * np.median(std)


def spread_of_vectors(make, n_most):
    """Return the method that fits a model with a spread on pooled vectors."""

    def method(models, graphs, y, train, rows):
        embedder = CrystalEmbedder(FrozenEstimator(models[0]))
        some = train[:n_most]
        scaled = make_pipeline(embedder, StandardScaler())
        target = (y[some] - y[some].mean()) / y[some].std()
        last = make().fit(scaled.fit_transform(graphs[some]), target)
        _, std = last.predict(scaled.transform(graphs[rows]), return_std=True)
        return models[0].predict(graphs[rows]), std

    return method


def gaussian_process():
    kernel = ConstantKernel() * RBF(10.0) + WhiteKernel(1e-2)
    return GaussianProcessRegressor(kernel)


def learned(combine):
    def predict(models, graphs, y, train, learn, test):
        model = FrozenEstimator(combine(models))
        spread = SpreadRegressor(model)
        spread.fit(graphs[train], y[train], graphs[learn], y[learn])
        return spread.predict(graphs[test], return_std=True)

    return predict


METHODS = {
    "equal spreads": with_scale(equal_spreads),
    "last-layer Laplace": with_scale(spread_of_vectors(BayesianRidge, None)),
    "Gaussian process": with_scale(spread_of_vectors(gaussian_process, 1_000)),
    "ensemble of 5": with_scale(ensemble_spread),
    "SpreadRegressor": learned(lambda models: models[0]),
    "SpreadRegressor, ensemble of 5": learned(ensemble_of),
}


def intervals(mean, std, y, seed):
    """Return coverage and mean width of intervals after a split of the crystals."""
    order = np.random.RandomState(seed).permutation(len(y))
    calibration, test = np.array_split(order, 2)
    scores = np.sort(np.abs(y - mean)[calibration] / std[calibration])
    quantile = scores[math.ceil((len(scores) + 1) * LEVEL) - 1]
    covered = np.abs(y - mean)[test] <= quantile * std[test]
    return covered.mean(), 2 * quantile * std[test].mean()


def intervals_of_mapie(mean, y, seed):
    """Return the same of MAPIE's split conformal regressor."""
    mapie = pytest.importorskip("mapie.regression")
    order = np.random.RandomState(seed).permutation(len(y))
    calibration, test = np.array_split(order, 2)
    known = LookedUp(mean).fit(None, None)
    conformal = mapie.SplitConformalRegressor(known, LEVEL, prefit=True)
    conformal.conformalize(calibration[:, None], y[calibration])
    _, ends = conformal.predict_interval(test[:, None])
    low, high = ends[:, 0, 0], ends[:, 1, 0]
    return ((low <= y[test]) & (y[test] <= high)).mean(), (high - low).mean()


def judge(mean, std, y):
    """Return the figures of a method."""
    error = np.abs(y - mean)
    ours = np.array([intervals(mean, std, y, seed) for seed in range(N_SPLITS)])
    theirs = np.array([intervals_of_mapie(mean, y, seed) for seed in range(N_SPLITS)])
    return {
        "error": error.mean(),
        "NLL": negative_log_likelihood(y, mean, std),
        "miscalibration": miscalibration_area(y, mean, std),
        "Spearman": spearmanr(error, std)[0] if np.ptp(std) else np.nan,
        "sparsification": sparsification_area(y, mean, std),
        "coverage": ours[:, 0].mean(),
        "width / MAPIE": ours[:, 1].mean() / theirs[:, 1].mean(),
        "coverage of MAPIE": theirs[:, 0].mean(),
    }


def report(label, figures):
    mean = {key: np.mean([each[key] for each in figures]) for key in figures[0]}
    values = ", ".join(f"{key} {value:.3f}" for key, value in mean.items())
    print(f"{label:32s} {values}", flush=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_uncertainty_at_random(tasks, name):
    graphs, y, ((pool, _), *_) = tasks.data(name)
    pool = np.random.RandomState(0).permutation(pool)
    n_train = min(SIZES[name][0] or len(pool), int(0.6 * len(pool)))
    parts = pool[:n_train], pool[n_train:][:3_000]
    fits = [
        trained(name, "random", seed, graphs, y, *parts) for seed in range(N_MEMBERS)
    ]
    models = [each["model"] for each in fits]
    train, others = fits[0]["train"], fits[0]["others"]
    print(f"\n{name}, {TASKS[name].unit}: {len(train)} to train, {len(others)} others")
    alone = [np.abs(each.predict(graphs[others]) - y[others]).mean() for each in models]
    together = np.abs(ensemble_of(models).predict(graphs[others]) - y[others]).mean()
    print(f"one {np.mean(alone):.4g}, ensemble {together:.4g}")
    for label, method in METHODS.items():
        figures, start = [], time.process_time()
        # The ensemble is one fit, whose crystals to learn from change.
        for fit in range(N_MEMBERS):
            rotated = models[fit:] + models[:fit]
            learn, rest = np.split(
                np.random.RandomState(100 + fit).permutation(others), [len(others) // 4]
            )
            mean, std = method(rotated, graphs, y, train, learn, rest)
            figures.append(judge(mean, std, y[rest]))
        report(label, figures)
        print(f"{'':32s} {(time.process_time() - start) / N_MEMBERS:.1f} s", flush=True)


def elements_to_leave_out(tasks, name, graphs, rows):
    """Return which crystals contain ten elements that 2 to 10 % of them do."""
    owners = np.repeat(np.arange(len(graphs)), np.diff(graphs.site_offsets))
    contains = np.zeros((len(graphs), 120), bool)
    contains[owners, graphs.atomic_numbers.astype(int)] = True
    share = contains[rows].mean(axis=0)
    elements = np.flatnonzero((share >= 0.02) & (share <= 0.1))
    chosen = np.random.RandomState(0).permutation(elements)[:N_ELEMENTS]
    return {f"Z{element}": contains[:, element] for element in chosen}


def prototypes_to_leave_out(tasks, name, graphs, rows):
    """Return which crystals have the five most frequent prototypes."""
    structures = tasks.structures(name)
    labels = np.full(len(graphs), "", dtype=object)
    labels[rows] = crystal_groups([structures[row] for row in rows], by="prototype")
    most = Counter(labels[rows]).most_common(N_PROTOTYPES)
    return {prototype: labels == prototype for prototype, _ in most}


FAMILIES = {"element": elements_to_leave_out, "prototype": prototypes_to_leave_out}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", FAMILIES)
def test_uncertainty_of_new_families(tasks, kind, name):
    """Crystals of an element or a prototype that no other crystal has."""
    graphs, y, ((pool, _), *_) = tasks.data(name)
    pool = np.random.RandomState(0).permutation(pool)
    print()
    found = {label: [] for label in ("equal spreads", "SpreadRegressor")}
    for family, belongs in FAMILIES[kind](tasks, name, graphs, pool).items():
        kept, out = pool[~belongs[pool]], pool[belongs[pool]]
        n_train = min(SIZES[name][0] or len(pool), int(0.75 * len(kept)))
        parts = kept[:n_train], (kept[n_train:][:1_000], out[:1_500])
        fit = trained(name, family, 0, graphs, y, *parts)
        models, train, (kept, out) = [fit["model"]], fit["train"], fit["others"]
        learn, calibration = np.array_split(kept, 2)
        both = np.concatenate([calibration, out])
        for label, figures in found.items():
            mean, std = METHODS[label](models, graphs, y, train, learn, both)
            figures.append(of_family(np.abs(y[both] - mean), std, len(calibration)))
            print(family, len(out), label, np.round(figures[-1], 3), flush=True)
    for label, rows in found.items():
        coverage, width, error, usual, correlation = np.array(rows).T
        print(
            f"{name:12s} {kind} {label:20s} coverage {np.median(coverage):.3f} "
            f"(median), {coverage.min():.2f} to {coverage.max():.2f}; "
            f"width {width.mean():.3g}; error {error.mean():.3g}, of known ones "
            f"{usual.mean():.3g}; Spearman {correlation.mean():.3f}"
        )


def of_family(error, std, n_calibration):
    """Return coverage, width, error, error of known crystals, and Spearman's rho."""
    known, new = slice(n_calibration), slice(n_calibration, None)
    scores = np.sort(error[known] / std[known])
    quantile = scores[math.ceil((n_calibration + 1) * LEVEL) - 1]
    return [
        (error[new] <= quantile * std[new]).mean(),
        2 * quantile * std[new].mean(),
        error[new].mean(),
        error[known].mean(),
        spearmanr(error[new], std[new])[0] if np.ptp(std[new]) else np.nan,
    ]
