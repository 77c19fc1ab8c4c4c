"""
Contributions drawn on a crystal
================================

Which sites of a crystal raise a prediction, and which lower it? This example trains a
model whose prediction is a mean over sites, writes the contribution of each site to the
structure, and draws it.
"""

# %%
# Train a model with contributions
# --------------------------------
# With ``readout="site"``, the network computes a number for each site. Their mean is
# the prediction. The target is the lattice energy of generated perovskites ABX₃.

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.datasets import make_ionic_crystals

crystals = make_ionic_crystals(400, prototypes="perovskite", random_state=0)
model = CGCNNRegressor(readout="site", max_epochs=60, random_state=0)
model.fit(crystals.data[10:], crystals.target[10:])

# %%
# Write contributions to a structure
# ----------------------------------
# :func:`~sklearn_cgcnn.inspection.with_site_contributions` returns copies of structures
# whose sites carry their contribution as a property. We pass ten crystals that the
# model has not seen.

from sklearn_cgcnn.inspection import with_site_contributions

explained = with_site_contributions(model, crystals.data[:10])
print(explained[1])

# %%
# Draw it
# -------
# The drawing needs the sites on all faces of the cell, some of which belong to
# neighboring cells, and the bonds. We join the closest pairs of sites, which are B and
# X.

from itertools import combinations, product

import matplotlib.pyplot as plt
import numpy as np

CORNERS = np.array(list(product([0, 1], repeat=3)))


def sites_in_the_cell(crystal):
    """Return all sites in the cell or on its faces: positions and rows."""
    shifts = np.array(list(product([-1, 0, 1], repeat=3)))
    places = crystal.frac_coords[:, None] + shifts  # (n_sites, 27, 3)
    rows, copies = np.nonzero(((places > -0.01) & (places < 1.01)).all(axis=2))
    return crystal.lattice.get_cartesian_coords(places[rows, copies]), rows


def draw(ax, crystal, values, **style):
    """Draw a crystal whose sites are colored by values, with cell and bonds."""
    corners = crystal.lattice.get_cartesian_coords(CORNERS)
    for start, end in combinations(range(8), 2):
        if np.abs(CORNERS[start] - CORNERS[end]).sum() == 1:
            ax.plot(*corners[[start, end]].T, color="lightgray", linewidth=1)
    positions, rows = sites_in_the_cell(crystal)
    longest_bond = 0.6 * crystal.volume ** (1 / 3)  # B to X: 0.5, A to X: 0.7
    for pair in combinations(positions, 2):
        if np.linalg.norm(pair[0] - pair[1]) < longest_bond:
            ax.plot(*np.transpose(pair), color="gray", linewidth=2)
    sizes = np.array([float(site.specie.atomic_radius) for site in crystal])
    points = ax.scatter(*positions.T, s=300 * sizes[rows], c=values[rows], **style)
    for position, row in zip(positions, rows, strict=True):
        symbol = crystal[int(row)].specie.symbol
        ax.text(*position, symbol, ha="center", va="center", fontsize=8, zorder=100)
    ax.set_box_aspect(np.ptp(corners, axis=0))
    ax.view_init(elev=14, azim=24)
    ax.set_axis_off()
    return points


# %%
# On the left is what the model has learned. On the right is the truth, which is known
# for these generated crystals: one half of the energy of each pair of ions belongs to
# either of them.

fig = plt.figure(figsize=(8.5, 7.5), layout="constrained")
for row in range(2):
    crystal = explained[row]
    both = {
        "learned": np.array(crystal.site_properties["contribution"]),
        "true": crystals.site_energies[row],
    }
    lowest, highest = np.min(list(both.values())), np.max(list(both.values()))
    axes = []
    for column, (name, values) in enumerate(both.items()):
        axes.append(fig.add_subplot(2, 2, 2 * row + column + 1, projection="3d"))
        style = {"cmap": "coolwarm", "vmin": lowest, "vmax": highest}
        style |= {"edgecolors": "black", "depthshade": False}
        points = draw(axes[-1], crystal, values, **style)
        axes[-1].set_title(
            f"{crystal.reduced_formula}, {name}: mean {values.mean():.1f} eV/site"
        )
    fig.colorbar(points, ax=axes, label="contribution (eV)", shrink=0.8)
plt.show()

# %%
# The means agree, and the training compares nothing else. The shares of the sites need
# not be those of the truth. In NaTaTe₃, the model has found that tantalum has by far
# the lowest energy. In CaThO₃, it assigns most of the energy of thorium to the sites
# around it.
#
# In how many of the ten crystals is the site with the lowest contribution the true one?
# A guess that needs no model is that it is always B:

learned_lowest = [
    np.argmin(crystal.site_properties["contribution"]) for crystal in explained
]
true_lowest = [np.argmin(energies) for energies in crystals.site_energies[:10]]
print("learned:", np.equal(learned_lowest, true_lowest).sum(), "of 10")
print("always B:", np.equal(1, true_lowest).sum(), "of 10")

# %%
# The contributions do no better than this guess. A picture of one crystal is therefore
# no evidence of how a property is distributed among its sites. Means over many crystals
# tell more: see :ref:`sphx_glr_auto_examples_understand_plot_perovskites.py`.

# %%
# Turn it
# -------
# On this page and in notebooks, `chemiscope <https://chemiscope.org>`_ shows all ten
# crystals, colored in the same way: drag to turn, and choose a crystal with the slider.

from contextlib import suppress

picture = None
with suppress(ImportError):  # chemiscope is optional
    import chemiscope

    atoms = [structure.to_ase_atoms() for structure in explained]
    values = [each.site_properties["contribution"] for each in explained]
    picture = chemiscope.show(
        structures=atoms,
        environments=chemiscope.all_atomic_environments(atoms),
        properties={
            "contribution": {
                "target": "atom",
                "values": np.concatenate(values),
                "units": "eV",
            }
        },
        settings=chemiscope.quick_settings(
            structure_color="contribution",
            target="atom",
            periodic=True,
            structure_settings={
                "supercell": [2, 2, 2],
                "environments": {"activated": False},
            },
        ),
        mode="structure",
    )
picture
