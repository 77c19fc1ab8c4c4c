"""
Contributions of sites and elements
===================================

With ``readout="site"``, a prediction is the mean of contributions of the sites. This
example shows what a model has learned about elements on the two kinds of cation sites
of perovskites, as Fig. 3 of Xie and Grossman (2018) does. It runs for about a minute.
"""

# %%
# Train a model
# -------------
# The crystals are slightly strained cubic perovskites ABX₃, and the target is their
# lattice energy in eV per site.

from sklearn.model_selection import train_test_split

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.datasets import make_ionic_crystals

crystals = make_ionic_crystals(600, prototypes="perovskite", random_state=0)
train, test, energies_train, energies_test, _, site_energies = train_test_split(
    crystals.data, crystals.target, crystals.site_energies, random_state=0
)
model = CGCNNRegressor(readout="site", max_epochs=60, random_state=0)
model.fit(train, energies_train, X_val=test, y_val=energies_test)

# %%
# Losses by epoch, and predictions for the crystals that the model was not trained on:

import matplotlib.pyplot as plt

from sklearn_cgcnn.inspection import LossCurveDisplay, ParityDisplay

LossCurveDisplay.from_estimator(model)
ParityDisplay.from_estimator(model, test, energies_test)
plt.show()

# %%
# Average contributions by element
# --------------------------------
# In these structures, the first site of a cell is A, and the second one is B.

from sklearn_cgcnn.inspection import element_contributions

roles = [["A", "B", "X", "X", "X"]] * len(test)
table = element_contributions(model, test, roles=roles)
print(table.round(2))

# %%
# The same means as periodic tables. On B, niobium and tantalum, the ions with the
# highest charge, have by far the lowest contributions. The model has not seen energies
# of sites, but only their mean for each crystal. Which share of an energy it assigns to
# a cation, and which to the anions around it, is therefore not unique.

from sklearn_cgcnn.inspection import PeriodicTableDisplay

for role in ("A", "B"):
    PeriodicTableDisplay.from_estimator(
        model,
        test,
        roles=roles,
        role=role,
        label="mean contribution (eV/site)",
        name=f"Elements on {role}",
    )
plt.show()

# %%
# Compare with the truth
# ----------------------
# In these generated crystals, the energy of each site is known. Its mean for each
# element is computed in the same way as that of the contributions.

import numpy as np
import pandas as pd

sites = pd.DataFrame(
    {
        "role": np.concatenate(roles),
        "element": [site.specie.symbol for crystal in test for site in crystal],
        "energy": np.concatenate(site_energies),
    }
)
true = sites.groupby(["role", "element"])["energy"].mean().loc[table.index]

# %%
# Some numbers can be added to the contributions without changing a prediction: every
# crystal has one A, one B and three X, and no charge. These shifts are the columns of
# a table. We add the combination of them that brings the means closest to the truth.
# The same shifts, added to zeros, tell how much of the agreement is due to them alone.

from scipy.stats import spearmanr

from sklearn_cgcnn.inspection import undetermined_shifts

train_roles = [["A", "B", "X", "X", "X"]] * len(train)
shifts = undetermined_shifts(train, roles=train_roles).loc[table.index]


def shifted(means):
    """Add the shifts that bring means closest to the truth."""
    scale, *_ = np.linalg.lstsq(shifts, true - means)
    return means + shifts @ scale


print(f"{shifts.shape[1]} shifts")
learned = table["mean"]
candidates = {
    "as learned": learned,
    "shifted": shifted(learned),
    "shifts alone": shifted(0 * learned),
}
for name, means in candidates.items():
    correlation = spearmanr(means, true).statistic
    error = (means - true).abs().mean()
    print(f"{name}: rank correlation {correlation:.2f}, mean error {error:.1f} eV")

# %%
# Write contributions to structures
# ---------------------------------
# Programs that show structures can then color sites by their contribution.

from sklearn_cgcnn.inspection import with_site_contributions

(crystal,) = with_site_contributions(model, test[:1])
print(crystal)
