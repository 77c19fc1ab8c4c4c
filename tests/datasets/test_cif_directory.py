import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import sklearn_cgcnn
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


def load_here(folder, **kwargs):
    """Load without other processes, which take a second to start."""
    return load_cif_directory(folder, time_limit=None, **kwargs)


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("time_limit", [None, 60])
def test_structures_ids_and_numbers(folder, n_jobs, time_limit):
    write_table(folder, "mp-7,1.5\n0012,-2e-1\na b,3\n")
    loaded = load_cif_directory(folder, n_jobs=n_jobs, time_limit=time_limit)
    assert loaded.ids == ["mp-7", "0012", "a b"]
    for name, structure in zip(loaded.ids, loaded.data, strict=True):
        assert structure.matches(STRUCTURES[name])
    np.testing.assert_array_equal(loaded.target, [1.5, -0.2, 3])
    assert loaded.target.dtype == np.float64
    assert (loaded.failed, loaded.notes) == ({}, {})
    X, y = load_here(str(folder), return_X_y=True)
    assert X == loaded.data
    np.testing.assert_array_equal(y, loaded.target)


def test_structures_are_those_of_pymatgen(data_folder):
    folder = data_folder / "original" / "mp150"
    loaded = load_here(folder)
    assert len(loaded.ids) == 150
    for id_, structure in zip(loaded.ids[:40], loaded.data, strict=False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert structure == Structure.from_file(folder / f"{id_}.cif")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("mp-7,1\n0012,0\na b,1\n", np.array([1, 0, 1])),
        ("mp-7,metal\n0012,semi\na b,metal\n", np.array(["metal", "semi", "metal"])),
        ("mp-7,6_3\n0012,2_1\na b,1\n", np.array(["6_3", "2_1", "1"])),
        ("mp-7,1,2\n0012,3,\na b,4,5\n", np.array([[1, 2], [3, np.nan], [4, 5.0]])),
    ],
    ids=["integers", "labels", "screw axes", "two columns"],
)
def test_targets(folder, table, expected):
    write_table(folder, table)
    loaded = load_here(folder)
    assert loaded.ids == ["mp-7", "0012", "a b"]
    assert loaded.target.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(loaded.target, expected)


def test_a_table_without_targets(folder):
    write_table(folder, "mp-7\n0012\n")
    loaded = load_here(folder)
    assert loaded.ids == ["mp-7", "0012"]
    assert loaded.target is None
    X, y = load_here(folder, return_X_y=True)
    assert (X, y) == (loaded.data, None)


def test_a_folder_without_a_table(folder):
    (folder / "mp-7.cif").rename(folder / "mp-7.CIF")
    (folder / "._mp-7.cif").write_text("left by macOS")
    (folder / "notes.txt").write_text("not a crystal")
    (folder / "older.cif").mkdir()
    loaded = load_here(folder)
    assert loaded.ids == ["0012", "a b", "mp-7"]
    assert [len(structure) for structure in loaded.data] == [2, 2, 1]
    assert loaded.target is None


def test_endings_in_upper_case(folder):
    (folder / "mp-7.cif").rename(folder / "mp-7.CIF")
    write_table(folder, "mp-7,1\n0012,2\n")
    assert len(load_here(folder).data[0]) == 1
    (folder / "mp-7.cif").write_text((folder / "0012.cif").read_text())
    if len(list(folder.glob("mp-7*"))) == 1:
        pytest.skip("file names do not depend on case")
    assert len(load_here(folder).data[0]) == 2  # the exact name comes first
    (folder / "id_prop.csv").unlink()
    with pytest.raises(CIFDirectoryError, match=r"mp-7.CIF and mp-7.cif.*rename one"):
        load_here(folder)


def test_labels_can_be_learned(folder):
    write_table(folder, "mp-7,metal\n0012,salt\na b,salt\n")
    X, y = load_here(folder, return_X_y=True)
    model = CGCNNClassifier(max_epochs=2, random_state=0).fit(X, y)
    assert model.classes_.tolist() == ["metal", "salt"]


def test_joblib_sets_the_number_of_processes(folder):
    write_table(folder, "mp-7,1\n0012,2\n")
    with joblib.parallel_backend("multiprocessing", n_jobs=2):
        assert load_here(folder).ids == ["mp-7", "0012"]


def test_files_that_cannot_be_read(folder):
    (folder / "bad.cif").write_text("data_nothing\n_cell_length_a x\n")
    write_table(folder, "bad,1\nmp-7,2\nmissing,3\n0012,4\n")
    with pytest.raises(CIFDirectoryError, match=r"2 CIF files of .* cannot") as caught:
        load_here(folder)
    message = str(caught.value)
    for part in ("bad: _cell_", "missing: FileNotFoundError", 'on_error="collect"'):
        assert part in message
    assert set(caught.value.failed) == {"bad", "missing"}
    loaded = load_here(folder, on_error="collect")
    assert loaded.ids == ["mp-7", "0012"]
    assert loaded.target.tolist() == [2, 4]
    assert len(loaded.data) == 2
    assert loaded.failed == caught.value.failed


