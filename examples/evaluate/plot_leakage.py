"""
Keep related crystals in one fold
=================================

Datasets of crystals contain families: several entries of one compound, or one structure
type with many sets of elements. Random folds put members of a family into training and
test sets, and the error is then too low. This example compares random folds and folds
by group with the error on crystals that are really new.
"""

# %%
# A dataset with near duplicates
# ------------------------------
# Databases contain crystals several times, with slightly different positions. Here,
# each of 80 ionic crystals occurs three times, and each time its sites are moved by
# 0.02 Å. There are five structure types with two elements each. The target is the
# lattice energy.

import numpy as np

from sklearn_cgcnn.datasets import make_ionic_crystals

known_types = ["rocksalt", "cesium_chloride", "zincblende", "fluorite", "antifluorite"]
crystals = make_ionic_crystals(
    80, prototypes=known_types, max_strain=0.02, random_state=0
)
structures, energies = [], []
for i, (crystal, energy) in enumerate(zip(crystals.data, crystals.target, strict=True)):
    for copy in range(3):
        structures.append(crystal.copy().perturb(0.02, seed=3 * i + copy))
        energies.append(energy)
energies = np.array(energies)

# %%
# Label the families
# ------------------
# Each element has only one charge here, so that a set of elements has only one formula,
# and groups by formula and by chemical system are the same. In other datasets, Fe₂O₃
# and Fe₃O₄ are of one chemical system. Prototypes need a tolerance in Å that is larger
# than the strains. CaF₂ and Li₂O have the same prototype, because labels do not say
# which element is where.

from sklearn_cgcnn.metrics import crystal_groups

groups = {
    "formula": crystal_groups(structures, by="formula"),
    "chemical system": crystal_groups(structures, by="chemical_system"),
    "prototype": crystal_groups(structures, by="prototype", symprec=0.5),
}
for name, labels in groups.items():
    distinct = np.unique(labels)
    print(f"{name}: {len(distinct)} groups, such as {', '.join(distinct[:4])}")

# %%
# Estimate the error
# ------------------
# ``GroupKFold`` keeps each group in one fold. If a group is left out, an element may be
# missing in the training crystals, and ``predict`` warns of it. This is what we want to
# test here, so the warning is switched off.

import warnings

from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import ExtrapolationWarning

warnings.simplefilter("ignore", ExtrapolationWarning)

featurizer = CrystalGraphFeaturizer()
graphs = featurizer.fit_transform(structures)
model = CGCNNRegressor(max_epochs=20, random_state=0)

splits = {
    "random folds": (KFold(4, shuffle=True, random_state=0), None),
    "folds by formula": (GroupKFold(4), groups["formula"]),
    "folds by prototype": (GroupKFold(4), groups["prototype"]),
}
estimates = {}
for name, (folds, labels) in splits.items():
    scores = cross_val_score(
        model,
        graphs,
        energies,
        groups=labels,
        cv=folds,
        scoring="neg_mean_absolute_error",
    )
    estimates[name] = -scores
    print(f"{name}: {-scores.mean():.2f} eV/site")

# %%
# Compare with new crystals
# -------------------------
# Train on all crystals, and predict new ones of three kinds: with a formula that is in
# the dataset, but another structure or strain; with a new formula; and with a new
# structure type.

new = make_ionic_crystals(400, prototypes=known_types, max_strain=0.02, random_state=1)
perovskites = make_ionic_crystals(
    200, prototypes="perovskite", max_strain=0.02, random_state=1
)

model.fit(graphs, energies)
errors = np.abs(model.predict(new.data) - new.target)
errors_perovskites = np.abs(model.predict(perovskites.data) - perovskites.target)
is_known = np.isin(crystal_groups(new.data), groups["formula"])
truth = {
    "known formulas": errors[is_known],
    "new formulas": errors[~is_known],
    "new structure type": errors_perovskites,
}
for name, values in truth.items():
    print(f"{name}: {values.mean():.2f} eV/site ({len(values)} crystals)")

# %%
# In each row are an estimate and the error that it stands for. Bars on the errors of
# new crystals are two standard errors of their mean.

import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
rows = zip(estimates.items(), truth.items(), strict=True)
for row, ((_, scores), (_, values)) in enumerate(rows):
    ax.plot(scores, [row - 0.12] * len(scores), ".", color="tab:orange", alpha=0.7)
    ax.plot(scores.mean(), row - 0.12, "o", color="tab:orange", markersize=9)
    bar = 2 * values.std() / len(values) ** 0.5
    ax.errorbar(
        values.mean(), row + 0.16, xerr=bar, fmt="D", color="tab:blue", capsize=3
    )
ax.plot([], [], "o", color="tab:orange", label="estimate (small dots: folds)")
ax.plot([], [], "D", color="tab:blue", label="error on new crystals")
labels = [f"{split}\n{kind}" for split, kind in zip(estimates, truth, strict=True)]
ax.set_yticks(range(3), labels=labels)
ax.set_ylim(2.5, -0.5)
ax.set(xscale="log", xlabel="mean absolute error (eV/site)")
ax.set_xticks([0.3, 0.5, 1, 2, 3, 5], labels=["0.3", "0.5", "1", "2", "3", "5"])
ax.minorticks_off()
ax.grid(axis="x", alpha=0.3)
ax.legend(loc="upper right")
plt.show()

# %%
# Random folds promise an error that none of the new crystals have, not even those of
# known formulas: most test crystals had a near duplicate among the training crystals.
# Folds by formula come close to the error for new formulas, three times as large. Their
# errors scatter, because each fold leaves out other elements.
#
# Folds by prototype warn that a new structure type is harder still. The error on
# perovskites is higher than their mean, and no splitting could have told: all types in
# the dataset have two elements, and perovskites have three. An estimate holds for new
# crystals that differ from the dataset as the folds differ from each other.
