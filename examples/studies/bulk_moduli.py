"""
Cross-validation of bulk moduli
===============================

The bulk modulus measures how strongly a crystal resists compression. This example
predicts it for 1,181 inorganic compounds whose elastic constants de Jong et al. (2015)
computed with density functional theory. Each compound is predicted by a model that was
trained without it. The dataset is downloaded on first use, unless the environment
variable ``MATMINER_DATA`` names a folder that contains it. The example runs for several
minutes.
"""

# %%
# Load the data
# -------------
# As in the paper, the target is the decimal logarithm of the modulus in GPa
# (Voigt-Reuss-Hill average). An error of 0.05 in the logarithm is an error of 12 % in
# the modulus.

import numpy as np

from sklearn_cgcnn.datasets import fetch_matminer

crystals = fetch_matminer("elastic_tensor_2015", target="K_VRH")
structures, log_modulus = crystals.data, np.log10(crystals.target)
print(crystals.DESCR)

# %%
# Build the graphs once
# ---------------------
# All folds use the same graphs. Building them before the cross-validation avoids
# building them again in each fold.

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer

graphs = CrystalGraphFeaturizer(verbose=1).fit_transform(structures)
print(graphs)

# %%
# Cross-validate with five folds
# ------------------------------
# Each crystal is in the test set of one fold, and is predicted by the model of that
# fold.

from sklearn.model_selection import KFold, cross_val_predict

folds = KFold(n_splits=5, shuffle=True, random_state=0)
model = CGCNNRegressor(random_state=0)
predictions = cross_val_predict(model, graphs, log_modulus, cv=folds, n_jobs=-1)

errors = np.abs(predictions - log_modulus)
print(f"mean absolute error: {errors.mean():.4f} log10(GPa)")
print(f"half of the crystals are within {np.median(errors):.4f}")

# %%
# The crystals with the largest errors are worth a closer look. In many of them the
# bonds between neighbors are weak, or the entry in the dataset is doubtful.

for row in np.argsort(errors)[::-1][:5]:
    formula = structures[row].composition.reduced_formula
    print(
        f"{formula:>10}: {10 ** log_modulus[row]:6.1f} GPa,"
        f" predicted {10 ** predictions[row]:6.1f} GPa"
    )

# %%
# Compare the predictions with the computed values:

import matplotlib.pyplot as plt
from sklearn.metrics import PredictionErrorDisplay

display = PredictionErrorDisplay.from_predictions(
    log_modulus, predictions, kind="actual_vs_predicted"
)
display.ax_.set(xlabel="Predicted log10(K / GPa)", ylabel="log10(K / GPa)")
plt.show()
