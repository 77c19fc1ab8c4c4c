"""
Lattice energies of ionic crystals
==================================

This example trains a first model: it generates crystals, fits a regressor to their
lattice energies, evaluates the predictions, and saves the model to a file. Then it
predicts the bulk moduli of well-known crystals with a model that comes with the
package. It runs for less than a minute.
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
# A fitted model can be saved in a file that is safe to share. The loaded model makes
# the same predictions.

import tempfile
from pathlib import Path

from sklearn_cgcnn.model_files import load_model, save_model

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "lattice-energy.safetensors"
    save_model(model, path, card={"unit": "eV/site"})
    reloaded = load_model(path)
    print(f"size of the file: {path.stat().st_size / 1024:.0f} kB")

print("same predictions:", (reloaded.predict(test) == predictions).all())

# %%
# Predict real properties
# -----------------------
# Some models come with the package. Here are the bulk moduli of crystals built from the
# lattice constants of textbooks, with intervals that contain 90 % of the true values of
# crystals like those of the training. The published values are experimental (C. Kittel,
# Introduction to Solid State Physics; for strontium titanate, R. O. Bell and
# G. Rupprecht, Phys. Rev. 129, 90, 1963), and the training set was computed by DFT.

from sklearn_cgcnn.pretrained import card, load, textbook_crystals

published = {
    "rock salt": 24,
    "magnesium oxide": 160,
    "silicon": 98.8,
    "gallium arsenide": 75,
    "iron": 168,
    "strontium titanate": 174,
}
in_training = card("log_bulk_modulus")["textbook crystals in the training set"]
crystals, bulk_model = textbook_crystals(), load("log_bulk_modulus")
for name, structure in crystals.items():
    bulk_modulus = 10 ** bulk_model.predict([structure])[0]
    low, high = 10 ** bulk_model.predict_interval([structure], 0.9)[0]
    seen = "in the training set" if name in in_training else "new"
    print(
        f"{name:18s} {bulk_modulus:4.0f} GPa ({low:.0f} to {high:.0f}), "
        f"published {published[name]} GPa; {seen}"
    )
