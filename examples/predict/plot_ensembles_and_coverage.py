"""
Spreads and intervals
=====================

How large is the error of a prediction? This example compares two answers, the
disagreement of an ensemble and a spread that is learned from errors. It then turns the
better one into intervals that contain 90 % of the true values.
"""

# %%
# Crystals for four purposes
# --------------------------
# Networks learn from the first crystals, spreads from the errors of others, and the
# width of intervals from a third set. The rest is for the test. Graphs are built once.

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals

structures, energies = make_ionic_crystals(1200, random_state=1, return_X_y=True)
graphs = CrystalGraphFeaturizer().fit_transform(structures)
train, errors, calibration = slice(0, 250), slice(250, 400), slice(400, 800)
X_test, y_test = graphs[800:], energies[800:]

# %%
# An ensemble
# -----------
# Four networks differ in their random initial weights and in the order of their
# batches. Their mean is the prediction, and their standard deviation a first answer.

from sklearn_cgcnn.uncertainty import EnsembleRegressor

ensemble = EnsembleRegressor(
    CGCNNRegressor(max_epochs=30), n_estimators=4, random_state=0
)
ensemble.fit(graphs[train], energies[train])

# %%
# Learned spreads
# ---------------
# :class:`~sklearn_cgcnn.uncertainty.SpreadRegressor` learns how errors depend on the
# disagreement, on the elements and on the distance from the training crystals. The
# ensemble is fitted already, so we freeze it, and pass the crystals that it was trained
# on and others to learn errors from.

from sklearn.frozen import FrozenEstimator

from sklearn_cgcnn.uncertainty import SpreadRegressor

spreads = SpreadRegressor(FrozenEstimator(ensemble), random_state=0)
spreads.fit(graphs[train], energies[train], graphs[errors], energies[errors])

# %%
# Error against spread
# --------------------
# On the left, the test crystals are divided into eight bins by their spread. On the
# dotted line, errors are as large as the spread says. On the right is the share of the
# true values in intervals of each confidence level. The members of the ensemble share
# most of their mistakes: errors are several times as large as their disagreement.

import matplotlib.pyplot as plt

from sklearn_cgcnn.uncertainty import ErrorSpreadDisplay, SpreadCalibrationDisplay

models = {"ensemble": ensemble, "learned": spreads}
fig, axes = plt.subplots(1, 2, figsize=(9, 4.3), layout="constrained")
for name, model in models.items():
    ErrorSpreadDisplay.from_estimator(
        model, X_test, y_test, n_bins=8, ax=axes[0], name=name
    )
    SpreadCalibrationDisplay.from_estimator(
        model, X_test, y_test, ax=axes[1], name=name
    )
axes[0].set(xlabel="spread (eV/site)", ylabel="root mean square error (eV/site)")
plt.show()

# %%
# Intervals
# ---------
# Conformal prediction corrects what is left. It measures on the calibration crystals by
# which factor spreads must be multiplied. Whatever the spread, intervals then contain
# the chosen share on average over many draws of the crystals. With 400 crystals for
# calibration and 400 for the test, the share still varies by about two percentage
# points from draw to draw. Crystals of another kind have no such guarantee.

from sklearn_cgcnn.uncertainty import ConformalRegressor

conformal = {
    name: ConformalRegressor(FrozenEstimator(model), scaled=scaled).fit(
        graphs[calibration], energies[calibration]
    )
    for name, model, scaled in [
        ("all equally wide", ensemble, False),
        ("scaled by the ensemble", ensemble, True),
        ("scaled by learned spreads", spreads, True),
    ]
}

# %%
# Of intervals with the same coverage, the narrower ones tell more:

import numpy as np

intervals = {}
for name, model in conformal.items():
    low, high = intervals[name] = model.predict_interval(X_test, 0.9).T
    coverage = np.mean((low <= y_test) & (y_test <= high))
    width = np.mean(high - low)
    print(f"{name:26s} coverage {coverage:.1%}, mean width {width:.2f} eV/site")

# %%
# Coverage where it matters
# -------------------------
# The average hides that intervals of equal width are too wide for easy crystals and
# too narrow for difficult ones. We sort the test crystals by the learned spread, and
# count in each fifth of them. Equal widths cover nearly all of the easiest crystals,
# and about two thirds of the most difficult. Scaled intervals lose much less there, and
# those that are scaled by learned spreads are the narrowest.

_, spread = spreads.predict(X_test, return_std=True)
fifths = np.array_split(np.argsort(spread), 5)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharex=True)
for name, marker in zip(intervals, "os^", strict=True):
    low, high = intervals[name]
    inside = (low <= y_test) & (y_test <= high)
    coverage = [100 * inside[rows].mean() for rows in fifths]
    width = [(high - low)[rows].mean() for rows in fifths]
    axes[0].plot(range(1, 6), coverage, marker=marker, label=name)
    axes[1].plot(range(1, 6), width, marker=marker)
axes[0].axhline(90, color="black", linestyle=":", linewidth=1)
axes[0].set(ylabel="true values in the interval (%)", ylim=(60, 102))
axes[1].set(ylabel="mean width (eV/site)", ylim=(0, None))
for ax in axes:
    ax.set(xlabel="fifth of the test crystals, by spread", xticks=range(1, 6))
axes[0].legend(loc="lower left")
plt.show()
