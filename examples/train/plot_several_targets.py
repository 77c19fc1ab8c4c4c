"""
Several targets with gaps
=========================

Often some properties are known for all crystals, and others only for a few. One model
can learn them together. This example trains on three targets with missing values,
scores each of them, and asks whether the model gains from learning them together.
"""

# %%
# Three targets, one of them rarely known
# ---------------------------------------
# The crystals are ionic. The first target is the lattice energy per site, and the
# second one the volume per site. The third is the energy of the anions alone, which is
# strongly related to the first. It is known for one crystal in five only, as a property
# may be that is costly to compute. NaN marks a missing value.

import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals

crystals = make_ionic_crystals(
    450,
    prototypes=["rocksalt", "cesium_chloride", "zincblende"],
    random_state=0,
)
anions = {"O", "S", "Se", "Te", "F", "Cl", "Br", "I"}
anion_energy = [
    energies[[site.specie.symbol in anions for site in crystal]].mean()
    for crystal, energies in zip(crystals.data, crystals.site_energies, strict=True)
]
volume = [crystal.volume / len(crystal) for crystal in crystals.data]
names = ["energy (eV/site)", "volume (Å³/site)", "anion energy (eV)"]
y = np.column_stack([crystals.target, volume, anion_energy])

graphs = CrystalGraphFeaturizer().fit_transform(crystals.data)
train, test, y_train, y_test = train_test_split(
    graphs, y, test_size=200, random_state=1
)
y_train = y_train.copy()
rng = np.random.default_rng(0)
y_train[rng.permutation(len(train))[50:], 2] = np.nan
y_train[rng.random(len(train)) < 0.2, 1] = np.nan
n_known = np.isfinite(y_train).sum(axis=0).tolist()
print("known values:", dict(zip(names, n_known, strict=True)))

# %%
# Fit and score
# -------------
# The estimator needs nothing but the table. Each target is standardized, and a missing
# value adds nothing to the loss. The scores of :mod:`sklearn_cgcnn.metrics` skip
# missing values. With ``multioutput="raw_values"``, they return a number for each
# target.

import pandas as pd

from sklearn_cgcnn import CGCNNRegressor, metrics

model = CGCNNRegressor(max_epochs=50, random_state=0)
together = model.fit(train, y_train).predict(test)
errors = metrics.mean_absolute_error(y_test, together, multioutput="raw_values")
print(pd.Series(errors, names).round(2).to_string())

# %%
# Cross-validation needs such a scorer too, because those of scikit-learn refuse NaN. A
# mean over targets in different units has little meaning. R² has no unit, and its mean
# tells more.

from sklearn.model_selection import cross_validate

scores = cross_validate(
    CGCNNRegressor(max_epochs=20, random_state=0),
    train,
    y_train,
    cv=3,
    scoring={"r2": metrics.r2, "mae": metrics.neg_mean_absolute_error},
)
print("mean R² of each fold:", scores["test_r2"].round(3))

# %%
# Together or alone
# -----------------
# For comparison, one model for each target, trained on the crystals whose value is
# known. If these are few, an epoch has few batches. More epochs make up for that, so
# that all models are trained for about as many steps.

from sklearn.base import clone

alone = np.empty_like(together)
for i in range(y.shape[1]):
    is_known = np.isfinite(y_train[:, i])
    single = clone(model).set_params(max_epochs=50 * len(train) // is_known.sum())
    single.fit(train[is_known], y_train[is_known, i])
    alone[:, i] = single.predict(test)

table = pd.DataFrame(
    {
        "known values": n_known,
        "alone": metrics.mean_absolute_error(y_test, alone, multioutput="raw_values"),
        "together": errors,
    },
    index=names,
)
table.round(2)

# %%
# Predictions of the rare target by both models:

import matplotlib.pyplot as plt

from sklearn_cgcnn.inspection import ParityDisplay

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for ax, (name, predictions) in zip(
    axes, {"alone": alone, "together": together}.items(), strict=True
):
    ParityDisplay.from_predictions(y_test[:, 2], predictions[:, 2], ax=ax, name=name)
    ax.set(xlabel="anion energy (eV)", ylabel="predicted anion energy (eV)")
plt.show()

# %%
# The rare target gains: its few values show how it follows from what the network has
# learned of the energy. The energy itself, known for all crystals, changes little. The
# volume loses: its error is half as large again as that of a model of its own, probably
# because it shares the network with targets that it has less in common with. Whether to
# learn targets together is therefore worth a comparison like this one.
