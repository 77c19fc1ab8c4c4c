"""The perovskites of the paper: errors, energies of elements on A and B, and a search.

Run by ``tox run -e bench -- -k bench_perovskites``. Environment variables say what is
run:

``PEROVSKITES_STORE``
    Folder for graphs, fitted models (joblib) and ``results.jsonl``, one line for each
    model and seed. What it holds is not computed again, so that a run can be stopped
    and continued, or shared by processes. A fit that was interrupted goes on after its
    last epoch, and its seconds are those since then. Delete ``results.jsonl`` to repeat
    only the analysis.
``PEROVSKITES_MODELS``, ``PEROVSKITES_SEEDS``
    Names of models and seeds, separated by commas.
``PEROVSKITES_SEARCHED``
    Names of the models whose settings are searched for.
``PEROVSKITES_SIZE``, ``PEROVSKITES_PARAMS``
    Largest number of training crystals, and parameters of all models as JSON, to try
    it out.

Models learn from the training part of CDVAE's split. Those that restore their best
epoch choose it on the validation part. Elements are ranked by their mean contribution
over the training part, and only errors and the success of the search are computed on
the test part.
"""

import json
import os
import time
from math import exp
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.model_selection import ParameterSampler

from finished_fits import Store, asked_for, kept_in_file
from perovskites import Perovskites, group, ionic_radius
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.callbacks import GaussianWeights
from sklearn_cgcnn.inspection import element_contributions, site_contributions
from sklearn_cgcnn.metrics import mean_absolute_error
from sklearn_cgcnn.presets import preset

SITE = {"readout": "site", "pooling": "mean"}
# Preset and what changes in it. Models without a preset have the training of the
# default, and batch normalization.
MODELS = {
    "Eq. 4 site": ("paper_eq4", SITE),
    "Eq. 4 full": ("paper_eq4", {}),
    "Eq. 5 site": ("paper_eq5", SITE),
    "Eq. 4 site normalized": (None, {"conv": "shared", **SITE}),
    "Eq. 4 full normalized": (None, {"conv": "shared", "pooling": "all_layers"}),
    "Eq. 5 site normalized": (None, {"conv": "gated", **SITE}),
    "default site": (None, SITE),
    "default": (None, {}),
}
PRESETS = "Eq. 4 site", "Eq. 4 full", "Eq. 5 site"
# What `test_search_of_settings` found best on the validation part.
FOUND = {
    "Eq. 4 site": {
        "n_site_channels": 200,
        "n_conv_layers": 2,
        "lr": exp(-5),
        "lr_schedule": "one_cycle",
        "callbacks": [GaussianWeights(exp(-4))],
    },
    "Eq. 4 full": {
        "n_site_channels": 200,
        "n_hidden_layers": 5,
        "n_conv_layers": 5,
        "lr": exp(-6),
        "lr_schedule": "one_cycle",
        "callbacks": [GaussianWeights(exp(-4))],
    },
    "Eq. 5 site": {"n_conv_layers": 4, "lr": exp(-6), "lr_schedule": "one_cycle"},
}
for name, found in FOUND.items():
    base, params = MODELS[name]
    MODELS[f"{name} searched"] = (base, {**params, **found})
# Ranges of the search of settings, within those of the paper (Table S1) that train. The
# paper does not say whether its learning rate is constant.
SPACE = {
    "n_conv_layers": [2, 3, 4, 5],
    "lr": [exp(power) for power in (-8, -7, -6, -5)],
    "lr_schedule": ["constant", "one_cycle"],
}
SPACE_OF_EQ4 = {
    "n_site_channels": [50, 100, 200],
    "callbacks": [[GaussianWeights(exp(power))] for power in (-4, -2)],
}
N_DRAWS = 8
PAPER = {"Eq. 4 site": 0.130, "Eq. 4 full": 0.099}  # eV/cell
# The search of the paper (Table V).
PAPER_A = ["In", "Sn", "Sb", "Tl", "Pb", "Bi"]
PAPER_B = ["Ti", "Zr", "Hf", "V", "Nb", "Ta", "Cr", "Mo", "W"]
LEVEL, N_RESAMPLES = 0.95, 10_000

