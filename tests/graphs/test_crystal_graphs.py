import json
import pickle
import sys

import numpy as np
import pytest

from helpers import assert_same_graphs
from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphFormatError, GraphSettingsError
from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.graphs._invariants import DTYPES


@pytest.fixture(scope="module")
def structures(ionic, irregular):
    """Crystals half of which are symmetric, so that sites and edges are merged."""
    return irregular[:20] + ionic.data[:20]


@pytest.fixture(scope="module")
def graphs(structures):
    return CrystalGraphFeaturizer().transform(structures)


@pytest.fixture(scope="module")
def singles(structures):
    return [CrystalGraphFeaturizer().transform([s]) for s in structures]


def test_it_holds_what_it_was_made_of(graphs, structures):
    graphs.check()
    assert len(graphs) == len(structures)
    assert graphs.shape == (len(structures), 1)
    assert graphs.n_sites < graphs.multiplicity.sum() == sum(map(len, structures))
    numbers = [z for structure in structures for z in structure.atomic_numbers]
    np.testing.assert_array_equal(graphs.expand_sites(graphs.atomic_numbers), numbers)
    vectors = np.random.default_rng(0).normal(size=(graphs.n_sites, 3))
    assert graphs.expand_sites(vectors).shape == (len(numbers), 3)
    with pytest.raises(ValueError, match="one for each site"):
        graphs.expand_sites(np.array(numbers))


def test_python_knows_how_large_they_are(graphs):
    # dask sends what it takes for small with every task.
    assert sys.getsizeof(graphs) > graphs.nbytes


def test_crystal_index_says_which_crystal_a_site_is_of(graphs):
    rows = [0, 5, 2]
    counts = [graphs[[row]].n_sites for row in rows]
    expected = [place for place in range(3) for _ in range(counts[place])]
    assert graphs[rows].crystal_index.tolist() == expected


def test_edge_index_joins_sites_of_the_same_crystal(graphs):
    crystal = np.repeat(np.arange(len(graphs)), np.diff(graphs.site_offsets))
    center, neighbor = graphs.edge_index
    assert (np.diff(center) >= 0).all()
    np.testing.assert_array_equal(crystal[center], crystal[neighbor])
    np.testing.assert_array_equal(
        np.bincount(center, minlength=graphs.n_sites), np.diff(graphs.edge_offsets)
    )


def test_an_edge_costs_at_most_16_bytes(structures, graphs):
    per_edge = graphs.neighbors, graphs.distances, graphs.edge_weights
    assert sum(array.nbytes for array in per_edge) == 14 * graphs.n_edges
    # Including all other arrays, if no sites are merged:
    plain = CrystalGraphFeaturizer(merge_equivalent=False).transform(structures)
    assert plain.nbytes <= 16 * plain.n_edges


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        np.int64(5),
        slice(4, 9),
        slice(None, None, 3),
        slice(9, 4),
        slice(7, None, -2),
        [5, 2, 2, 30],
        np.array([0, 39]),
        np.arange(40) % 3 == 0,
        [True] * 20 + [False] * 20,
        np.array([], dtype=int),
        (slice(2, 5), ...),
        ([1, 4], slice(None)),
        (np.array([8, 3]), ...),
    ],
    ids=str,
)
def test_indexing_selects_crystals(graphs, singles, key):
    rows = key[0] if isinstance(key, tuple) else key
    rows = np.atleast_1d(np.arange(40)[rows])
    selected = graphs[key]
    selected.check()
    assert len(selected) == len(rows)
    for graph, row in zip(selected, rows, strict=True):
        assert_same_graphs(graph, singles[row])


@pytest.mark.parametrize(
    "key", [40, -41, [3, 40], ([0], [0]), (), "a", np.ones(39, bool)]
)
def test_indexing_outside_raises(graphs, key):
    with pytest.raises(IndexError):
        graphs[key]


def test_positions_have_one_dimension(graphs):
    with pytest.raises(IndexError, match=r"key of shape \(40, 1\); pass key.ravel"):
        graphs[np.argwhere(~graphs.is_failed)]


def test_a_slice_is_a_view(graphs):
    assert np.shares_memory(graphs[3:8].distances, graphs.distances)


def test_concatenating_undoes_splitting(graphs, singles):
    assert_same_graphs(CrystalGraphs.concatenate(singles), graphs)
    assert_same_graphs(CrystalGraphs.concatenate(iter(singles)), graphs)
    assert_same_graphs(
        CrystalGraphs.concatenate([graphs[:7], graphs[7:7], graphs[7:]]), graphs
    )


