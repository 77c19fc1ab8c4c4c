from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.constants import elementary_charge, epsilon_0

from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.datasets._ionic_crystals import (
    _CHARGES,
    _PROTOTYPES,
    _coulomb_energies,
    _neutral_ion_sets,
    _repulsion_energies,
    _site_energies,
    _unstrained_crystal,
)

# e² / (4 π ε₀) in eV Å.
COULOMB_CONSTANT = 1e10 * elementary_charge / (4 * np.pi * epsilon_0)

IONS = {
    "rocksalt": {"A": "Na", "X": "Cl"},
    "cesium_chloride": {"A": "Cs", "X": "Cl"},
    "zincblende": {"A": "Zn", "X": "S"},
    "fluorite": {"A": "Ca", "X": "F"},
    "antifluorite": {"A": "Li", "X": "O"},
    "perovskite": {"A": "Sr", "B": "Ti", "X": "O"},
}


# spglib announces a new way to report errors whenever pymatgen calls it.
ignore_spglib = pytest.mark.filterwarnings(
    "ignore:Set OLD_ERROR_HANDLING:DeprecationWarning"
)


def unstrained(prototype):
    return _unstrained_crystal(_PROTOTYPES[prototype], IONS[prototype])


def strained(prototype):
    crystals = make_ionic_crystals(1, prototypes=prototype, random_state=3)
    return crystals.data[0], crystals.site_energies[0]


def every_unstrained_crystal():
    for prototype in _PROTOTYPES.values():
        for ions in _neutral_ion_sets(prototype):
            yield _unstrained_crystal(prototype, ions)


# Geometry


@ignore_spglib
@pytest.mark.parametrize(
    ("prototype", "number"),
    [
        ("rocksalt", 225),
        ("cesium_chloride", 221),
        ("zincblende", 216),
        ("fluorite", 225),
        ("antifluorite", 225),
        ("perovskite", 221),
    ],
)
def test_space_group_and_primitive_cell(prototype, number):
    crystal = unstrained(prototype)
    symmetry = SpacegroupAnalyzer(crystal)
    assert symmetry.get_space_group_number() == number
    assert len(symmetry.find_primitive()) == len(crystal)


@pytest.mark.parametrize(
    ("prototype", "center", "neighbor", "number"),
    [
        ("rocksalt", "Na", "Cl", 6),
        ("rocksalt", "Cl", "Na", 6),
        ("cesium_chloride", "Cs", "Cl", 8),
        ("cesium_chloride", "Cl", "Cs", 8),
        ("zincblende", "Zn", "S", 4),
        ("zincblende", "S", "Zn", 4),
        ("fluorite", "Ca", "F", 8),
        ("fluorite", "F", "Ca", 4),
        ("antifluorite", "O", "Li", 8),
        ("antifluorite", "Li", "O", 4),
        ("perovskite", "Sr", "O", 12),
        ("perovskite", "Ti", "O", 6),
        ("perovskite", "O", "Sr", 4),
        ("perovskite", "O", "Ti", 2),
    ],
)
def test_coordination_number(prototype, center, neighbor, number):
    crystal = unstrained(prototype)
    for site in crystal:
        if site.specie.symbol != center:
            continue
        distances = [
            other.nn_distance
            for other in crystal.get_neighbors(site, 8.0)
            if other.specie.symbol == neighbor
        ]
        assert np.sum(np.isclose(distances, min(distances))) == number


