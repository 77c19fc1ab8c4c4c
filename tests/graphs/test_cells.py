import numpy as np
import pytest
from pymatgen.core import DummySpecies, Lattice, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import read_cell

CUBE = Lattice.cubic(4.0)
ORIGIN = [[0, 0, 0]]


def test_cell_holds_cartesian_coordinates_and_atomic_numbers():
    lattice = Lattice([[3, 0, 0], [1, 4, 0], [0, 0, 5]])
    cell = read_cell(Structure(lattice, ["Fe", "O"], [[0, 0, 0], [0.5, 0.5, 0.25]]))
    np.testing.assert_allclose(cell.coords, [[0, 0, 0], [2.0, 2.0, 1.25]])
    assert cell.atomic_numbers.tolist() == [26, 8]
    assert cell.volume == pytest.approx(60)


@pytest.mark.parametrize(
    "species",
    ["Fe3+", "Fe", {"Fe2+": 1}, "D"],
    ids=["oxidation state", "element", "composition", "deuterium"],
)
def test_oxidation_states_and_isotopes_are_ignored(species):
    cell = read_cell(Structure(CUBE, [species], ORIGIN))
    assert cell.atomic_numbers.tolist() == [1 if species == "D" else 26]


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure(CUBE, [{"Fe": 0.5, "Co": 0.5}], ORIGIN), "site 0 is disordered"),
        (Structure(CUBE, [{"Fe": 0.5}], ORIGIN), "site 0 is disordered"),
        (Structure(CUBE, [DummySpecies("X")], ORIGIN), "site 0 holds X"),
        (Structure(CUBE, ["Rf"], ORIGIN), "site 0 holds Rf.*1 to 103"),
        (Structure(CUBE, [], []), "no sites"),
        (Structure(CUBE, ["Fe"], [[np.nan, 0, 0]]), "not finite"),
        (Structure(Lattice(np.full((3, 3), np.inf)), ["Fe"], ORIGIN), "not finite"),
        (Structure(Lattice(np.ones((3, 3))), ["Fe"], ORIGIN), "lattice is flat"),
        (
            Structure(Lattice(np.eye(3) * 4, pbc=(False,) * 3), ["Fe"], ORIGIN),
            "periodic along none",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value|divide by zero:RuntimeWarning")
def test_what_is_no_crystal_is_refused(structure, message):
    with pytest.raises(StructureError, match=message):
        read_cell(structure)


@pytest.mark.parametrize("connectivity", ["nearest", "voronoi", "original"])
def test_a_lattice_in_columns(connectivity):
    """Its matrix is transposed in memory, and must be copied for the search."""
    matrix = np.array([[3, 0, 0], [0.3, 3, 0], [0.4, 0.6, 3]]).T
    featurizer = CrystalGraphFeaturizer(
        connectivity=connectivity, isolated_sites="keep"
    )
    graphs = [
        featurizer.transform([Structure(Lattice(each), ["Cu"], [[0] * 3])])
        for each in (matrix, np.ascontiguousarray(matrix))
    ]
    np.testing.assert_array_equal(graphs[0].distances, graphs[1].distances)
