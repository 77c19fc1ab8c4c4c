"""Readers that yield crystals one after another."""

import gzip
import itertools
import json

import numpy as np
import pytest

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import (
    iter_ase_database,
    iter_cif_directory,
    iter_extended_xyz,
    iter_json_lines,
    iter_packed_arrays,
)
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import Failure


@pytest.fixture(scope="module")
def structures(irregular):
    return irregular[:5]


def json_lines(structures, path):
    lines = [
        json.dumps({"id": f"mp-{i}", "structure": s.as_dict(), "gap": i})
        for i, s in enumerate(structures)
    ]
    path.write_text("\n".join([*lines[:3], "", *lines[3:], ""]))
    return (
        iter_json_lines,
        {"id_key": "id"},
        lambda text: text.replace("sites", "s", 1),
    )


def extended_xyz(structures, path):
    import ase.io
    from pymatgen.io.ase import AseAtomsAdaptor

    frames = []
    for i, structure in enumerate(structures):
        atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
        atoms.info = {"id": f"mp-{i}", "gap": i}
        frames.append(atoms)
    ase.io.write(path, frames, format="extxyz")
    return iter_extended_xyz, {"id_key": "id"}, lambda text: text.replace("0.", "x.", 1)


@pytest.fixture(params=[json_lines, extended_xyz])
def reader(request, structures, tmp_path):
    path = tmp_path / "crystals.txt"
    return *request.param(structures, path), path


def assert_same_crystals(entries, structures, atol=1e-6):
    entries = list(entries)
    assert len(entries) == len(structures)
    for entry, structure in zip(entries, structures, strict=True):
        assert entry.crystal.species == structure.species
        np.testing.assert_allclose(
            entry.crystal.distance_matrix, structure.distance_matrix, atol=atol
        )
    return entries


@pytest.mark.parametrize("compressed", [False, True])
def test_text_files(reader, structures, compressed):
    iterate, options, _, path = reader
    if compressed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    entries = assert_same_crystals(iterate(path, **options), structures)
    assert [entry.id for entry in entries] == [f"mp-{i}" for i in range(5)]
    assert [entry.properties["gap"] for entry in entries] == list(range(5))
    assert [entry.id for entry in iterate(path)] == ["0", "1", "2", "3", "4"]


def test_bad_entries_of_text_files(reader, structures):
    iterate, options, damage, path = reader
    path.write_text(damage(path.read_text()))
    with pytest.raises(StructureError, match=rf"{path}: entry 0 .*on_error="):
        list(iterate(path, **options))
    bad, *others = iterate(path, on_error="collect", **options)
    assert isinstance(bad.crystal, Failure)
    assert_same_crystals(others, structures[1:])
    crystals = (each.crystal for each in iterate(path, on_error="collect", **options))
    graphs = CrystalGraphFeaturizer(on_error="collect").transform(crystals)
    assert dict(graphs.failed) == {0: bad.crystal.reason}


def test_bytes_of_another_encoding_do_not_end_a_file(reader, structures):
    iterate, options, _, path = reader
    path.write_bytes(path.read_bytes().replace(b"mp-2", "mp-ü".encode("latin-1")))
    entries = assert_same_crystals(iterate(path, **options), structures)
    assert [entry.id for entry in entries] == ["mp-0", "mp-1", "mp-�", "mp-3", "mp-4"]


def test_one_entry_is_read_at_a_time(reader):
    iterate, options, _, path = reader
    text = path.read_text()
    path.write_text(text + text[: len(text) // 2] + "\n}")
    assert len(list(itertools.islice(iterate(path, **options), 5))) == 5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is a list, not a JSON object"),
        ('{"a": 1}', "line 2 has no structure under the key 'structure'"),
        ('{"structure": {"a": 1}}', r"is no structure \("),
    ],
)
def test_bad_json_lines(structures, tmp_path, line, reason):
    path = tmp_path / "crystals.jsonl"
    plain = [json.dumps(each.as_dict()) for each in structures[:2]]
    path.write_text("\n".join([plain[0], line, plain[1]]))
    first, bad, second = iter_json_lines(path, on_error="collect")
    assert_same_crystals([first, second], structures[:2])
    with pytest.raises(StructureError, match=reason):
        list(iter_json_lines(path))
    assert bad.id == "1"


def test_results_of_crystals_are_kept_and_those_of_sites_are_not(tmp_path):
    path = tmp_path / "frame.xyz"
    path.write_text(
        """3
Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3:forces:R:3 dipole="1 2 3"
H 0 0 0 0 0 1
H 1 0 0 0 0 1
O 0 1 0 0 0 1
"""
    )
    [entry] = iter_extended_xyz(path)
    assert {name: list(value) for name, value in entry.properties.items()} == {
        "dipole": [1, 2, 3]
    }


def test_a_frame_without_its_number_of_sites_ends_the_file(tmp_path):
    path = tmp_path / "frames.xyz"
    frame = '1\nLattice="3 0 0 0 3 0 0 0 3"\nPo 0 0 0\n'
    path.write_text(f"{frame}\n1\nno cell\nPo 0 0 0\n{frame}Po 1 1 1\n{frame}")
    entries = iter_extended_xyz(path, on_error="collect")
    first, without_cell, _ = itertools.islice(entries, 3)
    assert first.crystal.formula == "Po1"
    assert "has no cell" in without_cell.crystal.reason
    with pytest.raises(
        StructureError, match=r"line 11 is 'Po 1 1 1', but a frame must"
    ):
        next(entries)


