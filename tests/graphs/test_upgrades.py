"""Saved graphs of older format versions."""

import json

import numpy as np
import pytest

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphFormatError
from sklearn_cgcnn.graphs import (
    CrystalGraphs,
    NearestNeighbors,
    OriginalNeighbors,
    VoronoiNeighbors,
    _upgrades,
)
from sklearn_cgcnn.graphs._upgrades import FORMAT_VERSION, UPGRADES, upgrade

# Settings as version 1 stored them, and the featurizer that makes the same graphs.
VERSION_1 = [
    (
        {
            "max_neighbors": 12,
            "cutoff": None,
            "connectivity": "nearest",
            "merge_equivalent": True,
        },
        CrystalGraphFeaturizer(),
    ),
    (
        {
            "max_neighbors": None,
            "cutoff": 5.0,
            "connectivity": "nearest",
            "merge_equivalent": False,
        },
        CrystalGraphFeaturizer(
            connectivity=NearestNeighbors(None, 5.0, isolated_sites="keep"),
            merge_equivalent=False,
        ),
    ),
    (
        {
            "max_neighbors": None,
            "cutoff": 6.0,
            "connectivity": "voronoi",
            "merge_equivalent": True,
            "min_solid_angle": 0.2,
        },
        CrystalGraphFeaturizer(
            connectivity=VoronoiNeighbors(min_solid_angle=0.2, isolated_sites="keep")
        ),
    ),
    (
        {
            "max_neighbors": 6,
            "cutoff": 8.0,
            "connectivity": "original",
            "merge_equivalent": False,
        },
        CrystalGraphFeaturizer(
            connectivity=OriginalNeighbors(6), merge_equivalent=False
        ),
    ),
]


def write_header(folder, **entries):
    path = folder / "graphs.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.fixture
def folder(ionic, tmp_path):
    CrystalGraphFeaturizer().transform(ionic.data[:5]).save(tmp_path / "graphs")
    return tmp_path / "graphs"


@pytest.mark.parametrize("mmap_mode", [None, "r"])
@pytest.mark.parametrize(("settings", "featurizer"), VERSION_1)
def test_graphs_of_version_1(ionic, tmp_path, settings, featurizer, mmap_mode):
    graphs = featurizer.transform(ionic.data[:5])
    graphs.save(tmp_path / "graphs")
    write_header(tmp_path / "graphs", format_version=1, settings=settings)
    loaded = CrystalGraphs.load(tmp_path / "graphs", mmap_mode=mmap_mode)
    assert loaded.settings == graphs.settings
    assert featurizer.transform(loaded) is loaded
    np.testing.assert_array_equal(loaded.distances, graphs.distances)
    again = CrystalGraphFeaturizer.from_settings(loaded.settings)
    assert again.graph_settings() == featurizer.graph_settings()
    # Saved again, they have the current version.
    loaded[:].save(tmp_path / "again")
    header = json.loads((tmp_path / "again" / "graphs.json").read_text())
    assert header == {
        "format_version": FORMAT_VERSION,
        "settings": graphs.settings,
        "failed": {},
    }


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_graphs_of_version_2_have_no_failed_crystals(folder, mmap_mode):
    header = json.loads((folder / "graphs.json").read_text())
    del header["failed"]
    (folder / "graphs.json").write_text(json.dumps({**header, "format_version": 2}))
    loaded = CrystalGraphs.load(folder, mmap_mode=mmap_mode)
    assert loaded.failed == {}
    assert loaded.settings == header["settings"]


def test_graphs_of_version_1_without_settings(folder):
    write_header(folder, format_version=1, settings={})
    assert CrystalGraphs.load(folder).settings == {}


def test_an_upgrade_leaves_its_argument_as_it_is(tmp_path):
    settings, _ = VERSION_1[0]
    header = {"format_version": 1, "settings": settings}
    before = json.dumps(header)
    upgraded, arrays = upgrade(header, {}, tmp_path)
    assert upgraded["format_version"] == FORMAT_VERSION
    assert arrays == {}
    assert json.dumps(header) == before


def test_an_upgrade_may_change_arrays(folder, monkeypatch):
    """Here the current version is read as one in which an array had another name."""
    expected = CrystalGraphs.load(folder).distances

    def rename(header, arrays):
        arrays["distances"] = arrays.pop("lengths")
        return header, arrays

    monkeypatch.setattr(_upgrades, "FORMAT_VERSION", FORMAT_VERSION + 1)
    monkeypatch.setitem(_upgrades.UPGRADES, FORMAT_VERSION, rename)
    (folder / "distances.npy").rename(folder / "lengths.npy")
    np.testing.assert_array_equal(CrystalGraphs.load(folder).distances, expected)


def test_a_newer_version_is_refused_whatever_its_arrays_are(folder):
    write_header(folder, format_version=FORMAT_VERSION + 1)
    (folder / "distances.npy").rename(folder / "lengths.npy")
    with pytest.raises(GraphFormatError, match="use a newer release"):
        CrystalGraphs.load(folder)


def test_a_missing_array_is_named(folder):
    (folder / "distances.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"distances.npy is missing"):
        CrystalGraphs.load(folder)


@pytest.mark.parametrize("settings", [{"cutoff": 5.0}, {"connectivity": "voronoi"}])
def test_headers_that_contradict_their_version(folder, settings):
    write_header(folder, format_version=1, settings=settings)
    with pytest.raises(GraphFormatError, match=r"version 1, .*featurize .* again"):
        CrystalGraphs.load(folder)


@pytest.mark.parametrize("version", [0, -1, FORMAT_VERSION + 1, 99, None, "1", [1]])
def test_unknown_versions_are_refused(folder, version):
    write_header(folder, format_version=version)
    with pytest.raises(
        GraphFormatError, match=r"has format version .*reads versions up"
    ):
        CrystalGraphs.load(folder)


def test_every_older_version_has_an_upgrade():
    assert list(UPGRADES) == list(range(1, FORMAT_VERSION))
