import gzip
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pooch
import pytest
import requests
from matminer.datasets import dataset_retrieval, get_available_datasets
from numpy.testing import assert_array_equal
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from sklearn_cgcnn.datasets import fetch_matminer
from sklearn_cgcnn.datasets._matminer import _find_structure_column, _read_metadata
from sklearn_cgcnn.exceptions import DatasetIntegrityError, DatasetUnavailableError

STRUCTURES = [
    Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]]),
]
ADDRESS = "https://data.example/files/1"


class FakeMatminer:
    """Replaces the datasets of matminer by datasets of two crystals in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.metadata = {}

    def add(self, name, columns, *, url=ADDRESS, write=True):
        """Publish a dataset and, if write is True, save its file to the folder."""
        content = self.encode(columns)
        self.metadata[name] = {
            "bibtex_refs": [],
            "columns": {column: f"About {column}, in meV." for column in columns},
            "description": f"The dataset {name}.",
            "file_type": "json.gz",
            "hash": hashlib.sha256(content).hexdigest(),
            "num_entries": len(STRUCTURES),
            "reference": "A. Nonymous (2018).",
            "url": url,
        }
        path = self.folder / f"{name}.json.gz"
        if write:
            path.write_bytes(content)
        return path, content

    @staticmethod
    def encode(columns):
        rows = list(zip(*columns.values(), strict=True))
        frame = {"columns": list(columns), "index": [0, 1], "data": rows}
        text = json.dumps(frame, default=lambda structure: structure.as_dict())
        # Without a time stamp, the same dataset always has the same hash.
        return gzip.compress(text.encode(), mtime=0)


@pytest.fixture
def matminer(monkeypatch, tmp_path):
    fake = FakeMatminer(tmp_path)
    monkeypatch.setattr(dataset_retrieval, "_dataset_dict", fake.metadata)
    monkeypatch.setenv("MATMINER_DATA", str(tmp_path))
    return fake


@pytest.fixture
def no_download(monkeypatch):
    def retrieve(*args, **kwargs):
        pytest.fail("a download was attempted")

    monkeypatch.setattr(pooch, "retrieve", retrieve)


@pytest.fixture
def serve(monkeypatch):
    """Function that starts a server with a fixed response, and returns its URL."""
    for proxy in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(proxy, "127.0.0.1")
    servers = []

    def start(status, body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/dataset"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


# Returned values


def test_all_attributes_are_returned(matminer, no_download):
    path, _ = matminer.add(
        "matbench_fake", {"structure": STRUCTURES, "gap": [5.5, 0.0]}
    )
    dataset = fetch_matminer("matbench_fake")
    assert dataset.data == STRUCTURES
    assert_array_equal(dataset.target, [5.5, 0.0])
    assert dataset.target_names == ["gap"]
    assert list(dataset.frame) == ["gap"]
    assert dataset.column_descriptions == {
        "structure": "About structure, in meV.",
        "gap": "About gap, in meV.",
    }
    assert dataset.units == {"gap": "About gap, in meV."}
    assert dataset.filename == str(path)
    for text in ("matbench_fake", "Entries: 2", "`gap`", "A. Nonymous", ADDRESS):
        assert text in dataset.DESCR


def test_return_X_y_returns_structures_and_target(matminer):
    matminer.add("matbench_fake", {"structure": STRUCTURES, "gap": [5.5, 0.0]})
    X, y = fetch_matminer("matbench_fake", return_X_y=True)
    assert X == STRUCTURES
    assert_array_equal(y, [5.5, 0.0])


def test_several_targets_are_columns_in_the_requested_order(matminer):
    columns = {"structure": STRUCTURES, "a": [1.0, 2.0], "b": [3, 4], "c": [5, 6]}
    matminer.add("moduli", columns)
    dataset = fetch_matminer("moduli", target=["c", "a"])
    assert_array_equal(dataset.target, [[5.0, 1.0], [6.0, 2.0]])
    assert dataset.target_names == ["c", "a"]
    assert fetch_matminer("moduli", target=["b"]).target.shape == (2, 1)
    assert fetch_matminer("moduli", target="b").target.shape == (2,)


@pytest.mark.parametrize("values", [[None, 2.0], [None, 2], [None, True]])
def test_rows_without_a_target_are_kept(matminer, values):
    matminer.add("gaps", {"structure": STRUCTURES, "gap": values})
    dataset = fetch_matminer("gaps")
    assert len(dataset.data) == len(dataset.frame) == 2
    assert dataset.target.dtype == float
    assert_array_equal(dataset.target, [np.nan, float(values[1])])


def test_labels_stay_boolean(matminer):
    matminer.add("metals", {"structure": STRUCTURES, "is_metal": [False, True]})
    target = fetch_matminer("metals").target
    assert target.dtype == bool
    assert_array_equal(target, [False, True])


def test_relaxed_structures_are_preferred(matminer):
    columns = {
        "initial_structure": STRUCTURES[::-1],
        "final_structure": STRUCTURES,
        "energy": [1.0, 2.0],
    }
    matminer.add("relaxations", columns)
    dataset = fetch_matminer("relaxations")
    assert dataset.data == STRUCTURES
    assert list(dataset.frame) == ["initial_structure", "energy"]


# Location of the file


def test_data_home_has_priority_over_the_environment(
    matminer, monkeypatch, no_download
):
    path, _ = matminer.add("gaps", {"structure": STRUCTURES, "gap": [1.0, 2.0]})
    monkeypatch.setenv("MATMINER_DATA", str(matminer.folder / "elsewhere"))
    for data_home in (matminer.folder, str(matminer.folder)):
        assert fetch_matminer("gaps", data_home=data_home).filename == str(path)


def test_missing_file(matminer, no_download):
    path, _ = matminer.add(
        "gaps", {"structure": STRUCTURES, "gap": [1.0, 2.0]}, write=False
    )
    with pytest.raises(DatasetUnavailableError) as caught:
        fetch_matminer("gaps", download_if_missing=False)
    for text in (str(path), ADDRESS, "data_home", "MATMINER_DATA"):
        assert text in str(caught.value)


def test_missing_network(matminer, monkeypatch):
    path, _ = matminer.add(
        "gaps", {"structure": STRUCTURES, "gap": [1.0, 2.0]}, write=False
    )
    cause = requests.ConnectionError("Name or service not known")

    def retrieve(*args, **kwargs):
        raise cause

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(DatasetUnavailableError) as caught:
        fetch_matminer("gaps")
    assert caught.value.__cause__ is cause
    for text in (str(path), ADDRESS, str(cause), "data_home", "MATMINER_DATA"):
        assert text in str(caught.value)


@pytest.mark.parametrize("verbose", [False, True])
def test_download(matminer, serve, capsys, verbose):
    columns = {"structure": STRUCTURES, "gap": [1.0, 2.0]}
    url = serve(200, matminer.encode(columns))
    path, content = matminer.add("gaps", columns, url=url, write=False)
    dataset = fetch_matminer("gaps", verbose=verbose)
    assert dataset.data == STRUCTURES
    assert path.read_bytes() == content
    assert ("100%" in capsys.readouterr().err) == verbose


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"not found"), (202, b""), (200, b"<html>Log in first</html>")],
)
def test_an_error_page_is_not_saved_as_data(matminer, serve, status, body):
    path, _ = matminer.add(
        "gaps",
        {"structure": STRUCTURES, "gap": [1.0, 2.0]},
        url=serve(status, body),
        write=False,
    )
    with pytest.raises(DatasetUnavailableError, match="could not be downloaded"):
        fetch_matminer("gaps", verbose=False)
    assert list(path.parent.iterdir()) == []


def test_another_file_is_refused_and_not_deleted(matminer, no_download):
    path, content = matminer.add("gaps", {"structure": STRUCTURES, "gap": [1.0, 2.0]})
    altered = matminer.encode({"structure": STRUCTURES, "gap": [1.0, 3.0]})
    path.write_bytes(altered)
    with pytest.raises(DatasetIntegrityError) as caught:
        fetch_matminer("gaps")
    expected, actual = (hashlib.sha256(b).hexdigest() for b in (content, altered))
    for text in (str(path), expected, actual, ADDRESS, "Delete it"):
        assert text in str(caught.value)
    assert path.read_bytes() == altered


# Arguments


def test_unknown_name_with_and_without_similar_names(matminer):
    matminer.add("matbench_phonons", {"structure": STRUCTURES, "peak": [1.0, 2.0]})
    with pytest.raises(ValueError, match="Similar names: matbench_phonons"):
        fetch_matminer("matbench_phonon")
    with pytest.raises(ValueError, match="get_available_datasets"):
        fetch_matminer("xyz")


def test_dataset_without_structures(matminer, no_download):
    matminer.add("steels", {"composition": ["Fe", "Cr"], "yield": [1.0, 2.0]})
    matminer.add("gaps", {"structure": STRUCTURES, "gap": [1.0, 2.0]})
    with pytest.raises(
        ValueError, match=r"no structures.*\['composition', 'yield'\].*gaps"
    ):
        fetch_matminer("steels")


def test_target_is_required_if_there_are_several_numeric_columns(matminer):
    columns = {
        "structure": STRUCTURES,
        "formula": ["CsCl", "Po"],
        "gap": [5.5, None],
        "n": [1, 2],
    }
    matminer.add("optics", columns)
    with pytest.raises(
        ValueError, match=r"target is None.*one or more of \['gap', 'n'\]"
    ):
        fetch_matminer("optics")


@pytest.mark.parametrize("target", ["energy", "formula", "tensor", "structure"])
def test_target_must_be_a_numeric_column(matminer, target):
    columns = {
        "structure": STRUCTURES,
        "formula": ["CsCl", "Po"],
        "tensor": [[1.0, 2.0], [3.0, 4.0]],
        "gap": [5.5, None],
    }
    matminer.add("optics", columns)
    message = rf"numeric columns \['gap'\], got \['{target}'\]"
    for requested in (target, ["gap", target]):
        with pytest.raises(ValueError, match=message):
            fetch_matminer("optics", target=requested)
    with pytest.raises(ValueError, match=r"numeric columns \['gap'\], got \[\]"):
        fetch_matminer("optics", target=[])


# Real datasets


def test_every_dataset_with_structures_is_recognized():
    """Structure columns are recognized by their names, here by their descriptions."""
    for name in get_available_datasets(print_format=None):
        metadata = _read_metadata(name)
        described = [
            column
            for column, text in metadata["columns"].items()
            if "pymatgen structure" in text.lower()
        ]
        if described:
            assert _find_structure_column(name, metadata) in described


def test_real_file(data_folder):
    data_home = data_folder / "matminer"
    if not (data_home / "elastic_tensor_2015.json.gz").exists():
        pytest.skip("SKLEARN_CGCNN_DATA has no files of matminer")
    dataset = fetch_matminer(
        "elastic_tensor_2015", target=["K_VRH", "G_VRH"], data_home=data_home
    )
    assert len(dataset.data) == len(dataset.frame) == 1181
    assert all(isinstance(structure, Structure) for structure in dataset.data)
    assert dataset.target.shape == (1181, 2)
    # The bounds of Voigt and Reuss enclose their mean.
    voigt, reuss = (
        dataset.frame[["K_Voigt", "G_Voigt"]],
        dataset.frame[["K_Reuss", "G_Reuss"]],
    )
    assert np.all(reuss.to_numpy() <= dataset.target + 0.5)
    assert np.all(dataset.target <= voigt.to_numpy() + 0.5)
    # Structures and labels are in the same order.
    assert [len(structure) for structure in dataset.data] == list(
        dataset.frame["nsites"]
    )
    with pytest.raises(ValueError, match="'poisson_ratio'"):
        fetch_matminer("elastic_tensor_2015", data_home=data_home)