def test_concatenating_other_settings_raises(graphs, structures):
    other = CrystalGraphFeaturizer(max_neighbors=8).transform(structures[:2])
    with pytest.raises(GraphSettingsError, match=r"parts\[1\].*max_neighbors"):
        CrystalGraphs.concatenate([graphs, other])
    with pytest.raises(ValueError, match="empty"):
        CrystalGraphs.concatenate([])
    with pytest.raises(TypeError, match=r"parts\[1\] is of type str"):
        CrystalGraphs.concatenate([graphs, "graphs"])


def test_as_an_array_it_is_a_column_of_crystals(graphs, singles):
    column = np.asarray(graphs)
    assert column.shape == (40, 1)
    assert_same_graphs(column[7, 0], singles[7])
    with pytest.raises(TypeError, match="float"):
        np.asarray(graphs, dtype=float)


def test_pickle(graphs):
    assert_same_graphs(pickle.loads(pickle.dumps(graphs)), graphs)


@pytest.mark.parametrize("mmap_mode", [None, "r", "c"])
@pytest.mark.parametrize("rows", [slice(None), slice(0, 0)], ids=["all", "none"])
def test_save_and_load(graphs, tmp_path, mmap_mode, rows):
    graphs[rows].save(tmp_path / "graphs")
    loaded = CrystalGraphs.load(tmp_path / "graphs", mmap_mode=mmap_mode)
    assert_same_graphs(loaded, graphs[rows])
    assert isinstance(loaded.distances, np.memmap) == (mmap_mode is not None)
    assert_same_graphs(loaded[::2], graphs[rows][::2])


def test_save_overwrites_only_when_told_and_only_graphs(graphs, tmp_path):
    graphs[:3].save(tmp_path / "graphs")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        graphs.save(tmp_path / "graphs")
    assert len(CrystalGraphs.load(tmp_path / "graphs")) == 3
    graphs.save(tmp_path / "graphs", overwrite=True)
    assert_same_graphs(CrystalGraphs.load(tmp_path / "graphs"), graphs)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all of it")
    with pytest.raises(FileExistsError, match="not overwritten"):
        graphs.save(precious, overwrite=True)
    assert (precious / "thesis.txt").read_text() == "all of it"


def test_an_interrupted_save_costs_nothing(graphs, tmp_path, monkeypatch):
    graphs[:3].save(tmp_path / "graphs")

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            graphs.save(tmp_path / "graphs", overwrite=True)
    assert len(CrystalGraphs.load(tmp_path / "graphs")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["graphs"]


def test_load_refuses_what_it_does_not_know(graphs, tmp_path):
    folder = tmp_path / "graphs"
    graphs.save(folder)
    header = json.loads((folder / "graphs.json").read_text())
    (folder / "graphs.json").write_text(json.dumps({**header, "format_version": 99}))
    with pytest.raises(GraphFormatError, match="version 99"):
        CrystalGraphs.load(folder)
    (folder / "graphs.json").write_text("{")
    with pytest.raises(GraphFormatError, match="not the header of crystal graphs"):
        CrystalGraphs.load(folder)
    with pytest.raises(FileNotFoundError, match="does not exist; pass a folder"):
        CrystalGraphs.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        ("site_offsets", 2, 10**6),
        ("edge_offsets", 2, 10**6),
        ("site_map_offsets", 2, 10**6),
        ("neighbors", 5, 100),
        ("neighbors", 5, -1),
        ("site_map", 5, 100),
        ("distances", 0, np.nan),
        ("distances", 0, -1.0),
        ("multiplicity", 0, 0),
        ("multiplicity", 0, 2),
        ("edge_weights", 0, 0),
        ("atomic_numbers", 0, 0),
        ("atomic_numbers", 0, 104),
    ],
)
def test_load_checks_every_invariant(graphs, tmp_path, name, position, value):
    folder = tmp_path / "graphs"
    graphs.save(folder)
    array = np.load(folder / f"{name}.npy")
    array[position] = value
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(GraphFormatError, match=name):
        CrystalGraphs.load(folder)


@pytest.mark.parametrize("name", DTYPES)
def test_arrays_of_wrong_length_or_type_are_refused(graphs, name):
    arrays = {each: getattr(graphs, each) for each in DTYPES}
    for wrong in (
        arrays[name][:-1],
        arrays[name].astype(np.float32),
        arrays[name][None],
    ):
        with pytest.raises(GraphFormatError):
            CrystalGraphs(**{**arrays, name: wrong}, settings=graphs.settings)


def test_a_damaged_file_is_refused(graphs, tmp_path):
    folder = tmp_path / "graphs"
    graphs.save(folder)
    content = (folder / "distances.npy").read_bytes()
    (folder / "distances.npy").write_bytes(content[: len(content) // 2])
    with pytest.raises(GraphFormatError, match="damaged"):
        CrystalGraphs.load(folder)


def test_repr_says_what_is_inside(graphs):
    assert repr(graphs).startswith(
        f"CrystalGraphs(n_crystals=40, n_sites={graphs.n_sites}"
    )
