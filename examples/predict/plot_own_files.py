"""
From CIF files to a table of predictions
========================================

This example predicts the formation energies of the crystals in a folder of CIF files,
with a model that comes with the package. Nothing is trained. You need to replace two
things: the name of the folder, and the name of the model.
"""

# %%
# A folder of files
# -----------------
# To have some files, we write six well-known crystals as CIF files. The seventh file is
# broken: it ends after a few lines, as after a failed download.

import tempfile
from pathlib import Path

from sklearn_cgcnn.pretrained import textbook_crystals

folder = Path(tempfile.mkdtemp())
for name, structure in textbook_crystals().items():
    structure.to(filename=str(folder / f"{name.replace(' ', '_')}.cif"))

broken = "\n".join((folder / "silicon.cif").read_text().splitlines()[:8])
(folder / "broken.cif").write_text(broken)
print(*sorted(path.name for path in folder.iterdir()), sep="\n")

# %%
# Read and predict
# ----------------
# With ``on_error="collect"``, a file that cannot be read does not stop the others. The
# reason is in ``failed``.

from sklearn_cgcnn.datasets import load_cif_directory
from sklearn_cgcnn.pretrained import card, load

crystals = load_cif_directory(folder, on_error="collect")
model = load("formation_energy")
energies = model.predict(crystals.data)

print("unit:", card("formation_energy")["unit"])
print("failed:", crystals.failed)

# %%
# The model also predicts intervals. They contain 90 % of the true values of crystals
# like those that it was trained on. ``reasons`` names elements, densities and
# distances that are unusual among these. Without a reason, a crystal may still be
# unlike them: ``score_samples`` says how similar it is.

import pandas as pd

intervals = model.predict_interval(crystals.data, 0.9)
table = pd.DataFrame(
    {
        "formula": [structure.reduced_formula for structure in crystals.data],
        "energy": energies,
        "lower": intervals[:, 0],
        "upper": intervals[:, 1],
        "reasons": model.reasons(crystals.data),
    },
    index=crystals.ids,
)
table.round(3)

# %%
# Formation energies are relative to the elements. For silicon and iron, which are
# elements, the true value is therefore zero. Experiments give -2.13 eV/atom for NaCl
# and -3.12 eV/atom for MgO (formation enthalpies from the NIST-JANAF tables).
#
# Most intervals are narrow on the scale of these crystals. That of iron is the widest:

import matplotlib.pyplot as plt

table = table.sort_values("energy", ascending=False)
fig, ax = plt.subplots(figsize=(6.5, 3), layout="constrained")
errors = [table["energy"] - table["lower"], table["upper"] - table["energy"]]
ax.errorbar(table["energy"], table.index, xerr=errors, fmt="o", capsize=4)
ax.axvline(0, color="gray", linewidth=0.8)
ax.set(xlabel="predicted formation energy (eV/atom), with 90 % intervals")
ax.grid(axis="y", alpha=0.3)
plt.show()

# %%
# The same in the terminal
# ------------------------
# The command ``sklearn-cgcnn`` writes the same table as CSV, without any Python. Files
# that cannot be read are named on standard error, and the exit code is then 1.
#
# .. code-block:: console
#
#    $ sklearn-cgcnn predict formation_energy my_folder --quiet
#
# Here is what it writes for this folder:

import subprocess
import sys

command = [sys.executable, "-m", "sklearn_cgcnn", "predict", "formation_energy"]
result = subprocess.run(
    [*command, ".", "--quiet"], cwd=folder, capture_output=True, text=True
)
print(result.stdout)
print("standard error:", result.stderr)
print("exit code:", result.returncode)

# %%
# Look at the crystals
# --------------------
# A wrong file often shows at first sight. ASE draws what was read, here two by two by
# two conventional cells of each crystal:

from ase.visualize.plot import plot_atoms

fig, axes = plt.subplots(2, 3, figsize=(7, 4.4), layout="constrained")
for ax, structure in zip(axes.flat, crystals.data, strict=True):
    block = structure.to_conventional().to_ase_atoms() * (2, 2, 2)
    plot_atoms(block, ax, radii=0.6, rotation="15x,-25y,0z", show_unit_cell=0)
    ax.set_title(structure.reduced_formula)
    ax.set_axis_off()
plt.show()

# %%
# In a notebook, and on this page, `chemiscope <https://chemiscope.org>`_ shows them in
# three dimensions: drag to turn, scroll to zoom, and choose a crystal with the slider.

from contextlib import suppress

picture = None
with suppress(ImportError):  # chemiscope is optional
    import chemiscope

    picture = chemiscope.show(
        structures=[s.to_conventional().to_ase_atoms() for s in crystals.data],
        properties={"formation energy (eV/atom)": energies},
        settings=chemiscope.quick_settings(periodic=True),
        mode="structure",
    )
picture