SIZE = int(os.environ.get("PEROVSKITES_SIZE", "1000000"))
PARAMS = json.loads(os.environ.get("PEROVSKITES_PARAMS", "{}"))
PART = f"{SIZE} {json.dumps(PARAMS, sort_keys=True)}"
FOLDER = os.environ.get("PEROVSKITES_STORE")


@pytest.fixture(scope="module")
def perovskites(data_folder):
    """All 18,928 crystals."""
    return Perovskites(data_folder / "perovskites")


@pytest.fixture(scope="module")
def store():
    """The file of results, or none."""
    return Store(None if FOLDER is None else in_folder("results.jsonl"))


def in_folder(name):
    folder = Path(FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def make_model(name, seed, **searched):
    base, params = MODELS[name]
    common = {} if base is None else preset(base)
    progress = None if FOLDER is None else in_folder("progress")
    own = {"random_state": seed, "checkpoint_dir": progress}
    return CGCNNRegressor(**{**common, **params, **searched, **own, **PARAMS})


def graphs_for(model, perovskites):
    """Return the graphs of all crystals, from the folder if it has them."""
    featurizer = model.featurizer or CrystalGraphFeaturizer()
    rule = "nearest" if isinstance(featurizer.connectivity, str) else "voronoi"
    path = None if FOLDER is None else in_folder(f"{rule}.joblib")
    return kept_in_file(path, lambda: featurizer.transform(perovskites.structures))


def fitted(name, seed, perovskites):
    """Return a fitted model with its seconds, from the folder if it has them."""
    kind = f" {PART}" if PARAMS or "PEROVSKITES_SIZE" in os.environ else ""
    path = None if FOLDER is None else in_folder(f"{name} {seed}{kind}.joblib")
    return kept_in_file(path, lambda: fit(name, seed, perovskites))


def fit(name, seed, perovskites, **searched):
    model = make_model(name, seed, **searched)
    graphs, y = graphs_for(model, perovskites), perovskites.y
    train, val = perovskites.rows("train")[:SIZE], perovskites.rows("val")
    held_out = {}
    if model.early_stopping:
        held_out = {"X_val": graphs[val], "y_val": y[val]}
    start = time.perf_counter()
    model.fit(graphs[train], y[train], **held_out)
    return {"model": model, "seconds": time.perf_counter() - start}


def study(name, seed, perovskites):
    """Return all results of one model, as JSON values."""
    found = fitted(name, seed, perovskites)
    model, y = found["model"], perovskites.y
    graphs = graphs_for(model, perovskites)
    test, train = perovskites.rows("test"), perovskites.rows("train")[:SIZE]
    results = {
        "error": float(mean_absolute_error(y[test], model.predict(graphs[test]))),
        "crystals": len(train),
        "epochs": model.n_iter_,
        "seconds": round(found["seconds"], 1),
    }
    if model.readout != "site":
        return results
    roles = [perovskites.roles[row] for row in train]
    means = element_contributions(model, graphs[train], roles=roles)["mean"]
    on_a, on_b = means.loc["A"], means.loc["B"]
    return {
        **results,
        "A": on_a.round(5).to_dict(),
        "B": on_b.round(5).to_dict(),
        "share of variance within crystals": variance_within(model, graphs[train]),
        **trends(on_a, on_b),
        "searches": searches(on_a, on_b, perovskites),
    }


def variance_within(model, graphs):
    """Return how much of the variance of contributions is among sites of a crystal.

    It is near zero if a model gives all sites of a crystal the same contribution: the
    means on A are then those of the labels of the crystals with this A.
    """
    cells = np.array(site_contributions(model, graphs))  # (n_crystals, 5)
    return float(cells.var(axis=1).mean() / cells.var())


def trends(on_a, on_b):
    """Return what the paper reads from its periodic tables (Figs. 3c and 3d)."""
    radii = [ionic_radius(symbol) for symbol in on_a.index]
    top_fifth = on_a.nlargest(len(on_a) // 5).index
    return {
        "Spearman of A and radius": float(spearmanr(on_a, radii).statistic),
        "of Be, B, Si in the top fifth of A": sorted({"Be", "B", "Si"} & {*top_fifth}),
        "lowest groups of B": lowest_groups(on_b),
    }


def lowest_groups(on_b):
    """Return the three groups whose elements have the lowest mean on B."""
    return sorted(map(int, on_b.groupby(group).mean().nsmallest(3).index))


def searches(on_a, on_b, perovskites):
    """Return the success of two rules that use the means alone.

    "groups" is the rule of the paper: on A the elements of groups 13 to 15 whose mean
    is in the lower half, on B the elements of the three groups with the lowest means.
    "elements" takes as many elements, the lowest of all: six on A and nine on B.
    """
    late = on_a[[group(symbol) in {13, 14, 15} for symbol in on_a.index]]
    low = lowest_groups(on_b)
    rules = {
        "groups": (
            late.nsmallest(len(late) // 2).index,
            [symbol for symbol in on_b.index if group(symbol) in low],
        ),
        "elements": (
            on_a.nsmallest(len(PAPER_A)).index,
            on_b.nsmallest(len(PAPER_B)).index,
        ),
    }
    test = perovskites.rows("test")
    return {name: success(*rule, perovskites, test) for name, rule in rules.items()}


def success(on_a, on_b, perovskites, rows):
    """Count stable crystals among those with these elements, and among all rows."""
    elements, is_stable = perovskites.elements.iloc[rows], perovskites.is_stable[rows]
    is_chosen = elements["A"].isin(on_a) & elements["B"].isin(on_b)
    # Crystals that are chosen and stable, chosen, stable, and neither.
    kinds = np.bincount(2 * ~is_chosen.to_numpy() + ~is_stable, minlength=4)
    resampled = np.random.RandomState(0).multinomial(
        len(rows), kinds / len(rows), N_RESAMPLES
    )
    ends = np.nanquantile(enrichment(resampled), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return {
        "A": list(on_a),
        "B": list(on_b),
        "stable": int(kinds[0]),
        "chosen": int(kinds[:2].sum()),
        "stable in all": int(kinds[[0, 2]].sum()),
        "all": len(rows),
        "enrichment": float(enrichment(kinds)),
        "interval": ends.tolist(),
    }


def enrichment(kinds):
    """Return how much more often the chosen are stable than all crystals."""
    kinds = np.asarray(kinds, dtype=float)
    hit, chosen = kinds[..., 0], kinds[..., :2].sum(-1)
    stable, total = kinds[..., [0, 2]].sum(-1), kinds.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (hit / chosen) / (stable / total)


def report(name, seed, results):
    paper = PAPER.get(name.removesuffix(" searched"))
    beside = "" if paper is None else f" (paper {paper})"
    print(
        f"{name}, seed {seed}: test MAE {results['error']:.4f} eV/cell{beside}, "
        f"{results['epochs']} epochs, {results['seconds']:.0f} s"
    )
    if "searches" in results:
        print_analysis(results)


def print_analysis(results):
    if "share of variance within crystals" in results:
        share = results["share of variance within crystals"]
        print(f"  share of the variance of contributions within crystals {share:.2f}")
    print(
        f"  Spearman of A means and radii {results['Spearman of A and radius']:.3f}; "
        f"in the top fifth of A: {results['of Be, B, Si in the top fifth of A']}; "
        f"lowest groups of B: {results['lowest groups of B']}"
    )
    for rule, search in results["searches"].items():
        print_search(rule, search)


def print_search(rule, found):
    low, high = found["interval"]
    print(
        f"  search by {rule}: {found['stable']} of {found['chosen']} against "
        f"{found['stable in all']} of {found['all']}, enrichment "
        f"{found['enrichment']:.1f} ({LEVEL:.0%} {low:.1f} to {high:.1f}); "
        f"A {' '.join(found['A'])}; B {' '.join(found['B'])}"
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", asked_for("PEROVSKITES_SEEDS", "0,1,2"))
@pytest.mark.parametrize("name", asked_for("PEROVSKITES_MODELS", ",".join(MODELS)))
def test_perovskites(perovskites, store, name, seed):
    seed = int(seed)
    results = store.find_or_run(
        lambda: study(name, seed, perovskites),
        task="perovskites",
        choice=name,
        seed=seed,
        part=PART,
    )
    print()
    report(name, seed, results)


def draws(name):
    """Return settings drawn from `SPACE`."""
    most = {"Eq. 4 site": 4, "Eq. 4 full": 5}  # hidden layers
    space = dict(SPACE)
    if name in most:
        space |= SPACE_OF_EQ4 | {"n_hidden_layers": [*range(1, most[name] + 1)]}
    return list(ParameterSampler(space, N_DRAWS, random_state=0))


def validation_error(name, params, perovskites):
    found = fit(name, 0, perovskites, **params)
    val, graphs = perovskites.rows("val"), graphs_for(found["model"], perovskites)
    predictions = found["model"].predict(graphs[val])
    error = float(mean_absolute_error(perovskites.y[val], predictions))
    return {"error": error, "seconds": round(found["seconds"], 1)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", asked_for("PEROVSKITES_SEARCHED", ",".join(PRESETS)))
def test_search_of_settings(perovskites, store, name):
    """A random search of settings, by the error on the validation part."""
    print()
    for number, params in enumerate(draws(name)):
        found = store.find_or_run(
            lambda params=params: validation_error(name, params, perovskites),
            task="perovskites",
            choice=name,
            seed=number,
            part=f"settings {PART}",
        )
        print(f"{name}: {found['error']:.4f}, {found['seconds']:.0f} s, {params}")


def test_perovskites_without_a_model(perovskites):
    """What the labels say alone: Table V, and two simple models of the elements."""
    everything = np.arange(len(perovskites.y))
    print()
    found = success(PAPER_A, PAPER_B, perovskites, everything)
    print_search("the paper, all crystals", found)
    counts = [found[key] for key in ("stable", "chosen", "stable in all", "all")]
    assert counts == [39, 378, 270, 18_928]
    test = perovskites.rows("test")
    print_search("the paper", success(PAPER_A, PAPER_B, perovskites, test))
    report_simple("mean label", mean_labels(perovskites), perovskites)
    report_simple("linear in A, B, X3", linear_terms(perovskites), perovskites)


def mean_labels(perovskites):
    """Return the mean label of the training crystals with each element on A and B."""
    train = perovskites.rows("train")
    labels = pd.Series(perovskites.y[train])
    elements = perovskites.elements.iloc[train].reset_index(drop=True)
    return tuple(labels.groupby(elements[role]).mean() for role in "AB")


def linear_terms(perovskites):
    """Return the terms of each element on A and B, fitted by least squares."""
    train = perovskites.rows("train")
    columns = pd.get_dummies(perovskites.elements, dtype=float)
    weights, *_ = np.linalg.lstsq(columns.iloc[train], perovskites.y[train])
    predictions = columns @ weights
    test = perovskites.rows("test")
    errors = np.abs(predictions[test] - perovskites.y[test])
    print(f"linear in A, B, X3: test MAE {errors.mean():.4f} eV/cell")
    terms = pd.Series(weights, columns.columns)
    return tuple(
        terms.filter(regex=f"^{role}_").rename(lambda key: key[2:]) for role in "AB"
    )


def report_simple(name, means, perovskites):
    print(f"{name}:")
    print_analysis({**trends(*means), "searches": searches(*means, perovskites)})
