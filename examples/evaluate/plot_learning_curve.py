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
    CGCNNRegressor(max_epochs=24, random_state=0),
    graphs,
    energies,
    train_sizes=[50, 100, 200, 400],
    cv=ShuffleSplit(3, train_size=400, test_size=300, random_state=0),
    scoring="neg_mean_absolute_error",
)

# %%
# Fit a straight line
# -------------------
# Fit a line to the logarithms, and follow it down to the error that we would like to
# reach.

import numpy as np

wanted = 0.2  # eV/site
errors = -test_scores.mean(axis=1)
slope, intercept = np.polyfit(np.log(sizes), np.log(errors), 1)
needed = np.exp((np.log(wanted) - intercept) / slope)
for size, error in zip(sizes, errors, strict=True):
    print(f"{size} crystals: {error:.2f} eV/site")
print(f"twice the crystals: {100 * (2**slope - 1):.0f} % error")
print(f"{wanted} eV/site: about {needed:.0f} crystals")

# %%
# Draw the curve
# --------------
# The blue band is the standard deviation over three random splits, and the green one
# has the errors that are low enough.

import matplotlib.pyplot as plt
from sklearn.model_selection import LearningCurveDisplay

display = LearningCurveDisplay(
    train_sizes=sizes,
    train_scores=train_scores,
    test_scores=test_scores,
    score_name="mean absolute error (eV/site)",
)
fig, ax = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
display.plot(ax=ax, negate_score=True, score_type="test", line_kw={"marker": "o"})
line = np.array([sizes[0], 1.5 * needed])
ax.plot(line, np.exp(intercept) * line**slope, "k:", label="straight line")
ax.axhspan(0.15, wanted, color="tab:green", alpha=0.2, label="wanted")
ticks = [50, 100, 200, 400, 800, 1600, 3200]
ax.set(xscale="log", yscale="log", xlabel="training crystals", ylim=(0.15, 1.5))
ax.set_xticks(ticks, labels=ticks)
ax.set_yticks([0.2, 0.5, 1], labels=["0.2", "0.5", "1"])
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# Each doubling of the training crystals lowers the error by about a fifth. If this goes
# on, the wanted error needs about ten times as many crystals as there were here. Take
# such a number for what it is: the line is continued over a factor of ten, from four
# points, and the error falls less steeply between the last two than between the first.
# Part of this may be the short training: a longer one lowers the errors too, and needs
# no more crystals.