def test_many_files_that_cannot_be_read(folder):
    write_table(folder, "".join(f"{n},1\n" for n in range(30)))
    for on_error in ("raise", "collect"):  # no crystal is left to return
        with pytest.raises(CIFDirectoryError, match="and 20 more") as caught:
            load_here(folder, on_error=on_error)
        assert len(caught.value.failed) == 30


def test_notes_and_failures_are_warnings_where_they_are_not_returned(folder):
    path = folder / "mp-7.cif"
    path.write_text(path.read_text().replace("  0.00000000", "  0.3333"))
    write_table(folder, "mp-7,1\nmissing,2\n0012,3\n")
    loaded = load_here(folder, on_error="collect")
    assert list(loaded.notes) == ["mp-7"]
    assert any("rounded to ideal values" in each for each in loaded.notes["mp-7"])
    with pytest.warns(UserWarning, match="1 CIF files of") as caught:
        X, y = load_here(folder, on_error="collect", return_X_y=True)
    assert (X, y.tolist()) == (loaded.data, [1, 3])
    left_out, unusual = (str(each.message) for each in caught)
    assert "1 CIF files of" in left_out
    assert "left out:\n  missing: FileNotFoundError" in left_out
    assert "are unusual; check" in unusual
    assert "mp-7: 3 fractional coordinates rounded to ideal values" in unusual
    assert {each.filename for each in caught} == {__file__}


def test_a_warning_lists_at_most_ten_files(folder):
    write_table(folder, "".join(f"{n},1\n" for n in range(30)) + "mp-7,1\n")
    with pytest.warns(UserWarning, match="and 20 more"):
        load_here(folder, on_error="collect", return_X_y=True)


@pytest.mark.skipif(os.name != "posix", reason="needs a file that never ends")
def test_a_file_that_takes_too_long(folder):
    os.mkfifo(folder / "slow.cif")
    write_table(folder, "mp-7,1\nslow,2\n0012,3\nmissing,4\na b,5\n")
    start = time.monotonic()
    loaded = load_cif_directory(folder, time_limit=5, on_error="collect", n_jobs=2)
    assert time.monotonic() - start < 60
    assert loaded.ids == ["mp-7", "0012", "a b"]
    assert loaded.target.tolist() == [1, 3, 5]
    assert loaded.failed["slow"] == "took longer than 5 s"
    assert loaded.failed["missing"].startswith("FileNotFoundError")
    with pytest.raises(CIFDirectoryError, match="slow: took longer than 5 s"):
        load_cif_directory(folder, time_limit=5)


def test_a_script_needs_no_guard(folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from sklearn_cgcnn.datasets import load_cif_directory\n"
        f"print(len(load_cif_directory({str(folder)!r}, n_jobs=2).data))\n"
    )
    output = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(Path(sklearn_cgcnn.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert output.stdout == "3\n"


def test_the_progress_bar_counts_files(folder, capsys):
    load_here(folder, verbose=1)
    assert "3/3" in capsys.readouterr().err


def test_a_header_is_taken_for_a_missing_file(folder):
    write_table(folder, "id,target\nmp-7,1\n")
    with pytest.raises(
        CIFDirectoryError, match=r"id: FileN.*\n.*\n?.*not have a header"
    ):
        load_here(folder)


def test_invalid_tables(folder):
    write_table(folder, "mp-7,1\nmp-7,2\n")
    with pytest.raises(CIFDirectoryError, match="in line 1 and again in line 2"):
        load_here(folder)
    (folder / "id_prop.csv").unlink()
    (folder / "id_prop.csv").symlink_to(folder / "nowhere.csv")
    with pytest.raises(CIFDirectoryError, match=r"id_prop.csv cannot be read"):
        load_here(folder)


def test_invalid_folders(folder):
    (folder / "empty").mkdir()
    with pytest.raises(CIFDirectoryError, match=r"neither a table id_prop\.csv nor"):
        load_here(folder / "empty")
    for path in ("missing", "mp-7.cif"):
        with pytest.raises(
            CIFDirectoryError, match="is not a folder; path must be one"
        ):
            load_here(folder / path)


@pytest.mark.parametrize(
    "parameter", [{"on_error": "ignore"}, {"time_limit": 0}, {"time_limit": "60"}]
)
def test_invalid_parameters(folder, parameter):
    with pytest.raises(ValueError, match=next(iter(parameter))):
        load_cif_directory(folder, **parameter)


def test_the_authors_sample_folders(data_folder):
    original = data_folder / "original"
    loaded = load_cif_directory(original / "sample-regression")
    assert len(loaded.data) == len(loaded.ids) == len(loaded.target) == 10
    assert list(loaded.notes) == ["1101051"]
    labels = load_cif_directory(original / "sample-classification", n_jobs=2).target
    assert set(labels) == {0, 1}
