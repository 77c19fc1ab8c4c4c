"""Steps of a training by batch size, on small and on large cells.

Run by ``tox run -e bench -- -k steps``. The number of threads is that of the
environment variable ``STEPS_THREADS``, by default 1.
"""

import os
import time
from statistics import median

import numpy as np
import pytest
import torch

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._training._packed import PackedDataset

ROUNDS, N_CRYSTALS = 5, 2048
TARGETS = {"perovskites": "e_form", "materials_project": "formation_energy_per_atom"}


class Steps:
    """A net that takes the steps of an epoch, as in a training."""

    def __init__(self, graphs, batch_size, compiled):
        n_crystals = min(len(graphs), 8 * batch_size)
        y = np.random.RandomState(0).randn(n_crystals)
        model = CGCNNRegressor(max_epochs=1, batch_size=batch_size, compile=compiled)
        self.net = model.fit(graphs[:100], y[:100]).net_
        self.data = PackedDataset(graphs[:n_crystals], torch.tensor(y[:, None]).float())
        self.net.training_data_ = self.data

    def milliseconds(self):
        """Time one step, in the mean over an epoch."""
        batches = self.net.get_iterator(self.data, training=True)
        self.net.history.new_epoch()
        start = time.perf_counter()
        with self.net._execution(self.data):
            self.net.run_single_epoch(
                batches, training=True, prefix="train", step_fn=self.net.train_step
            )
        return 1e3 * (time.perf_counter() - start) / len(batches)


@pytest.mark.parametrize("folder", TARGETS)
def test_steps(load_real, folder):
    torch.set_num_threads(int(os.environ.get("STEPS_THREADS", "1")))
    structures, _ = load_real(N_CRYSTALS, TARGETS[folder], folder)
    graphs = CrystalGraphFeaturizer().transform(structures)
    print(f"\n{folder}, {torch.get_num_threads()} thread(s):")
    for batch_size in (16, 64, 256, 1024):
        ways = {
            "eager": Steps(graphs, batch_size, compiled=False),
            "compiled": Steps(graphs, batch_size, compiled=True),
        }
        found = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, steps in ways.items():
                found[way].append(steps.milliseconds())
        steps = {way: median(times) for way, times in found.items()}
        for way, step in steps.items():
            print(
                f"  batch {batch_size:5d} {way:9s} {step:7.1f} ms a step, "
                f"{1e3 * batch_size / step:6.0f} crystals a second"
            )
        assert steps["compiled"] < 1.1 * steps["eager"]