@pytest.mark.parametrize(
    ("prototype", "ions", "lattice_parameter"),
    [
        # Na and Cl touch, at 1.02 + 1.81 Å. The measured lattice parameter is 5.64 Å.
        ("rocksalt", {"A": "Na", "X": "Cl"}, 2 * (1.02 + 1.81)),
        # The iodide ions touch each other, and lithium touches none of them.
        ("rocksalt", {"A": "Li", "X": "I"}, np.sqrt(2) * 2 * 2.20),
        # Ti and O touch, at 0.605 + 1.40 Å, but Sr and O, at 1.18 + 1.40 Å, do not. The
        # measured lattice parameter is 3.905 Å.
        ("perovskite", {"A": "Sr", "B": "Ti", "X": "O"}, 2 * (0.605 + 1.40)),
        ("perovskite", {"A": "Ba", "B": "Ti", "X": "O"}, 2 * (0.605 + 1.40)),
        # A is too large for the site between ions B and X that touch.
        ("perovskite", {"A": "Cs", "B": "Mg", "X": "F"}, np.sqrt(2) * (1.67 + 1.33)),
    ],
)
def test_lattice_parameter_is_that_of_touching_ions(prototype, ions, lattice_parameter):
    crystal = _unstrained_crystal(_PROTOTYPES[prototype], ions)
    n_cells = 4 if prototype == "rocksalt" else 1  # primitive cells per cubic cell
    assert_allclose((n_cells * crystal.volume) ** (1 / 3), lattice_parameter)


# Coulomb energy


@pytest.mark.parametrize(
    ("prototype", "madelung_constant"),
    [
        ("rocksalt", 1.7475645946),
        ("cesium_chloride", 1.7626747731),
        ("zincblende", 1.6380550534),
        ("fluorite", 2.51939244),
        ("antifluorite", 2.51939244),
    ],
)
def test_madelung_constant(prototype, madelung_constant):
    # Energy per formula unit = -M k |q₊ q₋| / d, with the nearest distance d.
    crystal = unstrained(prototype)
    nearest = np.min(crystal.get_neighbor_list(5.0)[3])
    cation, anion = (_CHARGES[IONS[prototype][role]] for role in "AX")
    energy = _coulomb_energies(crystal).sum()
    actual = energy * nearest / (COULOMB_CONSTANT * cation * anion)
    assert_allclose(actual, madelung_constant, rtol=1e-8)


def test_coulomb_energies_of_perovskite_are_those_of_a_direct_sum():
    """Sum over whole cells that are symmetric enough for the sum to converge.

    The cell has an eighth of a Sr at each corner, Ti at the center and half an O on
    each face. It has neither charge, dipole nor quadrupole, so that distant cells
    contribute little. Its Σ q r² is zero, so that the mean of its potential is zero, as
    for the Ewald sum. Summing over the cells in a sphere averages out the contribution
    of the next multipole moment.
    """
    crystal = unstrained("perovskite")
    strontium, titanium, oxygen = 2, 4, -2
    corners = np.array(list(product([-0.5, 0.5], repeat=3)))  # (8, 3)
    faces = np.concatenate([np.eye(3), -np.eye(3)]) / 2  # (6, 3)
    points = np.concatenate([corners, np.zeros((1, 3)), faces])  # (15, 3)
    charges = np.array([strontium / 8] * 8 + [titanium] + [oxygen / 2] * 6)
    assert charges.sum() == 0
    assert charges @ np.sum(points**2, axis=1) == 0

    cells = np.array(list(product(range(-15, 16), repeat=3)))
    cells = cells[np.linalg.norm(cells, axis=1) <= 15]
    sources = (cells[:, None] + points).reshape(-1, 3)
    source_charges = np.tile(charges, len(cells))

    def energy(charge, point):
        distance = np.linalg.norm(sources - point, axis=1)
        others = distance > 1e-6
        potential = np.sum(source_charges[others] / distance[others])
        return 0.5 * charge * potential * COULOMB_CONSTANT / crystal.lattice.a

    expected = [
        energy(strontium, corners[0]),
        energy(titanium, np.zeros(3)),
        *[energy(oxygen, faces[0])] * 3,
    ]
    assert_allclose(_coulomb_energies(crystal), expected, rtol=1e-5)


# Repulsion


def test_repulsion_and_attraction_of_touching_ions_balance():
    contact, step = 1.02 + 1.81, 1e-4  # Å, Na⁺ and Cl⁻

    def repulsion(distance):
        pair = Structure(
            Lattice.cubic(100.0),
            ["Na", "Cl"],
            [[0, 0, 0], [0, 0, distance]],
            coords_are_cartesian=True,
        )
        return _repulsion_energies(pair).sum()

    slope = (repulsion(contact + step) - repulsion(contact - step)) / (2 * step)
    assert_allclose(-slope, COULOMB_CONSTANT / contact**2, rtol=1e-6)


