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

structures, energies = make_ionic_crystals(
    600, prototypes="perovskite", random_state=0, return_X_y=True
)
train, test, energies_train, energies_test = train_test_split(
    structures, energies, random_state=0
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
# The same means as periodic tables. On B, the highly charged ions of groups 4 and 5
# have the lowest contributions. The model has not seen energies of sites, but only
# their mean for each crystal. Which share of an energy it assigns to a cation, and
# which to the anions around it, is therefore not unique.

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
# Write contributions to structures
# ---------------------------------
# Programs that show structures can then color sites by their contribution.

from sklearn_cgcnn.inspection import with_site_contributions

(crystal,) = with_site_contributions(model, test[:1])
print(crystal)
