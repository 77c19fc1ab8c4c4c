"""The remedies that errors of structures name: they are followed, and then work."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import DummySpecies, Lattice, Structure
from pymatgen.io.cif import CifParser

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import load_cif_directory
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import OriginalNeighbors, VoronoiNeighbors

ORIGIN = [[0, 0, 0]]
CUBE = Lattice.cubic(4.0)
CIF = """data_Mg
_cell_length_a 3.2094
_cell_length_b 3.2094
_cell_length_c 5.2108
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_symmetry_space_group_name_H-M 'P 63/m m c'
_symmetry_Int_Tables_number 194
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Mg1 Mg 0.33 0.67 0.25 1.0
"""


def refusal(structure, **params):
    """The message of the error."""
    with pytest.raises(StructureError) as caught:
        CrystalGraphFeaturizer(**params).transform([structure])
    return str(caught.value)


def n_sites(structure, **params):
    """How many sites of the structure the graph stands for."""
    graphs = CrystalGraphFeaturizer(**params).transform([structure])
    return int(graphs.multiplicity.sum())


def follow(message, pattern, structure):
    """Run the line of code in a message on a copy of the structure, and return it."""
    (line,) = re.findall(pattern, message)
    copy = structure.copy()
    exec(line, {"structure": copy, "Lattice": Lattice, "Structure": Structure})
    return copy


def evaluate(message, pattern, structure):
    """Return what the expression in a message makes of the structure."""
    (expression,) = re.findall(pattern, message)
    return eval(expression, {"structure": structure, "Structure": Structure})


# Coincident sites

MERGE = r"structure\.merge_sites\(.*\)"


def assert_merged(structure, expected):
    followed = follow(refusal(structure), MERGE, structure)
    assert n_sites(followed) == len(expected)
    graphs = CrystalGraphFeaturizer().transform([followed, expected])
    left, right = graphs[0], graphs[1]
    np.testing.assert_allclose(left.distances, right.distances, atol=1e-3)


HCP = Structure.from_spacegroup(
    "P6_3/mmc", Lattice.hexagonal(3.2094, 5.2108), ["Mg"], [[1 / 3, 2 / 3, 0.25]]
)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the parser
def test_a_cif_file_with_rounded_coordinates(tmp_path):
    """The sites on a threefold axis become six, beside each other."""
    (tmp_path / "mg.cif").write_text(CIF)
    (tmp_path / "id_prop.csv").write_text("mg,0.0\n")
    (structure,) = load_cif_directory(tmp_path).data
    assert len(structure) > 2
    assert_merged(structure, HCP)
    (mended,) = CifParser(tmp_path / "mg.cif", site_tolerance=0.02).parse_structures()
    assert n_sites(mended) == 2


@pytest.mark.parametrize("a", [2.3, 3.2094, 5.0, 7.5, 9.9])
@pytest.mark.parametrize("x", [0.33, 0.333, 0.3333])
def test_rounded_coordinates_of_a_space_group(a, x):
    lattice = Lattice.hexagonal(a, 1.63 * a)
    rounded = [x, round(1 - x, 4), 0.25]
    structure = Structure.from_spacegroup(
        "P6_3/mmc", lattice, ["Mg"], [rounded], tol=1e-6
    )
    exact = Structure.from_spacegroup(
        "P6_3/mmc", lattice, ["Mg"], [[1 / 3, 2 / 3, 0.25]]
    )
    assert len(structure) > 2
    assert_merged(structure, exact)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-0.05, 0.05), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.integers(2, 4),
)
def test_sites_that_are_listed_several_times(shift, place, n):
    """The copies lie on a line, each less than 0.1 Å from the next."""
    lattice = Lattice.orthorhombic(3.0, 4.0, 5.0)
    first = lattice.get_cartesian_coords(place)
    coords = [first + i * np.array(shift) for i in range(n)]
    structure = Structure(lattice, ["O"] * n, coords, coords_are_cartesian=True)
    assert n_sites(follow(refusal(structure), MERGE, structure)) == 1


def test_two_elements_on_one_site():
    structure = Structure(CUBE, ["O", "H"], [[0, 0, 0], [0, 0, 0.01]])
    message = refusal(structure)
    assert "lie only 0.04 Å apart, and hold O and H; remove the duplicate" in message
    followed = follow(message, r"structure\.remove_sites\(.*\)", structure)
    assert n_sites(followed) == 1


def test_a_lattice_vector_that_is_too_short():
    structure = Structure(Lattice(np.diag([0.05, 5, 5])), ["O"], ORIGIN)
    message = refusal(structure)
    assert "site 0 lies only 0.05 Å from its own periodic image; correct the" in message
    in_nanometers = Structure(Lattice.cubic(0.4), ["O"], ORIGIN)
    assert "three independent lattice vectors, in Å" in refusal(in_nanometers)


# Disorder, dummy species, and lattices


@pytest.mark.parametrize(
    "species",
    [
        {"Fe": 0.5, "Co": 0.5},
        {"Fe2+": 0.3, "Co3+": 0.37},
        {"D": 0.5},
        {"Fe": 0.99},
    ],
    ids=str,
)
def test_a_disordered_site(species):
    structure = Structure(CUBE, ["O", species], [[0, 0, 0], [0.5, 0.5, 0.5]])
    message = refusal(structure)
    followed = follow(message, r"structure\[1\] = '\w+'", structure)
    assert n_sites(followed) == 2
    followed = follow(message, r"structure\.remove_sites\(\[1\]\)", structure)
    assert n_sites(followed) == 1


@pytest.mark.parametrize("species", [{}, {"Fe": 1e-10}], ids=str)
def test_an_empty_site(species):
    structure = Structure(CUBE, ["O", species], [[0, 0, 0], [0.5, 0.5, 0.5]])
    message = refusal(structure)
    assert "site 1 is empty; remove it with structure" in message
    followed = follow(message, r"structure\.remove_sites\(\[1\]\)", structure)
    assert n_sites(followed) == 1


@pytest.mark.parametrize("species", [DummySpecies("X"), DummySpecies("Q2+"), "Og"])
def test_a_site_without_an_element(species):
    structure = Structure(CUBE, ["O", species], [[0, 0, 0], [0.5, 0.5, 0.5]])
    message = refusal(structure)
    assert "replace it or leave the structure out" in message
    followed = follow(message, r"structure\.remove_sites\(\[1\]\)", structure)
    assert n_sites(followed) == 1
    assert n_sites(structure.copy().replace_species({species: "Fe"})) == 2


def test_a_lattice_without_periods():
    structure = Structure(Lattice(np.eye(3) * 4, pbc=(False,) * 3), ["O"], ORIGIN)
    pattern = r"structure\.lattice = .*\)(?=,)"
    followed = follow(refusal(structure), pattern, structure)
    assert n_sites(followed) == 1


def test_a_flat_lattice():
    """A layer, whose third vector is missing."""
    layer = Structure(Lattice([[4, 0, 0], [0, 4, 0], [0, 0, 1e-9]]), ["C"], ORIGIN)
    assert "in Å, also along directions in which the crystal does not" in refusal(layer)
    matrix = layer.lattice.matrix.copy()
    matrix[2] = [0, 0, 10]
    for pbc in ((True, True, True), (True, True, False)):
        assert n_sites(Structure(Lattice(matrix, pbc=pbc), ["C"], ORIGIN)) == 1


# Edge rules


def test_isolated_sites():
    far = Structure(Lattice.cubic(9.0), ["Xe"], ORIGIN)
    for connectivity in ("nearest", "voronoi"):
        params = {"connectivity": connectivity, "cutoff": 5.0}
        assert 'pass isolated_sites="keep"' in refusal(far, **params)
        assert n_sites(far, **params, isolated_sites="keep") == 1
    assert "increase the cutoff" in refusal(far, cutoff=5.0)
    assert n_sites(far, cutoff=9.5) == 1


def test_a_missing_radius():
    structure = Structure(CUBE, ["Es", "Es"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    (expression,) = re.findall(
        r"connectivity=(VoronoiNeighbors\(.*?\))",
        refusal(structure, connectivity="voronoi"),
    )
    rule = eval(expression, {"VoronoiNeighbors": VoronoiNeighbors})
    assert n_sites(structure, connectivity=rule) == 2


@pytest.mark.parametrize("steps", [300, 9000])
def test_a_cell_that_is_too_oblique(steps):
    lattice = Lattice([[3, 0, 0], [steps, 3, 0], [steps, steps, 3]])
    structure = Structure(lattice, ["Po"], ORIGIN)
    message = refusal(structure, connectivity=OriginalNeighbors())
    assert "the cell is so oblique" in message
    followed = evaluate(message, r"structure\.get_reduced.*\)", structure)
    assert n_sites(followed, connectivity=OriginalNeighbors()) == 1


@pytest.mark.parametrize("away", [100, 10_000])
def test_sites_that_lie_too_far_from_their_cell(away):
    structure = Structure(CUBE, ["Cs", "Cl"], [[0, 0, 0], [away + 0.5] * 3])
    message = refusal(structure, connectivity=OriginalNeighbors())
    assert "sites lie so far from the cell" in message
    followed = evaluate(message, r"Structure\.from_sites.*\)", structure)
    assert n_sites(followed, connectivity=OriginalNeighbors()) == 2
    # The original program itself needs seconds for this one.
    near = Structure(CUBE, ["Cs", "Cl"], [[0, 0, 0], [10.5] * 3])
    assert n_sites(near, connectivity=OriginalNeighbors()) == 2
