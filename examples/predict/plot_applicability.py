"""
Which predictions to distrust
=============================

A network returns a number for every crystal, however strange. This example trains a
model on three kinds of crystals, shows it others, and lets
:class:`~sklearn_cgcnn.uncertainty.ApplicabilityDomain` tell which of the predictions
are not to be trusted, and why.
"""

# %%
# Train on three kinds of crystals
# --------------------------------
# The model learns the lattice energies of rock salts, fluorites and perovskites. A
# quarter of them is set aside.

from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.uncertainty import ApplicabilityDomain

familiar = make_ionic_crystals(
    500, prototypes=["rocksalt", "fluorite", "perovskite"], random_state=0
)
train, test, energies_train, energies_test = train_test_split(
    familiar.data, familiar.target, random_state=0
)
model = CGCNNRegressor(max_epochs=40, random_state=0).fit(train, energies_train)

# %%
# The domain is learned from the crystals that the model was trained on. The model
# itself is frozen, and not trained again.

domain = ApplicabilityDomain(FrozenEstimator(model)).fit(train)

# %%
# Three strange crystals
# ----------------------
# - Iron oxide: no training crystal contains iron.
# - Rock salt that is compressed to two thirds of its volume.
# - A molecule: one pair of lithium and fluorine in a box of 15 Å.

from pymatgen.core import Lattice, Structure

from sklearn_cgcnn.pretrained import textbook_crystals

compressed = textbook_crystals()["rock salt"]
compressed.scale_lattice(compressed.volume * 2 / 3)
strange = {
    "iron oxide": Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.33), ["Fe", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ).get_primitive_structure(),
    "compressed rock salt": compressed,
    "LiF in a box": Structure(
        Lattice.cubic(15),
        ["Li", "F"],
        [[0, 0, 0], [1.56, 0, 0]],
        coords_are_cartesian=True,
    ),
}

# %%
# The prediction looks like any other. A score near 0 says that the crystal is unlike
# those of the training, and ``reasons`` says how:

import warnings

from sklearn_cgcnn.exceptions import ExtrapolationWarning

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", ExtrapolationWarning)
    predictions = model.predict(list(strange.values()))
scores = domain.score_samples(list(strange.values()))
reasons = domain.reasons(list(strange.values()))
for name, energy, score, why in zip(strange, predictions, scores, reasons, strict=True):
    print(f"{name}: {energy:.2f} eV/site, score {score:.3f}")
    print("\n".join(f"   {reason}" for reason in why))

# %%
# Even without an ``ApplicabilityDomain``, ``predict`` warns of two of these cases: new
# elements, and edges across vacuum. It does not notice the compression.

for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}\n")

# %%
# Other structures of the same elements
# -------------------------------------
# Crystals can also be strange without a single new element or distance: these are zinc
# blendes, cesium chlorides and antifluorites. Their true energies are known.

others = make_ionic_crystals(
    150, prototypes=["zincblende", "cesium_chloride", "antifluorite"], random_state=1
)
groups = {"familiar structures": (test, energies_test)}
for name in ("zincblende", "cesium_chloride", "antifluorite"):
    rows = [row for row, each in enumerate(others.prototype) if each == name]
    crystals = [others.data[row] for row in rows]
    groups[name.replace("_", " ")] = (crystals, others.target[rows])

# %%
# The score of a test crystal is the share of the training crystals that lie farther
# from the others than it does. For familiar structures, scores are spread between 0
# and 1.

import matplotlib.pyplot as plt
import numpy as np

fig, ax = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
for (name, (crystals, energies)), marker in zip(groups.items(), "os^D", strict=True):
    score = domain.score_samples(crystals)
    error = np.abs(model.predict(crystals) - energies)
    ax.scatter(score, error, s=18, marker=marker, alpha=0.7, label=name)
    print(
        f"{name:20s} median score {np.median(score):.2f}, "
        f"score below 0.05: {np.mean(score < 0.05):3.0%}, "
        f"mean absolute error {error.mean():.2f} eV/site"
    )
ax.set(xlabel="score (0: unlike the training crystals)", ylim=(0, None))
ax.set(ylabel="absolute error (eV/site)")
ax.legend()
plt.show()

# %%
# Most scores of the other structures are near 0, and their errors are two to three
# times as large on average. A low score does not prove that an error is large: some of
# these crystals are predicted well. It says that nothing supports the prediction.
