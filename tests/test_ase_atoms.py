"""ASE Atoms: conversion, and occupancies, which ASE keeps beside the sites."""

import io

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import StructureError

ase = pytest.importorskip("ase")

from ase.build import bulk, graphene  # noqa: E402
from ase.io import read, write  # noqa: E402
from ase.spacegroup import crystal  # noqa: E402

CIF = """data_salt
_cell_length_a 5.6
_cell_length_b 5.6
_cell_length_c 5.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
_space_group_IT_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}
"""


def transform(atoms):
    return CrystalGraphFeaturizer().transform([atoms])


def salt(**occupancy):
    """Rock salt by ASE: chlorine, and cations that share the other site."""
    symbols, n = [*occupancy, "Cl"], len(occupancy)
    return crystal(
        symbols,
        [[0] * 3] * n + [[0.5] * 3],
        occupancies=[*occupancy.values(), 1],
        spacegroup=225,
        cellpar=[5.6, 5.6, 5.6, 90, 90, 90],
        onduplicates="keep",
    )


# The same cations by pymatgen, for each of these occupancies: what is refused of a
# Structure is refused of Atoms.
SHARES = {
    "full": {"Na": 1.0},
    "dust": {"Na": 0.9999999},
    "more dust": {"Na": 1.0000001},
    "trace": {"Na": 1.0, "K": 1e-7},
    "shared": {"Na": 0.7, "K": 0.3},
    "vacancies": {"Na": 0.99},
    "shared, with vacancies": {"Na": 0.5, "K": 0.3},
}


@pytest.mark.parametrize("name", SHARES)
def test_occupancies_decide_as_in_a_structure(name):
    atoms, shares = salt(**SHARES[name]), SHARES[name]
    structure = Structure.from_spacegroup(
        "Fm-3m",
        Lattice.cubic(5.6),
        ["Na", "Cl"],
        [[0] * 3, [0.5] * 3],
    )
    if name in ("full", "dust", "more dust", "trace"):
        graphs, expected = transform(atoms), transform(structure)
        np.testing.assert_allclose(graphs.distances, expected.distances)
        return
    for site in range(4):
        structure[site] = shares
    with pytest.raises(StructureError, match=r"X\[0\] \(.*\): site 0 is disordered"):
        transform(structure)
    with pytest.raises(
        StructureError,
        match=r"X\[0\] \(Cl4Na4\): site 0 is disordered \(Na:.*occupancy",
    ):
        transform(atoms)


def test_a_disordered_site_is_named_whatever_its_place():
    """Chlorine comes first, so that the first disordered site is the fifth."""
    atoms = crystal(
        ["Cl", "Na", "K"],
        [[0.5] * 3, [0] * 3, [0] * 3],
        occupancies=[1, 0.6, 0.4],
        spacegroup=225,
        cellpar=[5.6, 5.6, 5.6, 90, 90, 90],
        onduplicates="keep",
    )
    with pytest.raises(StructureError, match=r"site 4 is disordered \(Na:0.6, K:0.4,"):
        transform(atoms)
    # In a part of the crystal without such sites, their occupancies do not matter.
    assert transform(atoms[:4]).multiplicity.sum() == 4


@pytest.mark.parametrize("as_key", [str, int])
@pytest.mark.parametrize("place", ["spacegroup_kinds", "tags", "position", "unknown"])
def test_kinds_by_any_key(as_key, place):
    atoms = salt(Na=1)
    kinds = atoms.arrays["spacegroup_kinds"].tolist()
    shares = [{"Na": 1}, {"Cl": 0.5, "F": 0.5}]
    if place != "spacegroup_kinds":
        del atoms.arrays["spacegroup_kinds"]
    if place == "tags":
        atoms.set_tags(kinds)
    atoms.info["occupancy"] = {as_key(kind): shares[kind] for kind in range(2)}
    if place == "position":
        atoms.info["occupancy"] = {as_key(i): shares[k] for i, k in enumerate(kinds)}
    site = "the site of kind 1" if place == "unknown" else "site 4"
    with pytest.raises(StructureError, match=rf"\): {site} is disordered \(Cl:0.5"):
        transform(atoms)
    full = {key: {next(iter(each)): 1} for key, each in atoms.info["occupancy"].items()}
    atoms.info["occupancy"] = full
    assert transform(atoms).multiplicity.sum() == 8


@pytest.mark.parametrize(
    "species",
    [{"Fe2+": 0.4, "Fe3+": 0.6}, {"D": 1.0}, {"H": 0.5, "D": 0.5}],
    ids=str,
)
def test_ions_and_isotopes_of_one_element_fill_a_site(species):
    atoms = bulk("Fe")
    atoms.info["occupancy"] = {"0": species}
    assert transform(atoms).n_sites == 1


@pytest.mark.parametrize("species", [{"Fe": -1}, {"Fe": "full"}, {"Fe": None}, {}])
def test_occupancies_that_are_no_numbers_are_refused(species):
    atoms = bulk("Fe")
    atoms.info["occupancy"] = {"0": species}
    with pytest.raises(StructureError, match=r"site 0 is disordered .*del atoms\.info"):
        transform(atoms)


@pytest.mark.parametrize("occupancy", [None, 1.0, "full", [0.5], {}, {"0": 0.5}])
def test_entries_that_ase_does_not_write_are_ignored(occupancy):
    atoms = bulk("Fe")
    atoms.info["occupancy"] = occupancy
    assert transform(atoms).n_sites == 1


@pytest.mark.parametrize("name", ["occupancy", "occupancies"])
@pytest.mark.parametrize(
    ("shares", "site"), [([1, 1], None), ([1.0, 0.9999999], None), ([1, 0.5], 1)]
)
def test_occupancies_in_an_array(name, shares, site):
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.set_array(name, np.array(shares))
    if site is None:
        assert transform(atoms).n_sites == 2
        return
    with pytest.raises(StructureError, match=rf"site {site} .*Cl:0.5, by .*\[.{name}"):
        transform(atoms)
    del atoms.arrays[name]  # as the message says
    assert transform(atoms).n_sites == 2


@pytest.mark.parametrize(
    ("sites", "is_disordered"),
    [
        ("Na1 Na 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1.0000", False),
        ("Na1 Na 0 0 0 0.8\nK1 K 0 0 0 0.2\nCl1 Cl 0.5 0.5 0.5 1", True),
        ("Na1 Na 0 0 0 0.8\nCl1 Cl 0.5 0.5 0.5 1", True),
    ],
)
@pytest.mark.parametrize("through", [None, "extxyz", "json"])
def test_cif_files_that_ase_reads(tmp_path, sites, is_disordered, through):
    atoms = read(io.StringIO(CIF.format(sites=sites)), format="cif")
    if through:
        write(tmp_path / "atoms", atoms, format=through)
        atoms = read(tmp_path / "atoms", format=through)
    if not is_disordered:
        assert transform(atoms).n_sites == 2
    elif "occupancy" in atoms.info:  # ASE's own JSON format drops it
        with pytest.raises(StructureError, match="is disordered"):
            transform(atoms)
        del atoms.info["occupancy"]  # as the message says
        assert transform(atoms).n_sites == 2
    else:
        assert through == "json"


# Cells


def test_the_remedy_for_atoms_without_a_cell():
    for atoms in (ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), graphene(vacuum=None)):
        with pytest.raises(
            StructureError, match=r"X\[0\] .*center\(vacuum=5\), and set atoms.pbc"
        ):
            transform(atoms)
        atoms.center(vacuum=5)
        atoms.pbc = True
        assert transform(atoms).multiplicity.sum() == 2
