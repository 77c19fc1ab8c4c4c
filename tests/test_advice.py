"""Advice about objects that are not crystals. Where it can be followed, it is."""

from collections import OrderedDict, UserDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import IMolecule, IStructure, Lattice, Molecule, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn._advice import describe_container, describe_item
from sklearn_cgcnn.datasets import load_cif_directory, make_ionic_crystals

PO = Structure(Lattice.cubic(3.4), ["Po"], [[0] * 3])
WATER = Molecule(["O", "H", "H"], [[0] * 3, [0, 0, 1], [1, 0, 0]])


@pytest.fixture
def folder(tmp_path):
    PO.to(tmp_path / "po.cif")
    (tmp_path / "id_prop.csv").write_text("po,1.0\n")
    return tmp_path


def follow(advice, names):
    """Evaluate the expression that a message says to pass."""
    return eval(advice, {"Structure": Structure, **names})


@pytest.mark.parametrize(
    ("X", "advice"),
    [
        (PO, "[X]"),
        (IStructure.from_sites(PO.sites), "[X]"),
        (make_ionic_crystals(3, random_state=0), "X.data"),
        (dict(make_ionic_crystals(3, random_state=0)), 'X["data"]'),
        ({"po": PO}, "list(X.values())"),
        (UserDict(po=PO), "list(X.values())"),
        (OrderedDict(po=PO), "list(X.values())"),
        (PO.as_dict(), "[Structure.from_dict(X)]"),
        (iter([PO]), "list(X)"),
        ((each for each in [PO]), "list(X)"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_what_to_pass_as_x(X, advice):
    message = describe_container(X)
    assert f"pass {advice}. X must be a list" in message
    assert len(CrystalGraphFeaturizer().transform(follow(advice, {"X": X}))) >= 1


def test_a_bunch_of_a_loader_is_answered_by_its_data(folder):
    crystals = load_cif_directory(folder)
    with pytest.raises(TypeError, match=r"X is a Bunch; pass X\.data\."):
        CrystalGraphFeaturizer().fit(crystals)
    assert len(CrystalGraphFeaturizer().transform(crystals.data)) == 1


@pytest.mark.parametrize("as_path", [str, Path, lambda path: str(path).encode()])
def test_paths_are_answered_by_readers(folder, as_path):
    path = as_path(folder / "po.cif")
    assert "[Structure.from_file(X)], or a folder with a loader" in (
        describe_container(path)
    )
    message = describe_item(path)
    assert "read the file with Structure.from_file, or its folder with " in message
    assert "sklearn_cgcnn.datasets.load_cif_directory, or leave it out" in message
    with pytest.raises(TypeError, match=r"X\[0\] is of type .*Structure.from_file"):
        CrystalGraphFeaturizer().transform([path])


def test_the_advice_about_paths_works(folder):
    read = [Structure.from_file(folder / "po.cif"), *load_cif_directory(folder).data]
    assert len(CrystalGraphFeaturizer().transform(read)) == 2


@pytest.mark.parametrize("molecule", [WATER, IMolecule.from_sites(WATER.sites)])
def test_molecules_get_a_box(molecule):
    box = "get_boxed_structure(10, 10, 10)"
    assert f"which has no lattice; give it one, e.g. with {box}, and pass" in (
        describe_container(molecule)
    )
    assert f"(H2 O1), which has no lattice; give it one, e.g. with {box}, or" in (
        describe_item(molecule)
    )
    boxed = molecule.get_boxed_structure(10, 10, 10)
    assert len(CrystalGraphFeaturizer().transform([boxed])) == 1


@pytest.mark.parametrize(
    ("item", "advice"),
    [
        (None, "is of type NoneType; leave it out"),
        (PO.as_dict(), "with Structure.from_dict, or leave it out"),
        (PO.to(fmt="cif"), 'Structure.from_str, e.g. with fmt="cif", or leave'),
        (ComputedStructureEntry(PO, 0.0), "pass its attribute structure, or leave"),
        ([PO], "pass the structures in it as items of X, or leave"),
        ((PO, PO), "pass the structures in it as items of X, or leave"),
        (np.zeros(3), "e.g. with Structure(lattice, species, coords) of pymatgen"),
        (np.array(3), "Structure(lattice, species, coords)"),
        (2.5, "e.g. with Structure(lattice, species, coords) of pymatgen"),
        ((np.eye(3), [[0] * 3], [84]), "Structure(lattice, species, coords)"),
        (SimpleNamespace(cell=1), "Structure(lattice, species, coords)"),
        (pd.DataFrame({"a": [1]}), "Structure(lattice, species, coords)"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:9],
)
def test_what_to_do_about_an_item_of_x(item, advice):
    assert advice in describe_item(item)
    with pytest.raises(TypeError, match=rf"X\[1\] is of type {type(item).__name__}"):
        CrystalGraphFeaturizer().transform([PO, item])


def test_the_advice_about_items_works():
    cell = (PO.lattice.matrix, PO.frac_coords, PO.atomic_numbers)
    followed = [
        Structure.from_dict(PO.as_dict()),
        Structure.from_str(PO.to(fmt="cif"), fmt="cif"),
        ComputedStructureEntry(PO, 0.0).structure,
        Structure(cell[0], cell[2], cell[1]),
    ]
    graphs = CrystalGraphFeaturizer().transform(followed)
    expected = CrystalGraphFeaturizer().transform([PO] * len(followed))
    np.testing.assert_allclose(graphs.distances, expected.distances)
