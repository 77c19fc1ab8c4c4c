"""
Classify crystals
=================

A classifier predicts probabilities. This example trains one to find a rare kind of
crystal, chooses the threshold of its decision, and checks whether its probabilities can
be taken literally. At the end, a model that comes with the package tells metals from
nonmetals.
"""

# %%
# A rare class
# ------------
# The crystals that we look for are bound by more than 11 eV per site. They are about
# one in seven.

from sklearn.model_selection import train_test_split

from sklearn_cgcnn import CGCNNClassifier, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals

structures, energies = make_ionic_crystals(
    2000,
    prototypes=["rocksalt", "zincblende"],
    max_strain=0.1,
    random_state=0,
    return_X_y=True,
)
is_strong = energies < -11
graphs = CrystalGraphFeaturizer().fit_transform(structures)
train, test, y_train, y_test = train_test_split(
    graphs, is_strong, train_size=300, stratify=is_strong, random_state=0
)
print(f"{y_train.sum()} of {len(y_train)} training crystals are strongly bound")

# %%
# Class weights, or another threshold
# -----------------------------------
# With few positive crystals, a classifier may overlook many of them. There are two ways
# out. ``class_weight="balanced"`` gives both classes the same weight in the training.
# ``TunedThresholdClassifierCV`` leaves the training as it is, and chooses by
# cross-validation above which probability a crystal is called positive.

from sklearn.model_selection import TunedThresholdClassifierCV

plain = CGCNNClassifier(max_epochs=15, random_state=0)
balanced = CGCNNClassifier(max_epochs=15, class_weight="balanced", random_state=0)
tuned = TunedThresholdClassifierCV(plain, scoring="balanced_accuracy", cv=3)
classifiers = {"plain": plain, "balanced": balanced, "tuned threshold": tuned}
for classifier in classifiers.values():
    classifier.fit(train, y_train)

# %%
# Precision is the share of strongly bound crystals among those that were called so, and
# recall is the share of them that was found.

import pandas as pd
from sklearn.metrics import balanced_accuracy_score, precision_score, recall_score

scores = {"precision": precision_score, "recall": recall_score}
scores["balanced accuracy"] = balanced_accuracy_score
table = pd.DataFrame(
    {
        score_name: {
            name: score(y_test, classifier.predict(test))
            for name, classifier in classifiers.items()
        }
        for score_name, score in scores.items()
    }
)
table.round(2)

# %%
# The ROC curve shows what every possible threshold would give. Only its upper left part
# is drawn. The plain classifier decides at 0.5, and the tuned one at the point that
# cross-validation found.

import matplotlib.pyplot as plt
from sklearn.metrics import RocCurveDisplay

fig, ax = plt.subplots(figsize=(5.5, 5), layout="constrained")
RocCurveDisplay.from_estimator(plain, test, y_test, ax=ax, name="plain")
RocCurveDisplay.from_estimator(balanced, test, y_test, ax=ax, name="balanced")
for name, marker in {"plain": "o", "balanced": "s", "tuned threshold": "^"}.items():
    predicted = classifiers[name].predict(test)
    ax.plot(
        predicted[~y_test].mean(),
        predicted[y_test].mean(),
        marker,
        color="tab:orange" if name == "balanced" else "tab:blue",
        markersize=9,
        label=f"{name}, its decisions",
    )
ax.set(xlabel="false positive rate", ylabel="true positive rate")
ax.set(xlim=(-0.01, 0.4), ylim=(0.5, 1.01), aspect="auto")
ax.legend(loc="lower right")
plt.show()
print(f"tuned threshold: {tuned.best_threshold_:.2f}")

# %%
# Both ways lead to the same place. They find about nine in ten of the strongly bound
# crystals, at the price of more false alarms. The two ROC curves hardly differ: class
# weights did not make the classifier better at ranking crystals, but moved its
# decision. The threshold does so too, and leaves the probabilities as they are.

# %%
# Calibrate the probabilities
# ---------------------------
# Of crystals with a probability of 0.8, eight in ten should be positive. Class weights
# disturb this, because the classifier is trained as if both classes were equally
# frequent. ``CalibratedClassifierCV`` learns from crystals held out how to correct the
# probabilities. The Brier score is their mean squared error.

from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.metrics import brier_score_loss

calibrated = CalibratedClassifierCV(balanced, cv=3).fit(train, y_train)

fig, ax = plt.subplots(figsize=(5.5, 5), layout="constrained")
compared = {"plain": plain, "balanced": balanced, "balanced, calibrated": calibrated}
for name, classifier in compared.items():
    probability = classifier.predict_proba(test)[:, 1]
    CalibrationDisplay.from_predictions(y_test, probability, n_bins=5, ax=ax, name=name)
    print(f"{name}: Brier score {brier_score_loss(y_test, probability):.4f}")
ax.set(xlabel="predicted probability", ylabel="share of positive crystals")
ax.legend(loc="upper left")
plt.show()

# %%
# The probabilities of the balanced classifier are too high nearly everywhere.
# Calibration repairs this, and the Brier score is as good as that of the plain
# classifier. In the middle, the curves scatter, because few crystals have such
# probabilities.
#
# Metals
# ------
# The model ``is_metal`` comes with the package, and was trained on computed data. Of
# the crystals below, only iron is a metal. Most of them were in the training set, so
# that the list is no test of the model.

from sklearn_cgcnn.pretrained import card, load, textbook_crystals

crystals = textbook_crystals()
in_training = card("is_metal")["textbook crystals in the training set"]
is_metal = load("is_metal").predict_proba(list(crystals.values()))[:, 1]
for name, probability in zip(crystals, is_metal, strict=True):
    seen = "in the training set" if name in in_training else "new"
    print(f"{name:18s} {probability:.3f} ({seen})")

# %%
# All six are on the right side of 0.5. The two semiconductors have a higher probability
# than the insulators. The card has the scores on crystals that the model has not seen:

print("area under the ROC curve:", card("is_metal")["area under the ROC curve"])