def test_repulsion_is_that_of_a_direct_sum():
    crystal = make_ionic_crystals(
        1, prototypes="perovskite", max_strain=0, random_state=0
    ).data[0]
    crystal = Structure(
        crystal.lattice, ["Sr", "Ti", "O", "O", "O"], crystal.frac_coords
    )
    crystal.apply_strain([0.02, -0.01, 0.03])
    charge = {"Sr": 2, "Ti": 4, "O": -2}
    radius = {"Sr": 1.18, "Ti": 0.605, "O": 1.40}  # Shannon 1976, six-fold, Å
    cutoff, n = 10.0, 9

    expected = np.zeros(len(crystal))
    for i, site in enumerate(crystal):
        for other, image in product(crystal, product(range(-4, 5), repeat=3)):
            a, b = site.specie.symbol, other.specie.symbol
            shift = other.frac_coords + image - site.frac_coords
            r = np.linalg.norm(shift @ crystal.lattice.matrix)
            if 1e-6 < r < cutoff:
                strength = COULOMB_CONSTANT * abs(charge[a] * charge[b]) / n
                contact = radius[a] + radius[b]
                expected[i] += 0.5 * strength * contact ** (n - 1) / r**n
    assert_allclose(_repulsion_energies(crystal, cutoff=cutoff), expected, rtol=1e-8)


def test_repulsion_beyond_the_cutoff_is_negligible():
    # The truncation error is largest here: large, densely packed, doubly charged ions.
    for prototype in ("rocksalt", "cesium_chloride"):
        crystal = _unstrained_crystal(_PROTOTYPES[prototype], {"A": "Mg", "X": "Te"})
        error = _repulsion_energies(crystal, cutoff=60.0) - _repulsion_energies(crystal)
        assert np.all(error > 0)
        assert np.all(error < 3e-5)


# Energy


def test_every_unstrained_crystal_is_bound_but_compressed():
    """E(x) = C / x + R / x⁹ for a lattice scaled by x, with minimum at (-9 R / C)^⅛."""
    for crystal in every_unstrained_crystal():
        coulomb = _coulomb_energies(crystal).sum()
        repulsion = _repulsion_energies(crystal).sum()
        assert coulomb + repulsion < 0, crystal.formula
        assert 1.04 < (-9 * repulsion / coulomb) ** (1 / 8) < 1.26, crystal.formula


@pytest.mark.parametrize("prototype", list(_PROTOTYPES))
def test_energies_do_not_depend_on_the_choice_of_cell(prototype):
    crystal, energies = strained(prototype)
    assert_allclose(_site_energies(crystal), energies, rtol=1e-12)

    supercell = crystal * (2, 1, 3)
    assert_allclose(_site_energies(supercell), np.repeat(energies, 6), rtol=1e-7)

    order = np.roll(np.arange(len(crystal)), 1)
    relabeled = Structure.from_sites([crystal[i] for i in order])
    assert_allclose(_site_energies(relabeled), energies[order], rtol=1e-9)

    shift = [0.3, -0.2, 0.45]
    shifted = Structure(crystal.lattice, crystal.species, crystal.frac_coords + shift)
    assert_allclose(_site_energies(shifted), energies, rtol=1e-9)


def test_equivalent_sites_have_the_same_energy_without_strain():
    energies = _site_energies(unstrained("perovskite"))
    assert_allclose(energies[2:], energies[2], rtol=1e-9)
    energies = _site_energies(unstrained("fluorite"))
    assert_allclose(energies[2], energies[1], rtol=1e-9)


def test_target_is_the_mean_of_the_site_energies():
    crystals = make_ionic_crystals(40, random_state=0)
    assert crystals.target.shape == (40,)
    for crystal, energies, target in zip(
        crystals.data, crystals.site_energies, crystals.target, strict=True
    ):
        assert energies.shape == (len(crystal),)
        assert_allclose(energies.mean(), target, rtol=1e-12)


