"""Many crystals on disk: speed, memory, kills and damage.

Run by ``tox run -e bench -- -k scale``. The environment variables SCALE_CRYSTALS,
SCALE_TRAINED, SCALE_BUFFER, SCALE_KILLS and SCALE_DAMAGED set the sizes, and SCALE_JOBS
the number of processes that make graphs. With SCALE_FOLDER, the graphs stay in this
folder, and an interrupted run resumes (speeds are then not those of an undisturbed
one). The crystals are those of ``materials_project`` in SKLEARN_CGCNN_DATA, repeated.
Every second one has other coordinates and another cell each time, so that no sites are
equal.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import killed_writing
from forked_children import in_child, was_killed
from helpers import flip_bit
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphFormatError
from sklearn_cgcnn.graphs import ShardedCrystalGraphs
from sklearn_cgcnn.model_files import load_model, save_model

N_CRYSTALS = int(os.environ.get("SCALE_CRYSTALS", "20000"))
N_TRAINED = int(os.environ.get("SCALE_TRAINED", "4000"))
BUFFER_NBYTES = int(os.environ.get("SCALE_BUFFER", str(2**27)))
N_KILLS = int(os.environ.get("SCALE_KILLS", "200"))
N_DAMAGED = int(os.environ.get("SCALE_DAMAGED", "1000"))
N_DISTINCT = 1000  # crystals that are repeated
PARAMS = {"max_epochs": 1, "random_state": 0, "lr_schedule": "constant"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Path(os.environ.get("SCALE_FOLDER") or tmp_path_factory.mktemp("scale"))


def crystals(distinct, n):
    for i in range(n):
        crystal = distinct[i % len(distinct)]
        yield jittered(crystal, i) if i % 2 else crystal


def jittered(crystal, seed):
    rng = np.random.default_rng(seed)
    cell = crystal.lattice.matrix @ (np.eye(3) + rng.normal(0, 0.01, (3, 3)))
    coords = crystal.frac_coords @ cell + rng.normal(0, 0.03, (len(crystal), 3))
    return Structure(Lattice(cell), crystal.species, coords, coords_are_cartesian=True)


def targets(n):
    return np.random.RandomState(0).normal(size=n)


def reset_peak():
    Path("/proc/self/clear_refs").write_text("5")


def peak():
    """Largest resident memory since the reset, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 1024


def write(distinct, path):
    """Write all crystals, and measure how many a second at the start and at the end.

    Return the graphs, and both rates by each of two clocks: that of the wall, and that
    of this process, which other programs do not lengthen, but which does not count
    worker processes.
    """
    moments = []

    def timed():
        for crystal in crystals(distinct, N_CRYSTALS):
            moments.append((time.perf_counter(), time.process_time()))
            yield crystal

    featurizer = CrystalGraphFeaturizer(n_jobs=int(os.environ.get("SCALE_JOBS", "1")))
    graphs = featurizer.transform_to_disk(timed(), path, if_exists="resume")
    seconds, tenth = np.array(moments), N_CRYSTALS // 10
    first, last = seconds[tenth] - seconds[0], seconds[-1] - seconds[-1 - tenth]
    return graphs, zip(tenth / first, tenth / last, strict=True)


def measure(path, where):
    """Train one epoch and predict, in this process. Print what it takes."""
    graphs = ShardedCrystalGraphs(path, buffer_nbytes=BUFFER_NBYTES)[:N_TRAINED]
    if where == "memory":
        graphs = graphs.to_memory()
    model = CGCNNRegressor(**PARAMS)
    CGCNNRegressor(**PARAMS).fit(graphs[:300], targets(300))  # compiles, if it does
    reset_peak()
    began = time.perf_counter()
    model.fit(graphs, targets(N_TRAINED))
    fitted = time.perf_counter()
    # The time of the epoch itself, without checks before it.
    epoch, n_edges = model.net_.history[-1]["dur"], graphs.n_edges
    model.predict(graphs)
    predicted = time.perf_counter() - fitted
    result = [epoch, fitted - began, predicted, peak(), n_edges, graphs.nbytes]
    sys.stdout.write(json.dumps(result))


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_writing_training_and_prediction(load_real, folder):
    distinct = load_real(N_DISTINCT)[0]
    path = folder / "graphs"
    reset_peak()
    graphs, rates = write(distinct, path)
    nbytes = graphs.nbytes / 1e6
    print(f"\n{N_CRYSTALS} crystals, {graphs.n_edges} edges, {nbytes:.0f} MB")
    for clock, (first, last) in zip(("wall", "processor"), rates, strict=True):
        print(f"written, {clock}: {first:.0f}/s at first, {last:.0f}/s at last")
    print(f"{peak():.0f} MB")
    for where in ("memory", "disk") * 2 if N_TRAINED else ():
        command = [sys.executable, "-W", "ignore", __file__, path, where]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        found = json.loads(subprocess.check_output(command, env=env))
        epoch, fit, predicted, memory, n_edges, nbytes = found
        print(
            f"{where}: {N_TRAINED} crystals, {n_edges} edges, {nbytes / 1e6:.0f} MB: "
            f"{N_TRAINED / epoch:.0f}/s in an epoch, {fit:.1f} s to fit, "
            f"{N_TRAINED / predicted:.0f}/s predicted, {memory:.0f} MB"
        )
    assert peak() < 2000


def test_kills(tmp_path):
    command = [sys.executable, killed_writing.__file__, tmp_path, str(N_KILLS)]
    found = json.loads(subprocess.check_output(command))
    print(f"\n{found['n_kills']} kills in {found['n_runs']} writings: same files")


def save_again_and_again(model, path):
    while True:
        save_model(model, path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_kills_while_a_model_is_saved(ionic, tmp_path):
    path, rng = tmp_path / "model", np.random.RandomState(0)
    model = CGCNNRegressor(**PARAMS).fit(ionic.data, ionic.target)
    expected = model.predict(ionic.data)
    save_model(model, path)
    for _ in range(N_KILLS):
        child = in_child(save_again_and_again, model, path)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        assert was_killed(child)
        found = load_model(path).predict(ionic.data)
        np.testing.assert_array_equal(found, expected)
    print(f"\n{N_KILLS} kills while a model was saved: the file is whole")


@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_damage(ionic, tmp_path, kind):
    graphs = CrystalGraphFeaturizer().transform_to_disk(
        ionic.data, tmp_path / "graphs", shard_size=10
    )
    rng, files = np.random.RandomState(0), sorted(graphs.path.iterdir())
    for _ in range(N_DAMAGED):
        file = files[rng.randint(len(files))]
        whole = file.read_bytes()
        place = rng.randint(len(whole))
        flipped = flip_bit(whole, place, rng.randint(8))
        file.write_bytes(whole[:place] if kind == "truncated" else flipped)
        with pytest.raises(GraphFormatError, match=str(file)):
            ShardedCrystalGraphs(graphs.path).to_memory()
        file.write_bytes(whole)
    print(f"\n{N_DAMAGED} files {kind}: all reported by name")


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2])
