"""Crystals with equal labels have the same formula, elements or prototype."""

import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.metrics import crystal_groups

CSCL = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
DISORDERED = Structure(Lattice.cubic(4), [{"Na": 0.5}], [[0, 0, 0]])


def of_species(*species):
    """A crystal of these species, wherever they are."""
    coords = np.linspace(0, 1, len(species), endpoint=False)[:, None] * [1, 1, 1]
    return Structure(Lattice.cubic(3 * len(species)), species, coords)


@pytest.mark.parametrize(
    ("species", "formula", "chemical_system"),
    [
        (["Cl", "Na"], "NaCl", "Cl-Na"),
        (["O", "Ti", "O", "Ca", "O"], "CaTiO3", "Ca-O-Ti"),
        (["O"] * 4 + ["H"] * 8, "H2O", "H-O"),
        (["Si"] * 8, "Si", "Si"),
        (["Na+", "Cl-"], "NaCl", "Cl-Na"),  # oxidation states do not matter
        (["D", "H", "O2-"], "H2O", "H-O"),  # nor do isotopes
    ],
)
def test_labels_by_composition(species, formula, chemical_system):
    structures = [of_species(*species), of_species(*species[::-1])]
    assert crystal_groups(structures).tolist() == [formula] * 2
    groups = crystal_groups(structures, by="chemical_system")
    assert groups.tolist() == [chemical_system] * 2


def test_labels_need_no_electronegativity():
    # pymatgen warns of elements without one.
    structure = of_species("He", "Xe", "He")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [formula] = crystal_groups([structure])
        [prototype] = crystal_groups([structure], by="prototype")
    assert formula == "XeHe2"
    assert prototype.startswith("AB2_")


@pytest.mark.parametrize("merge_equivalent", [True, False])
@pytest.mark.parametrize("by", ["formula", "chemical_system"])
def test_graphs_have_the_labels_of_their_structures(
    ionic, irregular, by, merge_equivalent
):
    cells = [each.make_supercell([2, 1, 1], in_place=False) for each in ionic.data[:9]]
    structures = [*ionic.data, *irregular, *cells]
    featurizer = CrystalGraphFeaturizer(merge_equivalent=merge_equivalent)
    graphs = featurizer.transform(structures)
    assert (graphs.multiplicity.max() > 1) == merge_equivalent
    expected = crystal_groups(structures, by=by)
    np.testing.assert_array_equal(crystal_groups(graphs, by=by), expected)
    np.testing.assert_array_equal(expected[:9], expected[-9:])


def test_formulas_agree_with_pymatgen(real_crystals):
    structures, _ = real_crystals
    groups = crystal_groups(structures)
    expected = np.array([each.composition.reduced_formula for each in structures])
    # The same crystals have equal formulas, whatever the order of the elements.
    np.testing.assert_array_equal(
        groups[:, None] == groups, expected[:, None] == expected
    )
    elements = [each.chemical_system for each in structures]
    assert crystal_groups(structures, by="chemical_system").tolist() == elements


@pytest.mark.parametrize("by", ["formula", "chemical_system", "prototype"])
def test_crystals_come_in_every_container_of_the_estimators(ionic, by):
    structures = ionic.data[:3]
    expected = crystal_groups(structures, by=by)
    assert expected.shape == (3,)
    assert expected.dtype.kind == "U"
    column = np.empty((3, 1), dtype=object)
    column[:, 0] = structures
    for container in (tuple(structures), column, pd.Series(structures)):
        np.testing.assert_array_equal(crystal_groups(container, by=by), expected)


@pytest.mark.skipif(find_spec("ase") is None, reason="ASE is not installed")
def test_atoms_of_ase_have_labels(ionic):
    atoms = [each.to_ase_atoms(msonable=False) for each in ionic.data[:3]]
    for by in ("formula", "prototype"):
        expected = crystal_groups(ionic.data[:3], by=by)
        np.testing.assert_array_equal(crystal_groups(atoms, by=by), expected)


@pytest.mark.parametrize("by", ["formula", "chemical_system", "prototype"])
def test_an_unsuitable_structure_is_named(by):
    message = r"^X\[1\] \(Na0\.5\): site 0 is disordered"
    with pytest.raises(StructureError, match=message) as caught:
        crystal_groups([CSCL, DISORDERED], by=by)
    assert caught.value.index == 1


def test_graphs_have_no_prototype(graphs):
    with pytest.raises(TypeError, match=r"do not store pos.*pass the structures"):
        crystal_groups(graphs, by="prototype")


def test_arguments_are_checked():
    for arguments in ({"by": "space_group"}, {"symprec": 0}, {"n_jobs": 1.5}):
        (name,) = arguments
        with pytest.raises(ValueError, match=f"'{name}' parameter of crystal_groups"):
            crystal_groups([CSCL], **arguments)
    with pytest.raises(ValueError, match="X contains no crystals"):
        crystal_groups([])
    with pytest.raises(TypeError, match="X is a single Structure"):
        crystal_groups(CSCL)
