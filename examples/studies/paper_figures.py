r"""
Tables and figures of the paper
===============================

This script draws the figures of Xie and Grossman (2018) from the results of two
benchmarks, ``test_bench_paper.py`` and ``test_bench_perovskites.py``, and writes their
tables as CSV files. The page "The paper, reproduced" of the documentation shows what it
makes, and has the commands that run the benchmarks. Figures without results are left
out::

    python examples/studies/paper_figures.py docs/results/paper --paper PAPER_STORE \
        --perovskites PEROVSKITES_STORE --data FOLDER_OF_CRYSTALS
"""

import argparse
import io
import json
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.metrics import RocCurveDisplay

from sklearn_cgcnn.inspection import ParityDisplay, PeriodicTableDisplay

# Names of the properties, and errors of Eq. 4 and Eq. 5 in the paper.
PROPERTIES = {
    "formation": ("formation energy (eV/atom)", 0.112, 0.039),
    "absolute": ("absolute energy (eV/atom)", 0.227, 0.072),
    "gap": ("band gap (eV)", 0.530, 0.388),
    "fermi": ("Fermi energy (eV)", 0.564, 0.363),
    "bulk": ("bulk modulus (log10 GPa)", 0.084, 0.054),
    "shear": ("shear modulus (log10 GPa)", 0.113, 0.087),
    "poisson": ("Poisson ratio", 0.033, 0.030),
}
MODELS = ["Eq. 4", "Eq. 5", "released", "published", "default"]
PEROVSKITES = {"Eq. 4 site": 0.130, "Eq. 4 full": 0.099}  # errors in the paper, eV/cell
NOT_MEASURED = "not measured"
DPI = 90  # small files


# %%
# Read results
# ------------
# The benchmarks write a line of JSON for each finished fit. Fits that only tried the
# benchmark out have a longer entry "part", and do not count.


def read_results(folder, is_complete):
    """Return the results of complete fits as a table."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    results = pd.DataFrame([json.loads(line) for line in lines])
    return results[[is_complete(part) for part in results["part"]]]


def read_perovskites(folder):
    """Return the results of complete fits to perovskites as a table."""
    return read_results(folder, lambda part: part == "1000000 {}")


def predictions(folder, task, choice, seed=0):
    """Return true and predicted values of a fit, or None if it is not there."""
    path = folder / f"{task} {choice} {seed} test all.joblib"
    if not path.exists():
        return None
    found = joblib.load(path)
    return found["truth"], found["predictions"]


def mean_and_spread(values, digits=4):
    """Return the mean over seeds, and the standard deviation if there are several."""
    if not len(values):
        return NOT_MEASURED
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


# %%
# Tables I and IV
# ---------------


def paper_table(results):
    """Return the errors of each property by each model, beside the paper's."""
    whole = results[results["part"] == "test all"]
    errors = whole.groupby(["task", "choice"])["error"].apply(list).to_dict()
    rows = []
    for task, (label, eq4, eq5) in PROPERTIES.items():
        row = {"property": label, "paper, Eq. 4": eq4, "paper, Eq. 5": eq5}
        for model in MODELS:
            row[model] = mean_and_spread(errors.get((task, model), []))
        rows.append(row)
    return pd.DataFrame(rows)


def other_scores_table(results):
    """Return scores that the paper states besides mean absolute errors."""
    names = [name for name in results if name.startswith("share inside")]
    names += ["90 % line", "root mean squared error"]
    names += ["AUC", "metals", "semiconductors", "all"]
    whole = results[results["part"] == "test all"].set_index(["task", "choice"])
    names = [name for name in names if name in whole]
    return whole.groupby(level=[0, 1])[names].mean().round(4).reset_index()


# %%
# Fig. 2c and S4: predicted against true values
# ---------------------------------------------


