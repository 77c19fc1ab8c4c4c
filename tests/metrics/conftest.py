"""Other descriptions of a crystal."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure


@pytest.fixture(scope="session")
def describe_anew():
    """Function that returns a crystal in another cell, of other elements.

    Orientation, handedness, origin and the order of the sites change too. The new cell
    is up to `max_det` times as large.
    """

    def describe(structure, rng, max_det=1):
        cell = structure.copy()
        cell.make_supercell(_draw_cell(rng, max_det))
        numbers = np.array([site.specie.Z for site in cell])
        elements = np.unique(numbers)
        others = rng.permutation(np.arange(1, 100))[: len(elements)]
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))  # or a reflection
        order = rng.permutation(len(cell))
        return Structure(
            Lattice(cell.lattice.matrix @ rotation),
            others[np.searchsorted(elements, numbers)][order],
            (cell.frac_coords + rng.random(3))[order],
        )

    return describe


def _draw_cell(rng, max_det):
    while True:
        vectors = rng.integers(-1, 2, (3, 3))
        if 1 <= abs(round(np.linalg.det(vectors))) <= max_det:
            return vectors
