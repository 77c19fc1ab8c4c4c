import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from helpers import SMALL
from real_crystals import load_crystals
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._ops import _numba_edges
from sklearn_cgcnn.datasets import make_ionic_crystals

torch.set_num_threads(1)


@pytest.fixture
def ctrl_c_raises():
    """Let SIGINT raise KeyboardInterrupt: processes in the background ignore it."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def any_edges_for_threads(monkeypatch):
    """Let compiled loops use all of their threads, however few edges there are."""
    monkeypatch.setattr(_numba_edges, "_LEAST_EDGES_A_THREAD", 1)


@pytest.fixture
def pyplot():
    """matplotlib.pyplot, whose figures are closed afterwards."""
    from matplotlib import pyplot as plt

    yield plt
    plt.close("all")


@pytest.fixture(scope="session")
def ionic():
    """Generated crystals of all prototypes with their energies."""
    return make_ionic_crystals(60, random_state=0)


@pytest.fixture(scope="session")
def graphs(ionic):
    """Graphs of the generated crystals."""
    return CrystalGraphFeaturizer().transform(ionic.data)


@pytest.fixture(params=[CGCNNRegressor, CGCNNClassifier])
def estimator_class(request):
    """Each estimator in turn."""
    return request.param


@pytest.fixture
def estimator(estimator_class):
    """Each estimator in turn, with a network that trains within a second."""
    return estimator_class(**SMALL)


@pytest.fixture
def target(estimator_class, ionic):
    """Energies for a regressor, prototypes for a classifier."""
    return ionic.target if estimator_class is CGCNNRegressor else ionic.prototype


@pytest.fixture(scope="session")
def irregular():
    """Crystals without symmetry: random sites in random cells, 1 to 9 of them."""
    return random_structures(40, seed=0)


@pytest.fixture(scope="session")
def data_folder():
    """The folder of real crystals, for the tests that ask for them."""
    folder = os.environ.get("SKLEARN_CGCNN_DATA")
    if folder is None:
        pytest.skip("SKLEARN_CGCNN_DATA is not set: no real crystals to test on")
    return Path(folder)


@pytest.fixture(scope="session")
def load_real(data_folder):
    """Read n crystals of a set (None: all) and one of their labels."""

    def load(n, label="formation_energy_per_atom", folder="materials_project"):
        return load_crystals(data_folder / folder, n, label)

    return load


@pytest.fixture(scope="session")
def real_crystals(load_real):
    """200 crystals of the Materials Project and their formation energies in eV/atom."""
    return load_real(200)


def random_structures(n, seed):
    """Make crystals of random lattices, elements and coordinates, none too close."""
    rng = np.random.RandomState(seed)
    structures = []
    while len(structures) < n:
        n_sites = rng.randint(1, 10)
        angles = rng.uniform(60, 120, 3)
        lengths = rng.uniform(0.8, 1.4, 3) * (20 * n_sites) ** (1 / 3)
        try:
            lattice = Lattice.from_parameters(*lengths, *angles)
        except ValueError:
            continue
        structure = Structure(
            lattice, rng.randint(1, 90, n_sites), rng.uniform(-1, 2, (n_sites, 3))
        )
        if (
            np.isfinite(lattice.volume)
            and lattice.volume > 10
            and structure.is_valid(0.8)
        ):
            structures.append(structure)
    return structures
