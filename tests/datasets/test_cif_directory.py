import joblib
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CGCNNClassifier
from sklearn_cgcnn.datasets import load_cif_directory
from sklearn_cgcnn.exceptions import CIFDirectoryError

# Old versions of pymatgen use functions that monty has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:gcd is deprecated")

STRUCTURES = {
    "0012": Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0] * 3, [0.5] * 3]),
    "mp-7": Structure(Lattice.cubic(3.4), ["Po"], [[0] * 3]),
    "a b": Structure(Lattice.orthorhombic(3, 4, 5), ["Fe", "O"], [[0] * 3, [0.4] * 3]),
}


@pytest.fixture
def folder(tmp_path):
    for name, structure in STRUCTURES.items():
        (tmp_path / f"{name}.cif").write_text(structure.to(fmt="cif"))
    return tmp_path


def write_table(folder, text):
    (folder / "id_prop.csv").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_structures_ids_and_numbers(folder, n_jobs):
    write_table(folder, "mp-7,1.5\n0012,-2e-1\na b,3\n")
    loaded = load_cif_directory(folder, n_jobs=n_jobs)
    assert loaded.ids == ["mp-7", "0012", "a b"]
    for name, structure in zip(loaded.ids, loaded.data, strict=True):
        assert structure.matches(STRUCTURES[name])
    np.testing.assert_array_equal(loaded.target, [1.5, -0.2, 3])
    assert loaded.target.dtype == np.float64
    assert (loaded.failed, loaded.notes) == ({}, {})
    X, y = load_cif_directory(str(folder), return_X_y=True)
    assert X == loaded.data
    np.testing.assert_array_equal(y, loaded.target)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("mp-7,1\n0012,0\na b,1\n", np.array([1, 0, 1])),
        ("mp-7,metal\n0012,semi\na b,metal\n", np.array(["metal", "semi", "metal"])),
        ("mp-7,1\n0012,\na b,2.5\n", np.array([1, np.nan, 2.5])),
        ("mp-7,1,2\n0012,3,\na b,4,5\n", np.array([[1, 2], [3, np.nan], [4, 5.0]])),
        ("\ufeffmp-7, 1\r\n\r\n0012 ,2\r\na b,3", np.array([1, 2, 3])),
        ("mp-7\n0012\na b\n", np.empty((3, 0))),
        ('"mp-7", "1"\n0012, 2\na b,3\n', np.array([1, 2, 3])),
    ],
    ids=[
        "integers",
        "labels",
        "a gap",
        "two columns",
        "written on Windows",
        "only ids",
        "quoted",
    ],
)
def test_targets(folder, table, expected):
    write_table(folder, table)
    loaded = load_cif_directory(folder)
    assert loaded.ids == ["mp-7", "0012", "a b"]
    assert loaded.target.dtype.kind == expected.dtype.kind or not expected.size
    np.testing.assert_array_equal(loaded.target, expected)


def test_labels_can_be_learned(folder):
    write_table(folder, "mp-7,metal\n0012,salt\na b,salt\n")
    X, y = load_cif_directory(folder, return_X_y=True)
    model = CGCNNClassifier(max_epochs=2, random_state=0).fit(X, y)
    assert model.classes_.tolist() == ["metal", "salt"]


def test_several_data_blocks_are_noted(folder):
    path = folder / "mp-7.cif"
    path.write_text(2 * path.read_text())
    write_table(folder, "mp-7,1\n0012,2\n")
    loaded = load_cif_directory(folder, n_jobs=np.int64(1))
    assert "of 2 data blocks, only the first" in loaded.notes["mp-7"][-1]


def test_other_backends_of_joblib(folder):
    write_table(folder, "mp-7,1\n0012,2\n")
    with joblib.parallel_backend("multiprocessing", n_jobs=2):
        assert load_cif_directory(folder).ids == ["mp-7", "0012"]


def test_files_that_cannot_be_read(folder):
    (folder / "bad.cif").write_text("data_nothing\n_cell_length_a x\n")
    write_table(folder, "bad,1\nmp-7,2\nmissing,3\n0012,4\n")
    with pytest.raises(CIFDirectoryError, match="2 files listed in") as caught:
        load_cif_directory(folder)
    message = str(caught.value)
    for part in ("bad.cif: ", "missing.cif: FileNotFoundError", 'on_error="collect"'):
        assert part in message
    assert set(caught.value.failed) == {"bad", "missing"}
    loaded = load_cif_directory(folder, on_error="collect")
    assert loaded.ids == ["mp-7", "0012"]
    assert loaded.target.tolist() == [2, 4]
    assert len(loaded.data) == 2
    assert loaded.failed == caught.value.failed


def test_many_files_that_cannot_be_read(folder):
    write_table(folder, "".join(f"{n},1\n" for n in range(30)))
    for on_error in ("raise", "collect"):  # no crystal is left to return
        with pytest.raises(CIFDirectoryError, match="and 20 more") as caught:
            load_cif_directory(folder, on_error=on_error)
        assert len(caught.value.failed) == 30


def test_repairs_by_pymatgen_are_noted(folder):
    path = folder / "mp-7.cif"
    path.write_text(path.read_text().replace("  0.00000000", "  0.3333"))
    write_table(folder, "mp-7,1\n0012,2\n")
    loaded = load_cif_directory(folder)
    assert list(loaded.notes) == ["mp-7"]
    assert any("rounded to ideal values" in each for each in loaded.notes["mp-7"])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "is empty; write one line"),
        ("\n , \n", "is empty; write one line"),
        ("mp-7,1\n0012,1,2\n", r"has 2 properties in line 2 \('0012'\), but 1 in l"),
        ("mp-7,1\n0012,2\n\nmp-7,3\n", "'mp-7' in line 1 and again in line 4; delete"),
        ("id,target\nmp-7,1\n", r"id.cif: FileNotFoundError.*\n.*not have a header"),
        ("../mp-7,1\n", r"'../mp-7' in line 1, but an id must be the name of a CIF"),
        (",1\n", r"'' in line 1, but an id must be the name"),
    ],
    ids=["empty", "blank", "ragged", "repeated", "header", "path", "no id"],
)
def test_invalid_tables(folder, table, message):
    write_table(folder, table)
    with pytest.raises(CIFDirectoryError, match=message):
        load_cif_directory(folder)


def test_invalid_folders(folder):
    with pytest.raises(CIFDirectoryError, match=r"id_prop.csv cannot be read"):
        load_cif_directory(folder)
    with pytest.raises(CIFDirectoryError, match="path must be a folder"):
        load_cif_directory(folder / "missing")
    (folder / "id_prop.csv").write_bytes(b"mp-7,\xff\xfe\n")
    with pytest.raises(CIFDirectoryError, match="cannot be read"):
        load_cif_directory(folder)
    with pytest.raises(ValueError, match="on_error"):
        load_cif_directory(folder, on_error="ignore")


def test_the_authors_sample_folders(data_folder):
    original = data_folder / "original"
    loaded = load_cif_directory(original / "sample-regression")
    assert len(loaded.data) == len(loaded.ids) == len(loaded.target) == 10
    labels = load_cif_directory(original / "sample-classification", n_jobs=2).target
    assert set(labels) == {0, 1}
