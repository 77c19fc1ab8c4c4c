"""
Screen candidates on disk
=========================

Which cubic perovskites ABO₃ are stiff, and close enough to stability to be made? This
example writes the graphs of 196 candidates to a folder, and predicts from there with
two models that come with the package. The same lines work for more candidates than fit
into memory.
"""

# %%
# Generate candidates
# -------------------
# A generator puts pairs of ions on the sites A and B. Their charges add up to six. The
# lattice constant is that of touching spheres with Shannon's radii: A or B touches O,
# whichever needs more space.

from pymatgen.core import Lattice, Species, Structure

A_IONS = {1: "Na K Rb Cs Tl", 2: "Ca Sr Ba Cd Pb", 3: "La Ce Nd Sm"}
B_IONS = {
    5: "V Nb Ta Mo W Re Os Ru Sb Bi As",
    4: "Ti Zr Hf V Nb Ta Mo W Ru Os Ir Pt Si Ge Sn Pb Te",
    3: "Al Ga In Sc Y Ti V Cr Rh Ir Sb Bi Au B",
}
SITES = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def perovskites():
    """Yield cubic perovskites ABO₃, one after another."""
    oxygen = Species("O", -2).get_shannon_radius("VI")
    for charge, a_ions in A_IONS.items():
        for a in a_ions.split():
            radius_a = Species(a, charge).get_shannon_radius("XII")
            for b in B_IONS[6 - charge].split():
                radius_b = Species(b, 6 - charge).get_shannon_radius("VI")
                constant = max(2**0.5 * (radius_a + oxygen), 2 * (radius_b + oxygen))
                yield Structure(Lattice.cubic(constant), [a, b, "O", "O", "O"], SITES)


# %%
# This guess is 3 % too large for SrTiO₃, whose lattice constant is 3.905 Å. A real
# project would relax the best candidates by DFT.

guess = next(each for each in perovskites() if each.reduced_formula == "SrTiO3")
print(f"{guess.reduced_formula}: {guess.lattice.a:.3f} Å")

# %%
# Write the graphs to a folder
# ----------------------------
# ``transform_to_disk`` reads the generator candidate by candidate, and writes their
# graphs in files, here of 50 crystals each. We keep the formulas, to name the
# candidates later.

import tempfile
from pathlib import Path

from sklearn_cgcnn import CrystalGraphFeaturizer

folder = Path(tempfile.mkdtemp()) / "perovskites"
formulas, constants = [], []


def remembered(structures):
    """Yield structures, and remember their formulas and lattice constants."""
    for structure in structures:
        formulas.append(structure.reduced_formula)
        constants.append(structure.lattice.a)
        yield structure


CrystalGraphFeaturizer().transform_to_disk(
    remembered(perovskites()), folder, shard_size=50
)
print(len(formulas), "candidates in", len(list(folder.glob("*.safetensors"))), "files")

# %%
# Predict from the folder
# -----------------------
# Both models read the same folder, and never more than `buffer_nbytes` of graphs at a
# time. The default buffer has 128 MB. Here it is a tiny one, so that not all graphs fit
# into it.

import warnings

from sklearn_cgcnn.exceptions import ExtrapolationWarning
from sklearn_cgcnn.graphs import ShardedCrystalGraphs
from sklearn_cgcnn.pretrained import load

graphs = ShardedCrystalGraphs(folder, buffer_nbytes=2**14)
print(f"graphs: {graphs.nbytes / 1024:.0f} kB, buffer: {2**14 / 1024:.0f} kB")

stiffness, stability = load("log_bulk_modulus"), load("perovskite_energy_above_hull")

# Some candidates have elements that a model has not seen. We exclude them below.
warnings.simplefilter("ignore", ExtrapolationWarning)
bulk_modulus = 10 ** stiffness.predict(graphs)
energy = stability.predict(graphs)

# %%
# Pick the best
# -------------
# A compound can often be made even if its energy is somewhat above the hull. We look at
# candidates of up to 0.5 eV/cell, which is 0.1 eV/atom. No candidate is best in
# everything. Those for which no other one is both stiffer and more stable are the best
# compromises, and form the front. ``reasons`` excludes candidates that are unlike the
# crystals that the models learned from.

import pandas as pd

low, high = 10 ** stiffness.predict_interval(graphs, 0.9).T
reasons = [model.reasons(graphs) for model in (stiffness, stability)]
table = pd.DataFrame(
    {
        "energy": energy,
        "modulus": bulk_modulus,
        "low": low,
        "high": high,
        "is familiar": [not any(each) for each in zip(*reasons, strict=True)],
        "constant": constants,
    },
    index=formulas,
)
familiar = table[table["is familiar"]].sort_values("energy")
stiffest = familiar["modulus"].cummax()
front = familiar[(familiar["modulus"] == stiffest) & (familiar["energy"] <= 0.5)]
print(len(familiar), "of", len(table), "candidates are familiar to both models")
front.drop(columns="is familiar").round(2)

# %%
# The front as a picture. At zero on the horizontal axis, a candidate is as stable as
# the best mixture of other compounds. Below, it is more stable than these.

import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
strange = table[~table["is familiar"]]
ax.scatter(
    strange["energy"], strange["modulus"], s=14, color="lightgray", label="strange"
)
ax.scatter(familiar["energy"], familiar["modulus"], s=18, alpha=0.7, label="familiar")
spread = [front["modulus"] - front["low"], front["high"] - front["modulus"]]
ax.errorbar(
    front["energy"],
    front["modulus"],
    yerr=spread,
    fmt="o",
    color="C3",
    capsize=3,
    label="front, with 90 % intervals",
)
for formula, row in front.iterrows():
    ax.annotate(
        formula,
        (row["energy"], row["modulus"]),
        xytext=(4, 5),
        textcoords="offset points",
        fontsize=8,
    )
ax.set(xlabel="predicted energy above hull (eV/cell)")
ax.set(ylabel="predicted bulk modulus (GPa)")
ax.legend(loc="lower right")
plt.show()

# %%
# The intervals of all candidates on the front overlap. The screening therefore does not
# tell which of them is the stiffest. It tells which of the candidates deserve the more
# expensive calculation first.
