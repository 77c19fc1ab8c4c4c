"""
Resume a killed training
========================

A training of hours should survive a full queue, a power cut or a closed laptop. With
``checkpoint_dir``, ``fit`` saves its progress after each epoch, and the same call
resumes. In this example, a training is killed halfway. It resumes, and ends with the
same model, bit for bit, as a training that was not disturbed.
"""

# %%
# A script that trains
# --------------------
# We write the script to a folder, so that it can run as a process of its own. A
# callback prints the number and the loss of each epoch. The script contains nothing
# about resuming but ``checkpoint_dir``, which needs an integer `random_state`.

import tempfile
from pathlib import Path

SCRIPT = """
from skorch.callbacks import Callback

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.model_files import save_model


class PrintEpoch(Callback):
    def on_epoch_end(self, net, **kwargs):
        print(len(net.history), net.history[-1, "train_loss"], flush=True)


structures, energies = make_ionic_crystals(400, random_state=0, return_X_y=True)
model = CGCNNRegressor(
    max_epochs=45,
    random_state=0,
    checkpoint_dir="checkpoints",
    callbacks=[PrintEpoch],
)
model.fit(structures, energies)
save_model(model.set_params(callbacks=None), "resumed.safetensors")
"""

folder = Path(tempfile.mkdtemp())
(folder / "train.py").write_text(SCRIPT)

# %%
# Kill it
# -------
# ``kill`` is what the operating system does to a process without memory, and what a
# queue does at the end of the time: the process cannot catch it, nor clean up. We send
# it after epoch 30.

import subprocess
import sys


def start():
    """Start the script as a process."""
    command = [sys.executable, "train.py"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def epochs_of(lines):
    """Return numbers and losses of the epochs that a process prints."""
    return [(int(epoch), float(loss)) for epoch, loss in map(str.split, lines)]


process = start()
before = []
for line in process.stdout:
    before += epochs_of([line])
    if before[-1][0] == 30:
        process.kill()
        break
process.communicate()
print("last epoch:", before[-1][0], " exit code:", process.returncode)
print("model file exists:", (folder / "resumed.safetensors").exists())

# %%
# The folder holds one file. It is replaced as a whole, so that a kill cannot damage it:

for path in (folder / "checkpoints").iterdir():
    print(f"{path.name[:16]}…{path.suffix} {path.stat().st_size / 1024:.0f} kB")

# %%
# Start it again
# --------------
# The same script goes on. Progress is saved at most once a second, to keep short epochs
# fast. The last epochs before the kill may therefore be trained again.

process = start()
after = epochs_of(process.communicate()[0].splitlines())
print("first epoch:", after[0][0], " last epoch:", after[-1][0])

# %%
# Compare with an undisturbed training
# ------------------------------------
# The same training, from the beginning to the end in this process, without a folder:

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.datasets import make_ionic_crystals

structures, energies = make_ionic_crystals(400, random_state=0, return_X_y=True)
undisturbed = CGCNNRegressor(max_epochs=45, random_state=0).fit(structures, energies)
losses = undisturbed.history_["train_loss"]

import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
ax.plot(range(1, 46), losses, color="lightgray", linewidth=7, label="undisturbed")
ax.plot(*zip(*before, strict=True), label="until the kill")
ax.plot(*zip(*after, strict=True), "--", label="resumed")
ax.axvline(before[-1][0], color="black", linestyle=":", linewidth=1)
ax.set(yscale="log", xlabel="epoch", ylabel="training loss (standardized energy)")
ax.legend()
plt.show()

# %%
# The models are equal in every bit:

from sklearn_cgcnn.model_files import load_model

resumed = load_model(folder / "resumed.safetensors")
same_losses = list(dict(before + after).values()) == list(losses)
print("equal losses:", same_losses)
same = resumed.predict(structures) == undisturbed.predict(structures)
print("equal predictions:", same.all())
