"""
A map of crystals
=================

A trained network describes each crystal by a vector. This example takes the vectors of
a model that comes with the package, draws them as a map, and trains an estimator of
scikit-learn on them. No network is trained.
"""

# %%
# Vectors
# -------
# :class:`~sklearn_cgcnn.CrystalEmbedder` is a transformer: structures in, vectors out.
# The model has learned formation energies of real crystals. It has not seen the
# crystals of this example, nor their structure types as labels, nor their lattice
# energies.

from sklearn_cgcnn import CrystalEmbedder
from sklearn_cgcnn.datasets import make_ionic_crystals

crystals = make_ionic_crystals(600, random_state=0)
embedder = CrystalEmbedder("formation_energy")
vectors = embedder.fit_transform(crystals.data)
print("crystals, numbers in each vector:", vectors.shape)

# %%
# The map
# -------
# Principal components are the directions in which the vectors differ most. The first
# two give a map, and keep less than half of the variance.

from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pca = make_pipeline(StandardScaler(), PCA(2))
positions = pca.fit_transform(vectors)
shares = pca[-1].explained_variance_ratio_
print("share of the variance:", shares.round(2))

# %%
# Colors on the left are structure types, and on the right lattice energies. Both follow
# the map roughly: antifluorites are at the top, and energies fall towards the bottom.
# Other structure types overlap, because the map is much flatter than the vectors.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(
    1, 2, figsize=(10, 4.6), layout="constrained", sharex=True, sharey=True
)
for name in sorted(set(crystals.prototype)):
    rows = crystals.prototype == name
    axes[0].scatter(*positions[rows].T, s=12, label=name.replace("_", " "))
axes[0].legend(markerscale=1.5, fontsize=8)
colored = axes[1].scatter(*positions.T, s=12, c=crystals.target, cmap="viridis")
fig.colorbar(colored, label="lattice energy (eV/site)")
for ax in axes:
    ax.set(xlabel="first principal component")
axes[0].set(ylabel="second principal component")
plt.show()

# %%
# A regressor on the vectors
# --------------------------
# Two coordinates are not all. With all numbers of the vectors, a ridge regression
# predicts lattice energies. We compare its error with that of nearest neighbors on the
# map, and with that of the mean.

from sklearn.dummy import DummyRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsRegressor

regressors = {
    "mean": DummyRegressor(),
    "neighbors on the map": make_pipeline(
        StandardScaler(), PCA(2), KNeighborsRegressor()
    ),
    "ridge on the vectors": make_pipeline(
        StandardScaler(), RidgeCV(alphas=[1e-3, 1e-2, 0.1, 1, 10])
    ),
}
for name, regressor in regressors.items():
    scores = cross_val_score(
        regressor, vectors, crystals.target, scoring="neg_mean_absolute_error"
    )
    print(f"{name:21s} mean absolute error {-scores.mean():.2f} eV/site")

# %%
# The vectors can also tell structure types apart:

from sklearn.linear_model import LogisticRegression

classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
accuracy = cross_val_score(classifier, vectors, crystals.prototype).mean()
print(f"structure types: {accuracy:.0%} correct")

# %%
# Walk on the map
# ---------------
# On this page and in notebooks, `chemiscope <https://chemiscope.org>`_ shows the map
# together with the crystals: click on a point to see its crystal.

from contextlib import suppress

picture = None
with suppress(ImportError):  # chemiscope is optional
    import chemiscope

    picture = chemiscope.show(
        structures=[structure.to_ase_atoms() for structure in crystals.data],
        properties={
            "component 1": positions[:, 0],
            "component 2": positions[:, 1],
            "structure type": list(crystals.prototype),
            "lattice energy (eV/site)": crystals.target,
        },
        settings=chemiscope.quick_settings(
            x="component 1",
            y="component 2",
            map_color="lattice energy (eV/site)",
            symbol="structure type",
            periodic=True,
        ),
    )
picture
