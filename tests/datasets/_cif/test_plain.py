"""Crystals that are made without pymatgen's reader are those that it makes."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from cif_mutations import mutate
from cif_readings import assert_same_readings, contents
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.datasets._cif import _file, read_cif

pytestmark = [
    # Of pymatgen, which finds the symmetry: spglib announces another way to raise
    # errors, and old versions use functions that monty has deprecated.
    pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING"),
    pytest.mark.filterwarnings("ignore:gcd is deprecated"),
    pytest.mark.filterwarnings("ignore:Site labels are not unique"),
]

CUBIC, TETRAGONAL, HEXAGONAL = Lattice.cubic, Lattice.tetragonal, Lattice.hexagonal
TEXTBOOK = [
    ("Fm-3m", CUBIC(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    ("Fd-3m", CUBIC(3.57), ["C"], [[0, 0, 0]]),
    ("Pm-3m", CUBIC(3.9), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]),
    (
        "P6_3mc",
        HEXAGONAL(3.8, 6.3),
        ["Zn", "S"],
        [[1 / 3, 2 / 3, z] for z in (0, 3 / 8)],
    ),
    ("P4_2/mnm", TETRAGONAL(4.59, 2.96), ["Ti", "O"], [[0] * 3, [0.305, 0.305, 0]]),
    ("R-3c", HEXAGONAL(4.99, 17.06), ["Ca", "O"], [[0] * 3, [0.257, 0, 1 / 4]]),
]


@pytest.fixture(scope="module")
def texts():
    """CIF files with and without symmetry, and with oxidation states."""
    ionic = make_ionic_crystals(20, random_state=0).data
    crystals = [*(Structure.from_spacegroup(*each) for each in TEXTBOOK), *ionic]
    texts = [str(CifWriter(each)) for each in crystals]
    texts += [str(CifWriter(each, symprec=1e-3)) for each in crystals]
    charged = [each.copy() for each in ionic[:5]]
    for each in charged:
        each.add_oxidation_state_by_guess()
    texts += [str(CifWriter(each)) for each in charged]
    texts += [str(CifWriter(each, symprec=1e-3)) for each in charged]
    return texts


def write(folder, contents):
    files = [folder / f"{index:04}.cif" for index in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return files


def test_written_files(texts, tmp_path, monkeypatch):
    made = assert_same_readings(write(tmp_path, texts), monkeypatch)
    assert all(made)


def test_mutated_files(texts, tmp_path, monkeypatch):
    rng = np.random.RandomState(0)
    mutated = [mutate(texts[i % len(texts)], texts, rng) for i in range(300)]
    made = assert_same_readings(write(tmp_path, mutated), monkeypatch)
    assert sum(made) > 100


def test_published_files(data_folder, monkeypatch):
    files = sorted((data_folder / "original").rglob("*.cif"))
    assert len(files) == 170
    made = assert_same_readings(files, monkeypatch)
    assert sum(made) > 140


def test_symmetry_in_the_style_of_the_open_database(rock_salt, tmp_path, monkeypatch):
    assert assert_same_readings(write(tmp_path, [rock_salt]), monkeypatch) == [True]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.5 0.5 0.5 1.", "0.5 0.5 0.5 .5"),  # partly occupied
        ("Cl1 Cl1-", "D1 D"),
        ("Cl1 Cl1-", "O1 Ow1"),
        ("Cl1 Cl1-", "Cl1 CL"),
        ("Cl1 Cl1-", "He1 He"),  # without an electronegativity
        ("Cl1 Cl1-", "'Cl 1' Cl1-"),
        ("Cl1 Cl1-", "Cl1 '0.5Cl + 0.5Br'"),
        ("0.5 0.5 0.5 1.", "0.5 0.5 0.49995 1."),  # images 1e-4 apart
        ("0.5 0.5 0.5 1.", "0 0 0.00015 1."),  # sites that are almost the same
        ("0.5 0.5 0.5 1.", "0.5 0.5 0.00003 1."),  # an image of the other site
        ("x,y,z\n", "x,y,z+0\n"),
        ("_cell_angle_alpha 90", "_symmetry_cell_setting cubic"),
        ("_cell_length_a 5.62(1)", "_cell_length_a 0.015"),
        ("_cell_volume", "_space_group_magn.name_BNS 'P 1.1'\n_cell_volume"),
    ],
)
def test_all_else_is_left_to_pymatgen(rock_salt, tmp_path, monkeypatch, old, new):
    assert old in rock_salt
    text = rock_salt.replace("x,y+1/2,z+1/2", "x,y+1/2,z+1/2\n-x,-y,-z")
    files = write(tmp_path, [text.replace(old, new)])
    assert assert_same_readings(files, monkeypatch) == [False]


def test_sites_that_are_just_apart(rock_salt, tmp_path, monkeypatch):
    text = rock_salt.replace("0.5 0.5 0.5 1.", "0 0 0.00025 1.")
    assert assert_same_readings(write(tmp_path, [text]), monkeypatch) == [True]


def test_thirds_are_rounded_with_a_note(rock_salt, tmp_path, monkeypatch):
    text = rock_salt.replace("0.5 0.5 0.5", "0.33333 0.6667 0.3334")
    (file,) = write(tmp_path, [text])
    assert assert_same_readings([file], monkeypatch) == [True]
    assert "2 fractional coordinates rounded" in "".join(read_cif(file).notes)
    text = rock_salt.replace("0.5 0.5 0.5", "0.33329 0.6667 0.66661")
    assert assert_same_readings(write(tmp_path, [text]), monkeypatch) == [True]


def test_damaged_operations_are_still_refused(rock_salt, tmp_path, monkeypatch):
    text = rock_salt.replace("x,y+1/2,z+1/2", "x,y+1/3,z+1/2")
    (file,) = write(tmp_path, [text])
    assert assert_same_readings([file], monkeypatch) == [True]
    assert "contradict each other" in read_cif(file).reason


def test_a_wrong_structure_would_be_noticed(rock_salt, tmp_path, monkeypatch):
    (file,) = write(tmp_path, [rock_salt])

    def make_wrong_structure(*args):
        structure, operations = make(*args)
        structure.replace(0, "K")
        return structure, operations

    make = _file.make_plain_structure
    monkeypatch.setattr(_file, "make_plain_structure", make_wrong_structure)
    assert "pymatgen lost site 'Na1'" in read_cif(file).reason


def test_notes_do_not_depend_on_what_was_read_before(rock_salt, read):
    text = rock_salt.replace("Cl1 Cl1-", "Ne1 Ne").replace("'Cl Na'", "'Ne Na'")
    first, second = read(text), read(text)
    assert contents(first) == contents(second)
    assert first.notes == []
