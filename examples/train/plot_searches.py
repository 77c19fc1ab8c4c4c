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

from sklearn.model_selection import KFold, train_test_split

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals

structures, energies = make_ionic_crystals(
    500, prototypes=["rocksalt", "zincblende"], random_state=0, return_X_y=True
)
graphs = CrystalGraphFeaturizer().fit_transform(structures)
train, test, y_train, y_test = train_test_split(
    graphs, energies, train_size=180, random_state=0
)
folds = KFold(2, shuffle=True, random_state=0)
scoring = "neg_mean_absolute_error"
model = CGCNNRegressor(max_epochs=12, random_state=0)

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
results["error"] = -results["mean_test_score"]
results.pivot_table("error", "param_n_conv_layers", "param_lr").round(2)

# %%
# Successive halving
# ------------------
# Few epochs are enough to see that a learning rate is far too low. With
# ``resource="max_epochs"``, ``HalvingGridSearchCV`` trains all candidates for 3 epochs,
# the better half of them for 6, and so on. The schedule of the learning rate spans the
# epochs of each training, so that every round is a complete training.

from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV

halving = HalvingGridSearchCV(
    model,
    grid,
    resource="max_epochs",
    min_resources=3,
    max_resources=12,
    factor=2,
    scoring=scoring,
    cv=folds,
    random_state=0,
)
halving.fit(train, y_train)

# %%
# A line for each candidate. Those without a line were dropped after the first round.

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
ax.set_xscale("log")
ax.set_xticks([3, 6, 12], labels=["3", "6", "12"])
ax.minorticks_off()
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %%
# Optuna
# ------
# Optuna draws values from ranges. After five random trials, it prefers values near
# those of good trials. The objective is a function of a trial that returns the error,
# here that of ``cross_val_score``.

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


study = optuna.create_study(
    sampler=optuna.samplers.TPESampler(n_startup_trials=5, seed=0)
)
study.optimize(objective, n_trials=12)
print(f"best of {len(study.trials)} trials: {study.best_value:.2f} eV/site")
print({name: round(value, 4) for name, value in study.best_params.items()})

# %%
# Errors of the trials; the best one has a ring.

trials = study.trials_dataframe()
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
points = ax.scatter(
    trials["params_lr"], trials["value"], c=trials["number"] + 1, s=60, cmap="viridis_r"
)
fig.colorbar(points, label="trial")
ax.plot(study.best_params["lr"], study.best_value, "o", mfc="none", mec="k", ms=13)
ax.set(xscale="log")
ax.set_xticks(
    [0.001, 0.003, 0.01, 0.03, 0.1], labels=["0.001", "0.003", "0.01", "0.03", "0.1"]
)
ax.minorticks_off()
ax.set(
    xlim=(0.0009, 0.11), xlabel="learning rate", ylabel="mean absolute error (eV/site)"
)
plt.show()

# %%
# Compare what was found
# ----------------------
# Train a model with each result on all training crystals, and predict the test
# crystals. The cost of a search is the number of epochs of all its fits in two folds.

from sklearn.metrics import mean_absolute_error

searches = {
    "defaults": ({}, 0),
    "grid": (grid_search.best_params_, 2 * 12 * len(results)),
    "halving": (halving.best_params_, 2 * rounds["n_resources"].sum()),
    "Optuna": (study.best_params, 2 * 12 * len(study.trials)),
}
rows = {}
for name, (parameters, n_epochs) in searches.items():
    best = clone(model).set_params(**parameters).fit(train, y_train)
    rows[name] = {
        "lr": round(best.lr, 4),
        "convolutions": best.n_conv_layers,
        "epochs of the search": n_epochs,
        "error (eV/site)": round(mean_absolute_error(y_test, best.predict(test)), 3),
    }
pd.DataFrame.from_dict(rows, orient="index")

# %%
# Halving found the same parameters as the grid, with three quarters of the epochs. With
# more candidates and longer trainings it saves more. Optuna also searched the weight
# decay. Its best trial was the fifth, the last random one, so that the trials after it
# found nothing better.
#
# All results are better than the defaults here, but each is a single training on 180
# crystals, and another seed may change the order. The trainings are also very short:
# the defaults are meant for at least 100 epochs. Search with about as many epochs as
# the final model will have.