def test_ase_databases(structures, tmp_path):
    import ase.db
    from ase import Atoms
    from pymatgen.io.ase import AseAtomsAdaptor

    path = tmp_path / "crystals.db"
    with ase.db.connect(path) as database:
        for i, structure in enumerate(structures):
            atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
            database.write(atoms, gap=i / 2)
        database.write(Atoms("H2", [[0, 0, 0], [0, 0, 1]]))
    *entries, bad = iter_ase_database(path, on_error="collect")
    entries = assert_same_crystals(entries, structures)
    assert [entry.properties for entry in entries] == [{"gap": i / 2} for i in range(5)]
    assert "no cell" in bad.crystal.reason
    assert [entry.id for entry in iter_ase_database(path, selection="gap>1")] == [
        "4",
        "5",
    ]
    with pytest.raises(StructureError, match=r"crystals.db: entry 5 \(id '6'\)"):
        list(iter_ase_database(path))
    with pytest.raises(FileNotFoundError, match=r"nowhere.db does not exist"):
        iter_ase_database(tmp_path / "nowhere.db")


def pack(structures):
    return {
        "n_sites": np.array([len(each) for each in structures]),
        "atomic_numbers": np.concatenate([each.atomic_numbers for each in structures]),
        "positions": np.concatenate([each.cart_coords for each in structures]),
        "cell": np.array([each.lattice.matrix for each in structures]),
        "gap": np.arange(len(structures)) / 2,
        "title": np.array("of all crystals"),
    }


@pytest.mark.parametrize("where", ["memory", "file", "folder"])
@pytest.mark.parametrize("scaled", [False, True])
def test_packed_arrays(structures, tmp_path, where, scaled):
    source = arrays = pack(structures)
    if scaled:
        del arrays["positions"]
        arrays["frac"] = np.concatenate([each.frac_coords for each in structures])
    if where == "file":
        source = tmp_path / "crystals.npz"
        np.savez(source, **arrays)
    elif where == "folder":
        source = tmp_path
        for name, array in arrays.items():
            np.save(source / f"{name}.npy", array)
    names = {"numbers": "atomic_numbers", "scaled_positions": "frac"}
    entries = assert_same_crystals(
        iter_packed_arrays(source, names=names), structures, atol=1e-9
    )
    assert [entry.id for entry in entries] == ["0", "1", "2", "3", "4"]
    assert [entry.properties for entry in entries] == [{"gap": i / 2} for i in range(5)]


def test_files_of_other_formats_have_no_packed_arrays(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "crystals.txt").write_text("Po")
    for name in ("array.npy", "crystals.txt"):
        with pytest.raises(ValueError, match=rf"{name}' is not a file .npz; pass"):
            iter_packed_arrays(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        iter_packed_arrays(tmp_path / "nowhere.npz")


def test_bad_packed_arrays(structures):
    arrays = pack(structures)
    with pytest.raises(ValueError, match=r"source has no array 'numbers'.*names="):
        iter_packed_arrays(arrays)
    arrays["numbers"] = arrays.pop("atomic_numbers")
    unplaced = {k: v for k, v in arrays.items() if k != "positions"}
    with pytest.raises(ValueError, match=r"'scaled.* \(nor 'positions'\).*{'scaled"):
        iter_packed_arrays(unplaced)
    with pytest.raises(ValueError, match=r"ids has shape \(4,\), but .* for \(5,\)"):
        iter_packed_arrays({**arrays, "ids": np.arange(4)})
    for name, message in (("cell", r"\(5, 3, 3\)"), ("positions", r"\(\d+, 3\)")):
        with pytest.raises(ValueError, match=f"{name} has shape .* asks for {message}"):
            iter_packed_arrays({**arrays, name: arrays[name][1:]})
    with pytest.raises(ValueError, match="n_sites has shape"):
        iter_packed_arrays({**arrays, "n_sites": arrays["n_sites"] / 2})
    arrays["numbers"][0] = 0
    bad, *others = iter_packed_arrays(arrays, on_error="collect")
    assert "is no structure" in bad.crystal.reason
    assert_same_crystals(others, structures[1:])
    with pytest.raises(StructureError, match="source: entry 0"):
        next(iter_packed_arrays(arrays))


def test_cif_folders(ionic, tmp_path):
    structures = ionic.data[:5]
    for i, structure in enumerate(structures):
        structure.to(str(tmp_path / f"{i}.cif"))
    (tmp_path / "3.cif").write_text("data_x")
    table = "".join(f"{i},{i}.5,metal\n" for i in (4, 3, 0))
    (tmp_path / "id_prop.csv").write_text(table)
    entries = list(iter_cif_directory(tmp_path, on_error="collect", time_limit=None))
    assert [entry.id for entry in entries] == ["4", "3", "0"]
    expected = {"property_0": 4.5, "property_1": "metal"}
    assert expected.items() <= entries[0].properties.items()
    found = [entry.crystal.composition for entry in entries[::2]]
    assert found == [structures[4].composition, structures[0].composition]
    assert isinstance(entries[1].crystal, Failure)
    with pytest.raises(StructureError, match="entry 1"):
        list(iter_cif_directory(tmp_path, time_limit=None))
