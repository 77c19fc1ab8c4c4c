"""Fits and searches that are killed again and again end where undisturbed ones do.

Run by ``tox run -e bench -- -k resume``. Each process is killed by ``kill -9`` at a
random moment, also while it writes. Weights of fits, and scores and predictions of
searches, must be equal bit for bit at the end. The last benchmark measures the file of
a finished fit, and the time to load it.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import killed_search
from forked_children import in_child, was_killed
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._training import _checkpoint
from sklearn_cgcnn.datasets import make_ionic_crystals

N_KILLS = 100
N_SEARCH_KILLS = 20
PARAMS = {
    "n_conv_layers": 2,
    "n_site_channels": 16,
    "dropout": 0.1,
    "max_epochs": 60,
    "batch_size": 8,
    "early_stopping": True,
}


def fit(graphs, y, seed, folder, out):
    """Write the weights and the history of a fit to a file."""
    model = CGCNNRegressor(checkpoint_dir=folder, random_state=seed, **PARAMS)
    model.fit(graphs, y)
    state = model.net_.module_.state_dict()
    torch.save({"state": state, "history": model.history_}, out)


def test_resume_after_100_kills(tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "_MIN_INTERVAL", 0.0)
    crystals = make_ionic_crystals(60, random_state=0)
    graphs = CrystalGraphFeaturizer().transform(crystals.data)
    rng, n_kills, seed, kills = np.random.RandomState(0), 0, 0, []
    while n_kills < N_KILLS:
        plain, resumed = tmp_path / f"plain{seed}.pt", tmp_path / f"resumed{seed}.pt"
        began = time.monotonic()
        was_killed(in_child(fit, graphs, crystals.target, seed, None, plain))
        duration = time.monotonic() - began
        n_kills_before = n_kills
        while not resumed.exists():
            folder = tmp_path / "fits"
            child = in_child(fit, graphs, crystals.target, seed, folder, resumed)
            if n_kills < N_KILLS:
                time.sleep(rng.uniform(0, 0.4 * duration))
                os.kill(child, signal.SIGKILL)
            n_kills += was_killed(child)
        left, right = torch.load(plain), torch.load(resumed)
        for name, value in left["state"].items():
            assert torch.equal(value, right["state"][name]), (seed, name)
        assert left["history"] == right["history"]
        kills.append(n_kills - n_kills_before)
        seed += 1
    print(f"\n{n_kills} kills in {seed} fits ({kills}): equal bit for bit")
    assert n_kills == N_KILLS


@pytest.mark.parametrize(
    "kind", ["cross-validation", "halving", "pipeline", "two forks", "two processes"]
)
def test_resume_of_searches(tmp_path, kind):
    # Processes that import everything anew take long to start.
    n_kills = N_SEARCH_KILLS // 5 if kind == "two processes" else N_SEARCH_KILLS
    command = [
        sys.executable,
        "-Wignore",
        killed_search.__file__,
        tmp_path,
        str(n_kills),
        kind,
    ]
    found = json.loads(subprocess.check_output(command))
    print(
        f"\n{kind}: {found['n_kills']} kills in {found['n_runs']} runs of "
        f"{found['n_fits']} fits: equal bit for bit, and no finished fit began again; "
        f"fits that were finished at each kill: {found['progress']}"
    )


def test_resume_of_a_finished_fit(tmp_path):
    crystals = make_ionic_crystals(1000, random_state=0)
    graphs = CrystalGraphFeaturizer().transform(crystals.data)
    model = CGCNNRegressor(max_epochs=1, random_state=0, checkpoint_dir=tmp_path)
    times = []
    for _ in range(3):
        began = time.process_time()
        model.fit(graphs, crystals.target)
        times.append(round(time.process_time() - began, 2))
    (file,) = tmp_path.iterdir()
    size = file.stat().st_size / 1e6
    print(f"\nthe file has {size:.2f} MB; one epoch, and two loads, took {times} s")
