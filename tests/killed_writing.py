"""Write graphs to disk under kill -9, as the tests and the benchmark ask for it.

Run as ``python tests/killed_writing.py FOLDER N_KILLS``, in a process of its own: it
forks, which needs no imports in the children, but a single thread.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from forked_children import in_child, was_killed
from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.graphs import ShardedCrystalGraphs


def write(structures, path):
    """Write graphs, or the rest of them."""
    CrystalGraphFeaturizer(on_error="collect").transform_to_disk(
        iter(structures), path, if_exists="resume", shard_size=10
    )


def contents(path):
    """Return the bytes of each file in a folder, by name."""
    return {file.name: file.read_bytes() for file in path.iterdir()}


def read_what_there_is(path):
    """Check that a folder is readable, and return its number of crystals."""
    if not (path / "shards.json").exists():
        return 0
    graphs = ShardedCrystalGraphs(path)
    graphs.check()
    return len(graphs)


def main(folder, n_kills):
    crystals = make_ionic_crystals(120, random_state=0).data
    crystals[33] = "no crystal"
    began = time.monotonic()
    was_killed(in_child(write, crystals, folder / "undisturbed"))
    duration = time.monotonic() - began
    expected = contents(folder / "undisturbed")
    rng, n_done, n_runs, progress = np.random.RandomState(0), 0, 0, []
    while n_done < n_kills:
        path = folder / str(n_runs)
        while n_done < n_kills:
            child = in_child(write, crystals, path)
            time.sleep(rng.uniform(0, 0.7 * duration))
            os.kill(child, signal.SIGKILL)
            if not was_killed(child):
                break
            n_done += 1
            progress.append(read_what_there_is(path))
        was_killed(in_child(write, crystals, path))
        assert contents(path) == expected, path
        n_runs += 1
    result = {"n_kills": n_done, "n_runs": n_runs, "progress": progress}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
