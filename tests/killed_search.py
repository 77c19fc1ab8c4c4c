"""Search under kill -9, as the tests and the benchmark ask for it.

Run as ``python tests/killed_search.py FOLDER N_KILLS KIND``, in a process of its own:
it forks, which needs no imports in the children, but a single thread.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from forked_children import in_child, was_killed
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._training import _checkpoint
from sklearn_cgcnn.datasets import make_ionic_crystals

GRID = {"lr": [0.01, 0.02], "dropout": [0.0, 0.2]}


class RecordFits(Callback):
    """Write the name of each training that begins, or resumes, to a file."""

    def __init__(self, file):
        self.file = file

    def on_train_begin(self, net, **kwargs):
        if net.checkpoint is not None:
            with self.file.open("a") as file:
                file.write(f"{net.checkpoint.path.name}\n")


def scores_of(search, X, y):
    """Fit a search, and return what does not depend on the clock, and its model."""
    search.fit(X, y)
    results = search.cv_results_.items()
    results = {k: np.asarray(v).tolist() for k, v in results if "time" not in k}
    return results, search.best_estimator_.predict(X)


def run(kind, model, crystals):
    """Return the result of a search, or of a cross-validation."""
    X, y = CrystalGraphFeaturizer().transform(crystals.data), crystals.target
    if kind == "cross-validation":
        return cross_val_score(model, X, y, cv=6)
    if kind == "halving":
        search = HalvingGridSearchCV(
            model, GRID, cv=2, min_resources=10, random_state=0, error_score="raise"
        )
        return scores_of(search, X, y)
    if kind == "pipeline":
        pipeline = make_pipeline(CrystalGraphFeaturizer(), model)
        grid = {f"cgcnnregressor__{name}": values for name, values in GRID.items()}
        search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
        return scores_of(search, crystals.data, y)
    # "multiprocessing" forks. The processes of "loky" import everything anew.
    backend = {"two forks": "multiprocessing", "two processes": "loky"}[kind]
    with joblib.parallel_config(backend, n_jobs=2):
        return scores_of(GridSearchCV(model, GRID, cv=2, error_score="raise"), X, y)


def small_model(**params):
    """Return a model that trains in a tenth of a second."""
    return CGCNNRegressor(
        n_conv_layers=1, n_site_channels=8, max_epochs=4, random_state=0, **params
    )


def search(kind, crystals, folder, result):
    """Write the result of a search to a file. Without a folder, no fit is saved."""
    os.setsid()  # so that a kill reaches its workers too
    model = small_model(
        callbacks=[RecordFits(result.with_suffix(".begun"))],
        checkpoint_dir=folder and folder / "fits",
    )
    found = run(kind, model, crystals)
    joblib.dump(found, result.with_suffix(".unfinished"))
    result.with_suffix(".unfinished").rename(result)


def begun(result):
    """Return the fits that have begun, one for each time."""
    file = result.with_suffix(".begun")
    return file.read_text().splitlines() if file.exists() else []


def finished(folder):
    """Return the fits that need not begin again."""
    files = (folder / "fits").glob("*.pt")
    return {
        file.name
        for file in files
        if torch.load(file, weights_only=False)["state"]["is_finished"]
    }


def has_ended(child):
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, child, options) is not None


def kill(child, result, n_begun, delay):
    """Kill a child, with its workers, some time after so many fits have begun.

    Return whether it was still running.
    """
    while len(begun(result)) < n_begun and not has_ended(child):
        time.sleep(0.001)
    time.sleep(delay)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # it has no group of its own yet
        os.kill(child, signal.SIGKILL)
    return was_killed(child)


def search_with_kills(kind, crystals, folder, rng, n_kills, max_delay):
    """Search again until there is a result, killed at most `n_kills` times.

    Return the number of kills, the number of fits, and how many of them were finished
    at each kill.
    """
    folder.mkdir()
    result, known, n_before = folder / "result", set(), 0
    n_done, progress = 0, []
    while not result.exists():
        child = in_child(search, kind, crystals, folder, result)
        if n_done < n_kills:
            n_begun, delay = n_before + rng.randint(5), rng.uniform(0, max_delay)
            n_done += kill(child, result, n_begun, delay)
        else:
            was_killed(child)
        fits = begun(result)
        assert not known & set(fits[n_before:]), "a finished fit began again"
        known, n_before = finished(folder), len(fits)
        if not result.exists():
            progress.append(len(known))
    assert len(known) == len(set(fits))
    return n_done, len(known), progress


def main(folder, n_kills, kind):
    torch.set_num_threads(1)
    _checkpoint._MIN_INTERVAL = 0.0
    crystals = make_ionic_crystals(40, random_state=0)
    # What torch imports at its first use need not be imported in every child.
    small_model().fit(crystals.data, crystals.target)
    began = time.monotonic()
    undisturbed = folder / "undisturbed"
    was_killed(in_child(search, kind, crystals, None, undisturbed))
    max_delay = 0.1 * (time.monotonic() - began)
    expected = joblib.hash(joblib.load(undisturbed))
    rng, n_done, n_runs, progress = np.random.RandomState(0), 0, 0, []
    while n_done < n_kills:
        path = folder / str(n_runs)
        n_more, n_fits, finished_at_kills = search_with_kills(
            kind, crystals, path, rng, n_kills - n_done, max_delay
        )
        assert joblib.hash(joblib.load(path / "result")) == expected, path
        n_done, n_runs = n_done + n_more, n_runs + 1
        progress += finished_at_kills
    found = {"n_kills": n_done, "n_runs": n_runs, "n_fits": n_fits}
    sys.stdout.write(json.dumps({**found, "progress": progress}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
