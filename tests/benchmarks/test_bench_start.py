"""What it costs to start: featurizing, a first fit, importing.

Run by ``tox run -e bench -- -k bench_start``. Times depend on the machine. Where
possible, assertions are therefore about ratios of times that are measured in turns.
"""

import subprocess
import sys
import time
from statistics import median

import numpy as np
import pytest
import torch
from pymatgen.optimization.neighbors import find_points_in_spheres

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer


def seconds(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def bare_search(cells, radius=8.0):
    for coords, lattice in cells:
        find_points_in_spheres(coords, coords, radius, np.ones(3, int), lattice, 1e-8)


@pytest.mark.parametrize(("merge", "bar"), [(False, 2), (True, 3)])
def test_featurization_against_a_bare_neighbor_search(load_real, merge, bar):
    """2,000 crystals of the Materials Project, one core, search within 8 Å."""
    ratios = []
    for _ in range(7):
        # Read anew each time, as pymatgen keeps what it has once computed.
        structures, _ = load_real(2000)
        featurizer = CrystalGraphFeaturizer(merge_equivalent=merge)
        whole = seconds(featurizer.transform, structures)
        cells = [(s.cart_coords, s.lattice.matrix) for s in structures]
        bare = seconds(bare_search, cells)
        ratios.append(whole / bare)
    print(
        f"\nfeaturizing (merging: {merge}) takes {median(ratios):.2f} times a bare "
        f"search within 8 Å ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"{whole / 2:.3f} ms a crystal"
    )
    assert median(ratios) <= bar


def test_fit_on_50_crystals(load_real):
    structures, energies = load_real(50)
    taken = seconds(CGCNNRegressor(random_state=0).fit, structures, energies)
    n_sites = np.mean([len(structure) for structure in structures])
    print(f"\nfit on 50 crystals of {n_sites:.0f} sites: {taken:.1f} s, one thread")
    assert torch.get_num_threads() == 1
    assert taken < 20


@pytest.mark.parametrize("module", ["sklearn_cgcnn", "sklearn_cgcnn.datasets"])
def test_import(module):
    """What importing costs beyond torch and scikit-learn, in fresh processes."""
    script = (
        "import time, torch, sklearn.base, sklearn.model_selection\n"
        f"start = time.perf_counter(); import {module}\n"
        "print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", script]
    taken = [float(subprocess.check_output(command)) for _ in range(5)]
    print(f"\nimport {module}: {median(taken):.2f} s over torch and scikit-learn")
    assert median(taken) <= 0.5
