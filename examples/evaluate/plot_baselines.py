"""
Compare with simple models
==========================

An error is small or large only beside that of a simpler model. This example compares a
crystal graph network with the mean of the targets, and with ridge regression and a
random forest on descriptors of the composition and the density.
"""

# %%
# Crystals and descriptors
# ------------------------
# The crystals are ionic, of six structure types, and the target is their lattice
# energy. matminer computes the descriptors of the composition: statistics over the
# properties of the elements, such as the mean electronegativity. They are the same for
# all crystals of one formula, so that the density and the volume per site are added in
# a second table.

import pandas as pd
from matminer.featurizers.composition import ElementProperty

from sklearn_cgcnn.datasets import make_ionic_crystals

structures, energies = make_ionic_crystals(600, random_state=0, return_X_y=True)

magpie = ElementProperty.from_preset("magpie")
magpie.set_n_jobs(1)
rows = magpie.featurize_many([each.composition for each in structures], pbar=False)
composition = pd.DataFrame(rows, columns=magpie.feature_labels())
descriptors = composition.assign(
    density=[each.density for each in structures],
    volume_per_site=[each.volume / len(each) for each in structures],
)
print(f"{composition.shape[1]} descriptors of the composition")

# %%
# Predict all crystals with each model
# ------------------------------------
# In cross-validation, each crystal is predicted by a model that has not seen it. All
# models use the same three folds. The network receives crystal graphs, which are made
# once.

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer

graphs = CrystalGraphFeaturizer().fit_transform(structures)
ridge = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-3, 3, 13)))
forest = RandomForestRegressor(random_state=0)
candidates = {
    "mean of the targets": (DummyRegressor(), composition),
    "ridge, composition": (ridge, composition),
    "forest, composition": (forest, composition),
    "ridge, with density": (ridge, descriptors),
    "forest, with density": (forest, descriptors),
    "crystal graph network": (CGCNNRegressor(max_epochs=40, random_state=0), graphs),
}
folds = KFold(3, shuffle=True, random_state=0)
predictions = {
    name: cross_val_predict(model, X, energies, cv=folds)
    for name, (model, X) in candidates.items()
}

# %%
# Mean absolute errors: a small dot for each fold, and their mean. Note the logarithmic
# axis.

import matplotlib.pyplot as plt
from sklearn.metrics import mean_absolute_error

errors = pd.DataFrame(
    {
        name: [
            mean_absolute_error(energies[test], predicted[test])
            for _, test in folds.split(energies)
        ]
        for name, predicted in predictions.items()
    }
)

fig, ax = plt.subplots(figsize=(7.5, 3.5), layout="constrained")
colors = ["0.5", "tab:orange", "tab:orange", "tab:green", "tab:green", "tab:blue"]
for name, color in zip(errors, colors, strict=True):
    mean = errors[name].mean()
    ax.plot(errors[name], [name] * len(errors), ".", color=color, alpha=0.6)
    ax.plot(mean, name, "o", color=color, markersize=9)
    ax.annotate(
        f"{mean:.2f}", (mean, name), (0, 9), textcoords="offset points", ha="center"
    )
ax.set(xscale="log", xlim=(0.3, 10), xlabel="mean absolute error (eV/site)")
ax.set_xticks([0.3, 0.5, 1, 2, 5, 10], labels=["0.3", "0.5", "1", "2", "5", "10"])
ax.set_ylim(5.5, -0.8)
ax.grid(axis="x", alpha=0.3)
plt.show()

# %%
# All models are far better than the mean of the targets, which is the baseline that R²
# compares with. In these crystals, most of the energy follows from the charges and
# radii of the ions, and so from the formula. With the density, simple models come close
# to the network. Only the remaining difference is what the graphs are worth.
#
# Differences between crystals of one formula
# -------------------------------------------
# Many formulas occur several times, with other structures and strains. Subtract from
# each energy the mean of its formula, and from each prediction the mean of the
# predictions, to see whether a model tells such crystals apart.

formulas = np.array([each.reduced_formula for each in structures])


def within_formula(values):
    """Subtract from each value the mean over all crystals of its formula."""
    values = pd.Series(values)
    return values - values.groupby(formulas).transform("mean")


shown = ["forest, composition", "ridge, with density", "crystal graph network"]
fig, axes = plt.subplots(
    1, 3, figsize=(10, 3.2), sharex=True, sharey=True, layout="constrained"
)
for ax, name in zip(axes, shown, strict=True):
    ax.axline((0, 0), slope=1, color="k", linewidth=1, linestyle=":")
    color = colors[list(errors).index(name)]
    differences = within_formula(predictions[name])
    ax.plot(within_formula(energies), differences, ".", alpha=0.5, color=color)
    ax.set(title=name, aspect="equal")
axes[0].set_ylabel("predicted difference (eV/site)")
axes[1].set_xlabel("true difference from the mean of the formula (eV/site)")
plt.show()

# %%
# For the forest on compositions, all crystals of a formula look the same. Its points do
# not even lie on a horizontal line, but lean the wrong way: the model that predicts a
# crystal of low energy was trained without it, on others of its formula that lie
# higher. Ridge regression with the density recognizes the differences about as well as
# the network. On such crystals, it is a serious competitor, and is trained in a
# fraction of a second.
