"""Copies of structures that carry the contributions of their sites."""

import json

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import IStructure, Lattice, Structure

from helpers import SMALL
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.inspection import site_contributions, with_site_contributions

DISORDERED = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])


def test_copies_carry_the_contributions(site_model, ionic):
    before = [crystal.copy() for crystal in ionic.data]
    copies = with_site_contributions(site_model, ionic.data)
    contributions = site_contributions(site_model, ionic.data)
    assert len(copies) == len(ionic.data)
    for copy, crystal, values in zip(copies, ionic.data, contributions, strict=True):
        assert copy is not crystal
        assert copy.site_properties == {"contribution": values.tolist()}
        assert [site.properties["contribution"] for site in copy] == values.tolist()
        assert copy.lattice == crystal.lattice
        np.testing.assert_array_equal(copy.frac_coords, crystal.frac_coords)
        assert copy.species == crystal.species
    # The input is as it was.
    assert ionic.data == before
    assert not any(crystal.site_properties for crystal in ionic.data)


def test_what_else_a_structure_holds_is_kept(site_model, ionic):
    crystal = ionic.data[0].copy()
    own = list(range(len(crystal)))
    crystal.add_site_property("magmom", own)
    crystal.add_site_property("contribution", own)
    crystal.properties["source"] = "generated"
    crystal.add_oxidation_state_by_guess()
    for given in (crystal, IStructure.from_sites(crystal, properties={"source": 1})):
        (copy,) = with_site_contributions(site_model, [given])
        assert type(copy) is type(given)
        assert copy.site_properties["magmom"] == own
        assert copy.site_properties["contribution"] != own
        assert given.site_properties["contribution"] == own
        assert copy.properties == given.properties
        assert copy.species == given.species


def test_the_copies_can_be_stored(site_model, ionic):
    (copy,) = with_site_contributions(site_model, ionic.data[:1])
    again = Structure.from_dict(json.loads(json.dumps(copy.as_dict())))
    assert again.site_properties == copy.site_properties


def test_several_columns_are_lists(ionic):
    model = CGCNNClassifier(readout="site", **SMALL).fit(ionic.data, ionic.prototype)
    (copy,) = with_site_contributions(model, ionic.data[:1])
    (expected,) = site_contributions(model, ionic.data[:1])
    assert copy.site_properties["contribution"] == expected.tolist()
    assert expected.shape == (len(copy), len(model.classes_))


def test_ase_atoms_become_structures(site_model, ionic):
    crystal = ionic.data[0]
    atoms = Atoms(
        [site.specie.symbol for site in crystal],
        positions=crystal.cart_coords,
        cell=crystal.lattice.matrix,
        pbc=True,
    )
    (copy,) = with_site_contributions(site_model, [atoms])
    (expected,) = site_contributions(site_model, [crystal])
    assert isinstance(copy, Structure)
    np.testing.assert_allclose(
        copy.site_properties["contribution"], expected, rtol=1e-5
    )


def test_none_takes_the_place_of_a_crystal_that_failed(site_model, ionic):
    model = CGCNNRegressor(readout="site", on_error="collect", **SMALL)
    model.fit(ionic.data, ionic.target)
    first, last = ionic.data[:2]
    mixed = [first, DISORDERED, "NaCl", last]
    found = with_site_contributions(model, mixed)
    assert [each is None for each in found] == [False, True, True, False]
    assert found[3].species == last.species
    with pytest.raises(StructureError, match=r"X\[1\].*disordered"):
        with_site_contributions(site_model, [first, DISORDERED])
    with pytest.raises(TypeError, match=r"X\[1\] is of type str"):
        with_site_contributions(site_model, [first, "NaCl"])


def test_graphs_have_no_positions(site_model, graphs):
    for X in (graphs, [graphs[:2], graphs[2:]]):
        with pytest.raises(
            TypeError, match=r"X holds crystal graphs, .*; pass the str"
        ):
            with_site_contributions(site_model, X)
