"""
Lattice energies of ionic crystals
==================================

This example trains a first model: it generates crystals, fits a regressor to their
lattice energies, evaluates the predictions, and saves the model to a file. It runs for
less than a minute.
"""

# %%
# Generate crystals
# -----------------
# The crystals are slightly strained rock salts, fluorites, perovskites and a few other
# prototypes, built from common ions. The target is the lattice energy in eV per site.
# It is computed from point charges and a short-range repulsion.

from sklearn_cgcnn.datasets import make_ionic_crystals

crystals = make_ionic_crystals(600, random_state=0)
structures, energies = crystals.data, crystals.target
print(structures[0])

# %%
# Set a quarter of the crystals aside as a test set:

from sklearn.model_selection import train_test_split

train, test, energies_train, energies_test = train_test_split(
    structures, energies, random_state=0
)

# %%
# Fit and predict
# ---------------
# The regressor accepts structures directly. It builds their crystal graphs, and creates
# and trains the network.

from sklearn_cgcnn import CGCNNRegressor

model = CGCNNRegressor(random_state=0)
model.fit(train, energies_train)
predictions = model.predict(test)

# %%
# To judge the error, compare it with a baseline that predicts the mean of the training
# energies for every crystal:

from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error

dummy = DummyRegressor().fit(train, energies_train)
error = mean_absolute_error(energies_test, predictions)
dummy_error = mean_absolute_error(energies_test, dummy.predict(test))
print(f"mean absolute error: {error:.3f} eV/site (dummy: {dummy_error:.3f} eV/site)")
print(f"R² = {model.score(test, energies_test):.4f}")

# %%
# Plot the prediction for each crystal of the test set against its energy:

import matplotlib.pyplot as plt
from sklearn.metrics import PredictionErrorDisplay

display = PredictionErrorDisplay.from_predictions(
    energies_test, predictions, kind="actual_vs_predicted"
)
display.ax_.set(xlabel="Predicted energy (eV/site)", ylabel="Lattice energy (eV/site)")
plt.show()

# %%
# Save the model
# --------------
# A fitted model can be saved with joblib, like other scikit-learn estimators. The
# loaded model makes the same predictions.

import tempfile
from pathlib import Path

import joblib

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "lattice-energy.joblib"
    joblib.dump(model, path)
    reloaded = joblib.load(path)
    print(f"size of the file: {path.stat().st_size / 1024:.0f} kB")

print("same predictions:", (reloaded.predict(test) == predictions).all())
