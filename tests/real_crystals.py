"""Crystals and labels of a folder with ``structures.npz`` and ``labels.csv.gz``."""

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure


def load_crystals(folder, n, label):
    """Read n crystals, picked by a fixed shuffle, and one of their labels."""
    labels = pd.read_csv(folder / "labels.csv.gz")
    rows = np.random.RandomState(0).permutation(len(labels))[:n]
    return load_structures(folder, rows), labels[label].to_numpy()[rows]


def load_structures(folder, rows=None):
    """Read the crystals of some rows, or all of them in the order of the labels."""
    arrays = dict(np.load(folder / "structures.npz"))
    ends = np.cumsum(arrays["n_sites"], dtype=np.int64)
    structures = []
    for row in range(len(ends)) if rows is None else rows:
        sites = slice(ends[row] - arrays["n_sites"][row], ends[row])
        lattice = Lattice(arrays["lattice"][row])
        species, coords = arrays["atomic_numbers"][sites], arrays["frac_coords"][sites]
        structures.append(Structure(lattice, species, coords))
    return structures
