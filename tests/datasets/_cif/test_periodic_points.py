import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial import KDTree

from sklearn_cgcnn.datasets._cif import _periodic_points
from sklearn_cgcnn.datasets._cif._periodic_points import (
    are_apart,
    are_certainly_apart,
    into_cell,
    nearest,
    thicknesses,
)

SKEW = Lattice.from_parameters(4, 5, 6, 60, 70, 50)


@pytest.mark.parametrize("most", [0, 10**6], ids=["tree", "all with all"])
def test_nearest_points(monkeypatch, most):
    monkeypatch.setattr(_periodic_points, "_MAX_DISTANCES", most)
    rng = np.random.RandomState(0)
    points = rng.uniform(-1, 2, (50, 3))
    queries = points[rng.permutation(50)] + rng.choice([-2, 0, 1], (4, 50, 3))
    queries += rng.uniform(-0.02, 0.02, queries.shape)
    tree = KDTree(into_cell(points), boxsize=1)
    expected = tree.query(into_cell(queries), p=np.inf, distance_upper_bound=0.015)[1]
    found = nearest(points, queries, 0.015)
    np.testing.assert_array_equal(found, expected)
    assert 0 < (found == len(points)).sum() < found.size / 2 + found.size / 4


@pytest.mark.parametrize("most", [0, 10**6], ids=["tree", "all with all"])
def test_points_that_are_close(monkeypatch, most):
    monkeypatch.setattr(_periodic_points, "_MAX_DISTANCES", most)
    points = np.array([[0, 0, 0], [0.999, 0.5, 0], [0.001, 0.501, 1]])
    assert are_apart(points, 1.9e-3)
    assert not are_apart(points, 2.1e-3)


def test_thicknesses():
    expected = [SKEW.d_hkl(each) for each in np.eye(3, dtype=int)]
    np.testing.assert_allclose(thicknesses(SKEW), expected)


def test_points_called_apart_have_no_neighbors():
    rng = np.random.RandomState(0)
    outcomes = set()
    for _ in range(300):
        lattice = SKEW.scale(rng.uniform(1, 200))
        structure = Structure(lattice, ["C"] * 4, rng.uniform(-1, 2, (4, 3)))
        certain = are_certainly_apart(lattice, structure.frac_coords, 0.9)
        has_none = len(structure.get_neighbor_list(0.9)[0]) == 0
        assert has_none or not certain
        outcomes.add((certain, has_none))
    assert {(True, True), (False, False)} <= outcomes