def draw_parity(folder, model):
    """Draw one histogram for each property, or nothing."""
    found = {task: predictions(folder, task, model) for task in PROPERTIES}
    found = {task: pair for task, pair in found.items() if pair is not None}
    if not found:
        return None
    n_rows = -(-len(found) // 3)
    figure, axes = plt.subplots(
        n_rows, 3, figsize=(10, 3.2 * n_rows), layout="constrained", squeeze=False
    )
    for ax in axes.flat[len(found) :]:
        ax.remove()
    for ax, (task, pair) in zip(axes.flat, found.items(), strict=False):
        display = ParityDisplay.from_predictions(*pair, ax=ax, gridsize=40)
        scores = f"MAE {display.mae:.3g}, R² {display.r2:.3f}"
        ax.set_title(f"{PROPERTIES[task][0]}\n{scores}", fontsize=9)
    return figure


# %%
# Fig. 2d: metals
# ---------------


def draw_roc(folder):
    """Draw the ROC curve of metals for each model, or nothing."""
    found = {model: predictions(folder, "metal", model) for model in MODELS}
    found = {model: pair for model, pair in found.items() if pair is not None}
    if not found:
        return None
    figure, ax = plt.subplots(figsize=(4, 4), layout="constrained")
    for model, pair in found.items():
        RocCurveDisplay.from_predictions(*pair, name=model, ax=ax)
    ax.plot([0, 1], [0, 1], "k:", linewidth=1)
    ax.set(xlabel="false positive rate", ylabel="true positive rate")
    return figure


# %%
# Figs. 2b and S5: learning curves
# --------------------------------
# The band, or the line, is the error of DFT compared with experiment.


def draw_learning_curves(results):
    """Draw errors against numbers of training crystals, or nothing."""
    curves = results[results["part"].str.fullmatch(r"test (all|\d+)")]
    tasks = [task for task in ("formation", "bulk") if task in set(curves["task"])]
    if not tasks:
        return None
    figure, axes = plt.subplots(
        1, len(tasks), figsize=(4.5 * len(tasks), 3.6), layout="constrained"
    )
    for ax, task in zip(np.atleast_1d(axes), tasks, strict=True):
        if task == "formation":
            ax.axhspan(0.081, 0.136, color="0.85", label="DFT")
        else:
            ax.axhline(0.050, color="0.6", linestyle="--", label="DFT")
        for model in ("Eq. 4", "Eq. 5", "default"):
            of_model = (curves["task"] == task) & (curves["choice"] == model)
            means = curves[of_model].groupby("crystals")["error"].mean()
            if len(means):
                ax.loglog(means.index, means, "o-", label=model)
        ax.set(xlabel="training crystals", ylabel="mean absolute error")
        ax.set_title(PROPERTIES[task][0], fontsize=9)
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:.2g}")
        ax.legend()
    return figure


# %%
# Fig. S3: choices of the search
# ------------------------------


VARIED = {
    "features": "number of features of an element",
    "layers": "number of convolutions",
    "log step": "natural logarithm of the learning rate",
}


def draw_choices(results):
    """Draw validation errors against what is varied, or nothing."""
    choices = results[results["part"].str.startswith("validation ")]
    varied = choices["choice"].str.extract(r"(Eq\. \d) (features|layers|log step) (.+)")
    varied.columns = ["equation", "name", "value"]
    choices = choices.join(varied).dropna(subset=["name"])
    names = sorted(set(choices["name"]))
    if not names:
        return None
    figure, axes = plt.subplots(
        1,
        len(names),
        figsize=(3.4 * len(names), 3),
        layout="constrained",
        squeeze=False,
    )
    for ax, name in zip(axes.flat, names, strict=True):
        of_name = choices[choices["name"] == name]
        for equation, rows in of_name.groupby("equation"):
            means = rows.groupby(rows["value"].astype(int))["error"].mean()
            ax.plot(means.index, means, "o-", label=equation)
        ax.set(xlabel=VARIED[name])
        ax.set_ylim(0.1, 0.2)  # Steps that are too large give errors of 1 eV/atom.
    axes[0, 0].set_ylabel("MAE (eV/atom)")
    axes[0, 0].legend()
    return figure


# %%
# Figs. 2a and S2: the crystals
# -----------------------------


def draw_histograms(data):
    """Draw how many elements and how many sites the crystals have."""
    arrays = np.load(data / "materials_project" / "structures.npz")
    n_sites = arrays["n_sites"]
    crystal = np.repeat(np.arange(len(n_sites)), n_sites)
    pairs = np.unique(np.stack([crystal, arrays["atomic_numbers"]]), axis=1)
    n_elements = np.bincount(pairs[0])
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    left.bar(*np.unique(n_elements, return_counts=True))
    left.set(xlabel="elements", ylabel="crystals")
    right.hist(n_sites, bins=np.arange(0, 205, 5))
    right.set(xlabel="sites", ylabel="crystals")
    return figure


# %%
# Fig. 3 and Table V: perovskites
# -------------------------------


def perovskite_table(results):
    """Return errors and trends of each model."""
    rows = []
    for model, found in results.groupby("choice", sort=False):
        row = {"model": model, "seeds": len(found)}
        row["paper (eV/cell)"] = PEROVSKITES.get(model, "")
        row["error (eV/cell)"] = mean_and_spread(found["error"])
        rows.append({**row, **perovskite_trends(found)})
    return pd.DataFrame(rows).fillna("")


def perovskite_trends(found):
    """Return what seeds have in common, for models with contributions."""
    if "searches" not in found or found["searches"].isna().any():
        return {}
    top = found["of Be, B, Si in the top fifth of A"].map(
        lambda x: " ".join(x) or "none"
    )
    groups = found["lowest groups of B"].map(lambda each: " ".join(map(str, each)))
    correlations = found["Spearman of A and radius"]
    within = found["share of variance within crystals"]
    return {
        "share of variance within crystals": mean_and_spread(within, 2),
        "rank correlation of A with radius": mean_and_spread(correlations, 2),
        "of Be, B, Si in the top fifth of A": "; ".join(dict.fromkeys(top)),
        "lowest groups of B": "; ".join(dict.fromkeys(groups)),
    }


