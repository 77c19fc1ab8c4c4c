import numpy as np
import pytest
from pymatgen.core import (
    Composition,
    DummySpecies,
    Lattice,
    Species,
    Structure,
)

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


def site_of(species):
    """A structure of one site, with occupancies as a parser may leave them."""
    structure = Structure(CUBE, ["Fe"], ORIGIN)
    structure[0]._species = Composition(species)  # the setter refuses more than one
    return structure


@pytest.mark.parametrize(
    "species",
    [
        {"Fe": 0.9999999},
        {"Fe": 1.0000001},
        {"Fe": 1 - 9e-7},
        {"Fe": 1 + 9e-7},
        {"Fe2+": 0.4, "Fe3+": 0.6},
        {"Fe2+": 0.3333333, "Fe3+": 0.3333333, "Fe4+": 0.3333333},
        {"Fe": 0.5, "Fe3+": 0.5},
        {Species("Fe", 2, spin=5): 0.5, Species("Fe", 2, spin=-5): 0.5},
        {"Fe": 1.0, "Co": 1e-7},
        {"Fe": 0.9999995, "Co": 5e-7},
    ],
    ids=str,
)
def test_a_site_is_full_of_one_element(species):
    assert read_cell(site_of(species)).atomic_numbers.tolist() == [26]


def test_isotopes_of_hydrogen_share_a_site():
    assert read_cell(site_of({"H": 0.5, "D": 0.5})).atomic_numbers.tolist() == [1]


@pytest.mark.parametrize(
    "species",
    [
        {"Fe": 0.99},
        {"Fe": 1.01},
        {"Fe": 1 - 2e-6},
        {"Fe": 1 + 2e-6},
        {"Fe": 0.999999, "Co": 2e-6},
        {"Fe2+": 0.4, "Fe3+": 0.5},
        {"Fe2+": 0.4, "Co2+": 0.6},
        {"Fe": 0.9999, "Co": 0.0001},
        {"Fe": 1.0, "Co": 1.0},
        {"H": 0.4, "D": 0.5},
    ],
    ids=str,
)
def test_a_site_that_is_not_is_disordered(species):
    with pytest.raises(StructureError, match=r"^site 0 is disordered"):
        read_cell(site_of(species))


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure(CUBE, [{"Fe": 0.5, "Co": 0.5}], ORIGIN), "site 0 is disordered"),
        (Structure(CUBE, [{"Fe": 0.5}], ORIGIN), "site 0 is disordered"),
        (Structure(CUBE, [DummySpecies("X")], ORIGIN), "site 0 holds X"),
        (Structure(CUBE, ["Rf"], ORIGIN), "site 0 holds Rf.*1 to 103"),
        (Structure(CUBE, [], []), "no sites"),
        (
            Structure(CUBE, ["Fe"] * 2, [[0, 0, 0], [np.nan, 0, 0]]),
            "of site 1 are not f",
        ),
        (Structure(Lattice(np.full((3, 3), np.inf)), ["Fe"], ORIGIN), "not finite"),
        (Structure(Lattice(np.diag([4, 1e7, 4])), ["Fe"], ORIGIN), "vector 1 is not f"),
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
