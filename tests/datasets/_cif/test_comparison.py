import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.core.operations import SymmOp

from sklearn_cgcnn.datasets._cif._comparison import check_cell, check_sites
from sklearn_cgcnn.datasets._cif._sites import ListedSite
from sklearn_cgcnn.datasets._cif._syntax import CIFError


def matrices(*operations):
    return np.array([SymmOp.from_xyz_str(each).affine_matrix for each in operations])


OPERATIONS = matrices("x,y,z", "-x,-y,-z")
SITES = [
    ListedSite("Fe1", "Fe3+", ("0", "0", "0"), "1"),
    ListedSite("O1", "O", ("0.1", "0.2", "0.3"), "0.5"),
    ListedSite("N1", "N", ("0.1", "0.2", "0.3"), "0.25"),
]


@pytest.fixture
def structure():
    """What the sites and operations stand for."""
    mixed = {"O": 0.5, "N": 0.25}
    coords = [[0, 0, 0], [0.1, 0.2, 0.3], [0.9, 0.8, 0.7]]
    return Structure(Lattice.cubic(5), ["Fe3+", mixed, mixed], coords)


def test_a_structure_with_all_sites(structure):
    assert check_sites(structure, SITES, OPERATIONS).tolist() == [1, 2, 2]
    moved = structure.copy()
    moved.translate_sites([0, 1, 2], [1, -1, 2], to_unit_cell=False)
    moved.translate_sites([1], [4e-4, -4e-4, 4e-4])
    assert check_sites(moved, SITES, OPERATIONS).tolist() == [1, 2, 2]


def lose_a_site(structure):
    structure.remove_sites([0])


def lose_an_image(structure):
    structure.remove_sites([2])


def change_an_element(structure):
    structure.replace(0, "Co")


def lose_a_share(structure):
    for index in (1, 2):
        structure.replace(index, {"O": 0.5})


def change_an_occupancy(structure):
    for index in (1, 2):
        structure.replace(index, {"O": 0.5, "N": 0.2})


def add_an_element(structure):
    for index in (1, 2):
        structure.replace(index, {"O": 0.5, "N": 0.25, "H": 0.1})


def add_a_site(structure):
    structure.append("Fe", [0.5, 0.5, 0.5])


def make_a_dummy(structure):
    structure.replace(0, "X")


def move_a_site(structure):
    structure.translate_sites([0], [0.01, 0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lose_a_site, "pymatgen lost site 'Fe1' with the symbol 'Fe3"),
        (lose_an_image, "pymatgen lost site 'O1' .*, or one equivalent to it"),
        (change_an_element, "pymatgen lost site 'Fe1'"),
        (lose_a_share, "pymatgen lost site 'N1'"),
        (change_an_occupancy, r"where the file lists O 0.5, N 0.25"),
        (add_an_element, r"where the file lists O 0.5, N 0.25"),
        (
            add_a_site,
            r"made a site of Fe at \[0.5, 0.5, 0.5\], where the file lists none",
        ),
        (make_a_dummy, "pymatgen lost site 'Fe1'"),
        (move_a_site, "pymatgen lost site 'Fe1'"),
    ],
)
def test_sites_that_were_lost_or_changed(structure, change, message):
    change(structure)
    with pytest.raises(CIFError, match=message):
        check_sites(structure, SITES, OPERATIONS)


@pytest.mark.parametrize("shift", ["x+1/3,y,z", "x,y+1/2,z"])
def test_operations_that_change_the_structure(structure, shift):
    lists_image = [*SITES, ListedSite("O2", "O", ("0.9", "0.8", "0.7"), "0.5")]
    lists_image.append(ListedSite("N2", "N", ("0.9", "0.8", "0.7"), "0.25"))
    identity = OPERATIONS[:1]
    assert check_sites(structure, lists_image, identity).sum() == 5
    shifted = matrices("x,y,z", shift)
    vector = shifted[1, :3, 3]
    for site in structure.copy():
        structure.append(site.species, site.frac_coords + vector)
    if shift == "x,y+1/2,z":
        assert check_sites(structure, lists_image, shifted).sum() == 10
    else:
        with pytest.raises(CIFError, match="contradict each other"):
            check_sites(structure, lists_image, shifted)


def test_rounded_shifts_do_not_contradict_each_other():
    shifts = ("x,y,z", "x+0.333,y,z", "x+0.667,y,z")
    operations = matrices(*shifts)
    structure = Structure(
        Lattice.hexagonal(5, 6), ["Fe"] * 3, [[x, 0, 0] for x in (0, 0.333, 0.667)]
    )
    assert check_sites(structure, SITES[:1], operations).tolist() == [3]


def test_the_cell_is_compared(structure):
    cell = {"_cell_length_a": "5.0", "_cell_angle_gamma": "90"}
    check_cell(structure, cell)
    with pytest.raises(CIFError, match=r"_cell_length_a 5 instead of 5\.1"):
        check_cell(structure, cell | {"_cell_length_a": "5.1"})
    with pytest.raises(CIFError, match="_cell_angle_gamma 90 instead of 91"):
        check_cell(structure, cell | {"_cell_angle_gamma": "91"})


def test_coordinates_just_below_zero():
    structure = Structure(Lattice.cubic(5), ["Fe"], [[-1e-17, 0, np.nextafter(1, 0)]])
    assert check_sites(structure, SITES[:1], OPERATIONS).tolist() == [1]
