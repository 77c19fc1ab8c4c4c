"""
Search for parameters
=====================

The estimators work with any search over parameters of scikit-learn and of other
packages. This example runs three of them over the same estimator: all combinations of a
grid, a search that drops bad candidates early, and Optuna, which learns from the trials
before.
"""

# %%
# Make the graphs once
# --------------------
# A search fits many models to the same crystals. If it gets graphs instead of
# structures, they are not made again for each fit. The test crystals are set aside, and
# take no part in the searches.

import warnings

from sklearn.model_selection import KFold, train_test_split

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.exceptions import ExtrapolationWarning

# One of the folds has an element that the other lacks.
warnings.simplefilter("ignore", ExtrapolationWarning)

structures, energies = make_ionic_crystals(
    260, prototypes=["rocksalt", "zincblende"], random_state=0, return_X_y=True
)
graphs = CrystalGraphFeaturizer().fit_transform(structures)
train, test, y_train, y_test = train_test_split(
    graphs, energies, test_size=140, random_state=0
)
folds = KFold(2, shuffle=True, random_state=0)
scoring = "neg_mean_absolute_error"
model = CGCNNRegressor(max_epochs=16, random_state=0)

# %%
# All combinations
# ----------------
# ``GridSearchCV`` fits each combination on each fold, and the best one again on all
# crystals. ``best_estimator_`` predicts, also for structures.

import pandas as pd
from sklearn.model_selection import GridSearchCV

grid = {"lr": [0.001, 0.003, 0.01, 0.03], "n_conv_layers": [1, 3]}
grid_search = GridSearchCV(model, grid, scoring=scoring, cv=folds)
grid_search.fit(train, y_train)

results = pd.DataFrame(grid_search.cv_results_)
-results.pivot_table("mean_test_score", "param_n_conv_layers", "param_lr").round(2)

# %%
# Successive halving
# ------------------
# Few epochs are enough to see that a learning rate is far too low. With
# ``resource="max_epochs"``, ``HalvingGridSearchCV`` trains all candidates for 4 epochs,
# the better half of them for 8, and so on. The schedule of the learning rate spans the
# epochs of each training, so that every round is a complete training.

from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV

halving = HalvingGridSearchCV(
    model,
    grid,
    resource="max_epochs",
    min_resources=4,
    max_resources=16,
    factor=2,
    scoring=scoring,
    cv=folds,
    random_state=0,
)
halving.fit(train, y_train)

# %%
# A line for each candidate: dropped after the first or second round, or kept.

import matplotlib.pyplot as plt

rounds = pd.DataFrame(halving.cv_results_)
fig, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
colors = dict(
    zip(grid["lr"], ["tab:blue", "tab:green", "tab:orange", "tab:red"], strict=True)
)
for (rate, layers), scores in rounds.groupby(["param_lr", "param_n_conv_layers"]):
    ax.plot(
        scores["n_resources"],
        -scores["mean_test_score"],
        marker="o" if layers == 3 else "s",
        linestyle="-" if layers == 3 else "--",
        color=colors[rate],
        label=f"lr={rate}, {layers} convolution{'s' if layers > 1 else ''}",
    )
ax.set(xlabel="epochs of each training", ylabel="mean absolute error (eV/site)")
ax.set(xscale="log", yscale="log")
ax.set_xticks([4, 8, 16], labels=["4", "8", "16"])
ax.minorticks_off()
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %%
# Optuna
# ------
# Optuna draws values from ranges, and prefers those near good trials. The objective is
# a function that returns the score of ``cross_val_score``.

import optuna
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial):
    """Return the mean error of one set of parameters."""
    parameters = {
        "lr": trial.suggest_float("lr", 0.001, 0.1, log=True),
        "n_conv_layers": trial.suggest_int("n_conv_layers", 1, 3),
        "weight_decay": trial.suggest_float("weight_decay", 0.01, 1, log=True),
    }
    candidate = clone(model).set_params(**parameters)
    return -cross_val_score(candidate, train, y_train, scoring=scoring, cv=folds).mean()


study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(objective, n_trials=14)
print(f"best of {len(study.trials)} trials: {study.best_value:.2f} eV/site")
print({name: round(value, 4) for name, value in study.best_params.items()})

# %%
trials = study.trials_dataframe()
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
points = ax.scatter(
    trials["params_lr"], trials["value"], c=trials["number"] + 1, s=60, cmap="viridis_r"
)
fig.colorbar(points, label="trial")
ax.plot(study.best_params["lr"], study.best_value, "o", mfc="none", mec="k", ms=13)
ax.set(xscale="log", xlabel="learning rate", ylabel="mean absolute error (eV/site)")
plt.show()

# %%
# Compare what was found
# ----------------------
# Fits are counted over the folds. The last column is the error on the test crystals of
# a model that was trained on all others.

from sklearn.metrics import mean_absolute_error

found = {
    "defaults": ({}, 0),
    "grid": (grid_search.best_params_, 2 * len(results)),
    "halving": (halving.best_params_, 2 * len(rounds)),
    "Optuna": (study.best_params, 2 * len(study.trials)),
}
rows = {}
for name, (parameters, n_fits) in found.items():
    best = clone(model).set_params(**parameters).fit(train, y_train)
    error = mean_absolute_error(y_test, best.predict(test))
    rows[name] = {"fits": n_fits, "error (eV/site)": round(error, 2), **parameters}
pd.DataFrame(rows).T

# %%
# With so few crystals, scores differ by chance as much as by their parameters: what won
# the grid search is worse on the test crystals than the defaults. Optuna found better
# values outside of the grid. Before you search, see how much the score varies with
# other folds, and search over what matters most.
