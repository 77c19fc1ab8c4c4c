"""A fit that is killed again and again ends where an undisturbed one does.

Run by ``tox run -e bench -- -k resume``. Each process is killed by ``kill -9`` at a
random moment, also while it writes. The weights at the end must be equal bit for bit.
"""

import os
import signal
import time

import numpy as np
import torch

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._training import _checkpoint
from sklearn_cgcnn.datasets import make_ionic_crystals

N_KILLS = 100
PARAMS = {
    "n_conv_layers": 2,
    "n_site_channels": 16,
    "dropout": 0.1,
    "max_epochs": 60,
    "batch_size": 8,
    "early_stopping": True,
}


def start(graphs, y, seed, folder, out):
    """Fit in a child, which needs no imports: 100 new processes would take long."""
    child = os.fork()
    if child:
        return child
    try:
        model = CGCNNRegressor(checkpoint_dir=folder, random_state=seed, **PARAMS)
        model.fit(graphs, y)
        state = model.net_.module_.state_dict()
        torch.save({"state": state, "history": model.history_}, out)
    finally:
        os._exit(0)


def test_resume_after_100_kills(tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "_MIN_INTERVAL", 0.0)
    crystals = make_ionic_crystals(60, random_state=0)
    graphs = CrystalGraphFeaturizer().transform(crystals.data)
    rng, n_kills, seed, kills = np.random.RandomState(0), 0, 0, []
    while n_kills < N_KILLS:
        plain, resumed = tmp_path / f"plain{seed}.pt", tmp_path / f"resumed{seed}.pt"
        began = time.monotonic()
        os.waitpid(start(graphs, crystals.target, seed, None, plain), 0)
        duration = time.monotonic() - began
        n_kills_before = n_kills
        while not resumed.exists():
            child = start(graphs, crystals.target, seed, tmp_path / "fits", resumed)
            if n_kills < N_KILLS:
                time.sleep(rng.uniform(0, 0.4 * duration))
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            n_kills += os.WIFSIGNALED(status)
        left, right = torch.load(plain), torch.load(resumed)
        for name, value in left["state"].items():
            assert torch.equal(value, right["state"][name]), (seed, name)
        assert left["history"] == right["history"]
        kills.append(n_kills - n_kills_before)
        seed += 1
    print(f"\n{n_kills} kills in {seed} fits ({kills}): equal bit for bit")
    assert n_kills == N_KILLS