# The dataset


def test_crystals_are_neutral_and_of_common_ions():
    for element, charge in _CHARGES.items():
        assert charge in Element(element).common_oxidation_states
    for crystal in every_unstrained_crystal():
        assert sum(_CHARGES[site.specie.symbol] for site in crystal) == 0


def test_perovskites_have_the_larger_cation_on_a():
    ion_sets = _neutral_ion_sets(_PROTOTYPES["perovskite"])
    assert {"A": "Ba", "B": "Ti", "X": "O"} in ion_sets
    assert {"A": "La", "B": "Al", "X": "O"} in ion_sets
    assert {"A": "Li", "B": "Ba", "X": "F"} not in ion_sets
    assert {"A": "Al", "B": "La", "X": "O"} not in ion_sets


def test_structures_have_no_oxidation_states():
    for crystal in make_ionic_crystals(20, random_state=0).data:
        assert all(type(site.specie) is Element for site in crystal)


def test_strain_is_symmetric_and_bounded():
    largest = 0.0
    crystals = make_ionic_crystals(
        50, prototypes="rocksalt", max_strain=0.1, random_state=0
    )
    for crystal in crystals.data:
        cation, anion = (site.specie.symbol for site in crystal)
        unstrained_crystal = _unstrained_crystal(
            _PROTOTYPES["rocksalt"], {"A": cation, "X": anion}
        )
        strain = np.linalg.solve(
            unstrained_crystal.lattice.matrix, crystal.lattice.matrix
        ) - np.eye(3)
        assert_allclose(strain, strain.T, atol=1e-12)
        largest = max(largest, np.abs(strain).max())
    assert 0.08 < largest <= 0.1


@ignore_spglib
def test_no_strain_leaves_the_prototype_cubic():
    crystals = make_ionic_crystals(10, max_strain=0, random_state=0)
    for crystal in crystals.data:
        system = SpacegroupAnalyzer(crystal).get_crystal_system()
        assert system == "cubic"


def test_the_bunch_describes_its_crystals():
    crystals = make_ionic_crystals(60, random_state=0)
    assert crystals.target_names == ["energy"]
    assert crystals.units == {"energy": "eV/site"}
    assert set(crystals.prototype) == set(_PROTOTYPES)
    for name, crystal in zip(crystals.prototype, crystals.data, strict=True):
        assert len(crystal) == len(_PROTOTYPES[name].roles)
    assert "60 strained crystals" in crystals.DESCR
    for name in _PROTOTYPES:
        assert name in crystals.DESCR


def test_return_X_y_returns_crystals_and_target():
    crystals = make_ionic_crystals(5, random_state=0)
    X, y = make_ionic_crystals(5, random_state=0, return_X_y=True)
    assert crystals.data == X
    assert_array_equal(y, crystals.target)


def test_only_random_state_determines_the_crystals():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = make_ionic_crystals(10, random_state=7)
    again = make_ionic_crystals(10, random_state=7)
    other = make_ionic_crystals(10, random_state=8)
    assert first.data == again.data
    assert_array_equal(first.target, again.target)
    assert np.all(first.target != other.target)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_order_of_prototypes_does_not_matter():
    one = make_ionic_crystals(5, prototypes=["rocksalt", "fluorite"], random_state=0)
    two = make_ionic_crystals(5, prototypes=("fluorite", "rocksalt"), random_state=0)
    assert one.data == two.data
    assert set(one.prototype) <= {"rocksalt", "fluorite"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 0}, "'n_samples' parameter .* must be an int"),
        ({"max_strain": 0.5}, "'max_strain' parameter .* must be a float"),
        ({"max_strain": -0.1}, "'max_strain' parameter .* must be a float"),
        ({"prototypes": "wurtzite"}, r"one or more of \['rocksalt'.*got \['wurtzite'"),
        ({"prototypes": ["rocksalt", "spinel"]}, r"got \['spinel'\]"),
        ({"prototypes": []}, r"got \[\]"),
    ],
)
def test_parameters_out_of_range_raise(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_ionic_crystals(**parameters)
