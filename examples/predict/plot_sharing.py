"""
Share a model in a file
=======================

A trained model is useful to others if it comes with what they need to know, and if
loading it is safe. This example saves a model with a card and reference predictions,
looks into the file, loads it, and shows that a damaged file is refused.
"""

# %%
# Train and save
# --------------
# The model predicts lattice energies, with intervals. The card says what users should
# know. Its entries are up to you. The reference crystals let others check that the
# model predicts on their machine what it predicted on yours.

import tempfile
from pathlib import Path

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.model_files import load_model, read_card, save_model
from sklearn_cgcnn.uncertainty import ConformalRegressor, SpreadRegressor

structures, energies = make_ionic_crystals(500, random_state=0, return_X_y=True)
train, test = structures[:400], structures[400:]
model = ConformalRegressor(
    SpreadRegressor(CGCNNRegressor(max_epochs=40, random_state=0), random_state=0),
    random_state=0,
)
model.fit(train, energies[:400])
error = abs(model.predict(test) - energies[400:]).mean()

path = Path(tempfile.mkdtemp()) / "lattice_energy.safetensors"
save_model(
    model,
    path,
    card={
        "property": "lattice energy of point charges with Born-Landé repulsion",
        "unit": "eV/site",
        "data": "make_ionic_crystals(500, random_state=0), the first 400",
        "mean absolute error": round(error, 3),
        "limits": "six prototype structures of common ions, strained by up to 5 %",
        "license": "CC0",
    },
    reference=test[:5],
)
print(f"{path.stat().st_size / 1024:.0f} kB")

# %%
# Read the card
# -------------
# Those who receive the file can read the card without building the model. The class,
# the release of the package and the date were added when it was saved.

for name, value in read_card(path).items():
    print(f"{name}: {value}")

# %%
# Load it
# -------
# Loading executes nothing of the file, unlike pickle. ``check=True`` predicts the
# reference crystals again, and raises an error if the predictions differ.

loaded = load_model(path, check=True)
print("same predictions:", (loaded.predict(test) == model.predict(test)).all())
print("interval of the first crystal:", loaded.predict_interval(test[:1], 0.9).round(2))

# %%
# Look into the file
# ------------------
# The file has the format `safetensors <https://huggingface.co/docs/safetensors>`_:
# arrays of numbers, and text. Any program that knows the format can list them.

from safetensors import safe_open

with safe_open(path, framework="numpy") as file:
    arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    text = file.metadata()

largest = sorted(arrays, key=lambda name: -arrays[name].nbytes)
for name in largest[:5]:
    print(name, arrays[name].shape, arrays[name].dtype)
print(f"... {len(arrays)} arrays; text: {', '.join(text)}")

# %%
# Most of the file consists of the weights of the network and of the vectors of the
# training crystals, with which ``SpreadRegressor`` compares new ones. The names tell
# which part of the model an array belongs to:

import matplotlib.pyplot as plt

parts = {
    "embedding": "site features and embedding",
    "site_features": "site features and embedding",
    "edge_basis": "edge features",
    "convs": "convolutions",
    "readout": "readout",
    "_domain": "training crystals",
}
sizes = dict.fromkeys([*parts.values(), "others"], 0.0)
for name, array in arrays.items():
    part = next((parts[key] for key in parts if f".{key}" in name), "others")
    sizes[part] += array.nbytes / 1024
sizes["text"] = sum(map(len, text.values())) / 1024

fig, ax = plt.subplots(figsize=(6.5, 3), layout="constrained")
bars = ax.barh(list(sizes), list(sizes.values()))
ax.bar_label(bars, fmt="%.0f", padding=3)
ax.set(xlabel="size in the file (kB)")
ax.invert_yaxis()
ax.margins(x=0.1)
plt.show()

# %%
# A file that was changed
# -----------------------
# The file has a checksum of its contents. If a single bit differs, after a failed
# download or because someone changed a weight, it is refused:

from sklearn_cgcnn.exceptions import ModelFileError

contents = bytearray(path.read_bytes())
contents[-1000] ^= 1
damaged = path.with_name("damaged.safetensors")
damaged.write_bytes(contents)
try:
    load_model(damaged)
except ModelFileError as error:
    print(str(error).replace(str(path.parent), "..."))

# %%
# A checksum protects from accidents. It does not tell who made a file, because whoever
# changes a file on purpose can compute the checksum anew. What protects you from malice
# is that the file holds no code. Whether the numbers in it are good ones is for tests
# to decide, such as those that its card reports.
