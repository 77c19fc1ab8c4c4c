"""
Learning curves
===============

How much would more crystals help? A learning curve draws the error against the number
of training crystals. On logarithmic axes it is often close to a straight line, which
can be continued.
"""

# %%
# Compute the curve
# -----------------
# scikit-learn trains the model on growing parts of the training crystals and scores it
# on the same test crystals each time. Graphs are made once, and split like an array.

import numpy as np
from sklearn.model_selection import ShuffleSplit, learning_curve

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals

structures, energies = make_ionic_crystals(
    800,
    prototypes=["rocksalt", "zincblende"],
    random_state=0,
    return_X_y=True,
)
graphs = CrystalGraphFeaturizer().fit_transform(structures)
sizes, train_scores, test_scores = learning_curve(
    CGCNNRegressor(max_epochs=30, random_state=0),
    graphs,
    energies,
    train_sizes=[50, 100, 200, 400],
    cv=ShuffleSplit(3, train_size=400, test_size=300, random_state=0),
    scoring="neg_mean_absolute_error",
)

# %%
# Draw the curve
# --------------
# The band around the curve is the standard deviation over three random splits. The
# green band is the error that we would like to reach.

import matplotlib.pyplot as plt
from sklearn.model_selection import LearningCurveDisplay

wanted = (0.15, 0.2)  # eV/site

display = LearningCurveDisplay(
    train_sizes=sizes,
    train_scores=train_scores,
    test_scores=test_scores,
    score_name="mean absolute error (eV/site)",
)
fig, ax = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
display.plot(ax=ax, negate_score=True, score_type="test")
ax.plot(sizes, -test_scores.mean(axis=1), "o", color="tab:blue")
ax.axhspan(*wanted, color="tab:green", alpha=0.2, label="wanted")

# %%
# Continue the curve
# ------------------
# Fit a straight line to the logarithms, and follow it down to the green band.

errors = -test_scores.mean(axis=1)
slope, intercept = np.polyfit(np.log(sizes), np.log(errors), 1)
needed = np.exp((np.log(wanted[1]) - intercept) / slope)
print("errors:", dict(zip(sizes.tolist(), errors.round(3).tolist(), strict=True)))
print(
    f"error proportional to n^{slope:.2f}; 0.2 eV/site at about {needed:.0f} crystals"
)

line = np.array([sizes[0], 1.5 * needed])
ax.plot(line, np.exp(intercept) * line**slope, "k:", label="straight line")
ticks = [50, 100, 200, 400, 800, 1600]
ax.set(xscale="log", yscale="log", xlabel="training crystals")
ax.set_xticks(ticks, labels=ticks)
ax.set_yticks([0.2, 0.5, 1, 2], labels=["0.2", "0.5", "1", "2"])
ax.minorticks_off()
ax.legend()
fig