def search_table(results):
    """Return the success of the searches on the test crystals, by seed."""
    rows = []
    with_search = results.dropna(subset=["searches"])
    for model, found in with_search.groupby("choice", sort=False):
        for rule in found["searches"].iloc[0]:
            searches = [each[rule] for each in found["searches"]]
            rows.append({"model": model, "rule": rule, **search_columns(searches)})
    return pd.DataFrame(rows)


def search_columns(searches):
    """Return counts, enrichments and their intervals of several seeds."""
    return {
        "stable": "; ".join(
            f"{each['stable']} of {each['chosen']}" for each in searches
        ),
        "enrichment": "; ".join(f"{each['enrichment']:.1f}" for each in searches),
        "95 % interval": "; ".join(
            f"{low:.1f} to {high:.1f}"
            for low, high in (each["interval"] for each in searches)
        ),
    }


def draw_periodic_tables(results, model="default site", seed=0):
    """Yield the mean contributions on A and on B as periodic tables."""
    is_asked = (results["choice"] == model) & (results["seed"] == seed)
    for _, found in results[is_asked].iterrows():
        for role in "AB":
            display = PeriodicTableDisplay.from_values(
                found[role], label="mean contribution (eV/cell)"
            )
            display.ax_.set_title(f"Elements on {role}, {model}")
            yield role, display.figure_


# %%
# What the package does, in one picture
# -------------------------------------
# Predicted against computed bulk moduli, and what a model of perovskites has learned
# about elements on A.


def draw_overview(paper, perovskites):
    """Draw both, or nothing if either is missing."""
    pair = predictions(paper, "bulk", "default")
    results = read_perovskites(perovskites)
    found = results[(results["choice"] == "default site") & (results["seed"] == 0)]
    if pair is None or found.empty:
        return None
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 3.9), width_ratios=[1, 1.9], layout="constrained"
    )
    ParityDisplay.from_predictions(*pair, ax=left, gridsize=40)
    left.set_title(f"Bulk moduli of {len(pair[0])} crystals (log10 GPa)")
    PeriodicTableDisplay.from_values(
        found["A"].iloc[0], ax=right, label="mean contribution (eV/cell)"
    )
    right.set_title("What elements contribute on the A sites of perovskites")
    return figure


# %%
# Write everything
# ----------------


def save(figure, path):
    """Write a figure, if there is one, with few colors, so that the file is small."""
    if figure is not None:
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=DPI)
        plt.close(figure)
        image = Image.open(buffer).convert("RGB").quantize(64)
        image.save(path, optimize=True)


def write_paper(folder, output):
    """Write tables and figures of the results of the first benchmark."""
    results = read_results(folder, lambda part: len(part.split()) == 2)
    paper_table(results).to_csv(output / "properties.csv", index=False)
    other_scores_table(results).to_csv(output / "other_scores.csv", index=False)
    for model in MODELS:
        name = model.replace("Eq. ", "eq")
        save(draw_parity(folder, model), output / f"parity_{name}.png")
    save(draw_roc(folder), output / "metals.png")
    save(draw_learning_curves(results), output / "learning_curves.png")
    save(draw_choices(results), output / "choices.png")


def write_perovskites(folder, output):
    """Write tables and figures of the results of the second benchmark."""
    results = read_perovskites(folder).sort_values(["choice", "seed"])
    perovskite_table(results).to_csv(output / "perovskites.csv", index=False)
    if "searches" in results:
        search_table(results).to_csv(output / "searches.csv", index=False)
        for role, figure in draw_periodic_tables(results):
            save(figure, output / f"perovskites_{role}.png")


def main():
    """Read the options, and write."""
    parser = argparse.ArgumentParser(description="Draw the figures of the paper.")
    parser.add_argument("output", type=Path, help="folder to write to")
    parser.add_argument("--paper", type=Path, help="folder of the first benchmark")
    parser.add_argument("--perovskites", type=Path, help="folder of the second one")
    parser.add_argument("--data", type=Path, help="folder of the crystals")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.paper is not None:
        write_paper(options.paper, options.output)
    if options.perovskites is not None:
        write_perovskites(options.perovskites, options.output)
    if options.paper is not None and options.perovskites is not None:
        figure = draw_overview(options.paper, options.perovskites)
        save(figure, options.output / "overview.png")
    if options.data is not None:
        save(draw_histograms(options.data), options.output / "crystals.png")


if __name__ == "__main__":
    main()
