"""
Lattice energies of ionic crystals
==================================

A first model from beginning to end: generate crystals, learn their energies, judge the
predictions, and keep the model in a file. It runs for less than a minute.
"""

# %%
# The crystals
# ------------
# Rock salts, fluorites, perovskites and a few others, built from common ions and a
# little strained. The target is the lattice energy that point charges with a
# short-range repulsion would have, in eV per site.

from sklearn_cgcnn.datasets import make_ionic_crystals

crystals = make_ionic_crystals(600, random_state=0)
structures, energies = crystals.data, crystals.target
print(structures[0])

# %%
# A quarter of them is set aside to be predicted.

from sklearn.model_selection import train_test_split

train, test, energies_train, energies_test = train_test_split(
    structures, energies, random_state=0
)

# %%
# Fit and predict
# ---------------
# The regressor takes structures as they are. It makes their crystal graphs, builds the
# network and trains it.

from sklearn_cgcnn import CGCNNRegressor

model = CGCNNRegressor(random_state=0)
model.fit(train, energies_train)
predictions = model.predict(test)

# %%
# Is that any good? A model that knows nothing of crystals predicts the mean.

from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error

dummy = DummyRegressor().fit(train, energies_train)
error = mean_absolute_error(energies_test, predictions)
dummy_error = mean_absolute_error(energies_test, dummy.predict(test))
print(f"mean absolute error: {error:.3f} eV/site (dummy: {dummy_error:.3f} eV/site)")
print(f"R² = {model.score(test, energies_test):.4f}")

# %%
# Every crystal of the test set, prediction against truth:

import matplotlib.pyplot as plt
from sklearn.metrics import PredictionErrorDisplay

display = PredictionErrorDisplay.from_predictions(
    energies_test, predictions, kind="actual_vs_predicted"
)
display.ax_.set(xlabel="Predicted energy (eV/site)", ylabel="Lattice energy (eV/site)")
plt.show()

# %%
# Keep the model
# --------------
# A fitted model is stored as any other of scikit-learn's, and predicts the same when it
# comes back.

import tempfile
from pathlib import Path

import joblib

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "lattice-energy.joblib"
    joblib.dump(model, path)
    reloaded = joblib.load(path)
    print(f"the model takes {path.stat().st_size / 1024:.0f} kB")

print("same predictions:", (reloaded.predict(test) == predictions).all())
