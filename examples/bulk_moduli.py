"""
Bulk moduli, cross-validated
============================

How stiff is a crystal? The 1,181 inorganic compounds of de Jong et al. (2015), whose
elastic constants were computed by density functional theory, are predicted by models
that have not seen them. The dataset is downloaded on first use, or read from the folder
in the environment variable ``MATMINER_DATA``. It runs for some minutes.
"""

# %%
# The data
# --------
# As in the paper, what is learned is the logarithm of the modulus (Voigt-Reuss-Hill
# average, in GPa): an error of 0.05 is then one of 12 per cent.

import numpy as np

from sklearn_cgcnn.datasets import fetch_matminer

crystals = fetch_matminer("elastic_tensor_2015", target="K_VRH")
structures, log_modulus = crystals.data, np.log10(crystals.target)
print(crystals.DESCR)

# %%
# Graphs, once
# ------------
# Every fold shares the same graphs, so they are made before and not within.

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer

graphs = CrystalGraphFeaturizer(verbose=1).fit_transform(structures)
print(graphs)

# %%
# Five folds
# ----------
# Each crystal is predicted by the one model that was trained without it.

from sklearn.model_selection import KFold, cross_val_predict

folds = KFold(n_splits=5, shuffle=True, random_state=0)
model = CGCNNRegressor(random_state=0)
predictions = cross_val_predict(model, graphs, log_modulus, cv=folds, n_jobs=-1)

errors = np.abs(predictions - log_modulus)
print(f"mean absolute error: {errors.mean():.4f} log10(GPa)")
print(f"half of the crystals are within {np.median(errors):.4f}")

# %%
# The crystals that are hardest to predict are worth a look: often their neighbors bind
# weakly, or the entry itself is doubtful.

for row in np.argsort(errors)[::-1][:5]:
    formula = structures[row].composition.reduced_formula
    print(
        f"{formula:>10}: {10 ** log_modulus[row]:6.1f} GPa,"
        f" predicted {10 ** predictions[row]:6.1f} GPa"
    )

# %%
# Prediction against truth:

import matplotlib.pyplot as plt
from sklearn.metrics import PredictionErrorDisplay

display = PredictionErrorDisplay.from_predictions(
    log_modulus, predictions, kind="actual_vs_predicted"
)
display.ax_.set(xlabel="Predicted log10(K / GPa)", ylabel="log10(K / GPa)")
plt.show()
