"""
Errors by element
=================

A single number for the error hides where a model is good and where it is not. This
example draws predictions against true values, and the error for the crystals of each
element as a periodic table.
"""

# %%
# Predict each crystal by a model that has not seen it
# ----------------------------------------------------
# The crystals are ionic, and the target is their lattice energy. Cross-validation
# predicts each third of the crystals by a model that was trained on the other two.

from sklearn.model_selection import KFold, cross_val_predict

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals

structures, energies = make_ionic_crystals(
    500,
    prototypes=["rocksalt", "fluorite", "perovskite"],
    random_state=0,
    return_X_y=True,
)
graphs = CrystalGraphFeaturizer().fit_transform(structures)
model = CGCNNRegressor(max_epochs=40, random_state=0)
predictions = cross_val_predict(
    model, graphs, energies, cv=KFold(3, shuffle=True, random_state=0)
)

# %%
# Predictions against true values
# -------------------------------
# Each hexagon counts the crystals in it. R² is close to 1, because the energies span 30
# eV. It says little about how good the predictions are for one kind of crystals.

import matplotlib.pyplot as plt

from sklearn_cgcnn.inspection import ParityDisplay

display = ParityDisplay.from_predictions(energies, predictions, name="Ionic crystals")
display.ax_.set(
    xlabel="lattice energy (eV/site)", ylabel="predicted lattice energy (eV/site)"
)
plt.show()

# %%
# Errors by element
# -----------------
# The error of an element is the mean over all crystals that contain it.

import pandas as pd

rows = [
    {"element": element, "error (eV/site)": abs(predicted - energy), "energy": energy}
    for structure, energy, predicted in zip(
        structures, energies, predictions, strict=True
    )
    for element in structure.symbol_set
]
by_element = pd.DataFrame(rows).groupby("element").mean()
by_element["crystals"] = pd.DataFrame(rows)["element"].value_counts()
by_element.sort_values("error (eV/site)", ascending=False).head(8).round(2)

# %%
from sklearn_cgcnn.inspection import PeriodicTableDisplay

PeriodicTableDisplay.from_values(
    by_element["error (eV/site)"],
    label="mean absolute error (eV/site)",
    name="Error of the crystals that contain an element",
    cmap="magma_r",
)
plt.show()

# %%
# Why some elements are harder
# ----------------------------
# Draw the error against the number of crystals that contain the element. The color is
# their mean energy.

fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
points = ax.scatter(
    by_element["crystals"],
    by_element["error (eV/site)"],
    c=by_element["energy"],
    s=50,
)
for element, row in by_element.iterrows():
    place = (row["crystals"], row["error (eV/site)"])
    ax.annotate(element, place, (6, 2), textcoords="offset points")
fig.colorbar(points, label="mean lattice energy (eV/site)")
ax.set(
    xlabel="crystals that contain the element",
    ylabel="mean absolute error (eV/site)",
    ylim=(0, None),
)
plt.show()

# %%
# Two reasons stand out. The trivalent elements, such as Al, Sc and Ga, occur in few
# crystals, and have the largest errors: more crystals with them would help most. And
# errors grow with the energies themselves. Oxides are frequent, but their energies are
# large, and so are their errors. Halides have weak bonds and small errors.
#
# An element shares its error with those that it occurs with. The table says where to
# look, and not which element is to blame.
