import copy
import pickle
import sys

import numpy as np
import pytest
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from helpers import assert_same_graphs
from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphFormatError
from sklearn_cgcnn.graphs import ShardedCrystalGraphs, chunks_of

N = 40


@pytest.fixture(scope="module")
def structures(ionic, irregular):
    """One of them has no graph."""
    return [*irregular[:13], "no crystal", *ionic.data[: N - 14]]


@pytest.fixture(scope="module")
def featurizer():
    return CrystalGraphFeaturizer(on_error="collect")


@pytest.fixture(scope="module")
def graphs(structures, featurizer):
    return featurizer.transform(structures)


@pytest.fixture
def stored(structures, featurizer, tmp_path):
    return featurizer.transform_to_disk(structures, tmp_path / "graphs", shard_size=7)


def test_a_featurizer_reads_none_of_them(stored, featurizer, monkeypatch):
    monkeypatch.delattr(ShardedCrystalGraphs, "chunks")
    assert featurizer.fit_transform(stored) is stored


def test_they_are_those_in_memory(stored, graphs):
    assert_same_graphs(stored, graphs)
    assert (len(stored), stored.shape, stored.ndim) == (N, (N, 1), 2)
    assert (stored.n_sites, stored.n_edges) == (graphs.n_sites, graphs.n_edges)
    assert stored.settings == graphs.settings
    assert dict(stored.failed) == dict(graphs.failed)
    assert list(stored.failed) == [13]
    np.testing.assert_array_equal(stored.is_failed, graphs.is_failed)
    # Three arrays of offsets have one entry more than there are owners.
    assert stored.nbytes == graphs.nbytes - 3 * 8
    stored.check()


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        13,
        slice(4, 19),
        slice(None, None, 3),
        slice(9, 4),
        slice(37, None, -2),
        [5, 2, 2, 30],
        np.arange(N) % 3 == 0,
        np.array([], dtype=int),
        ([1, 14], slice(None)),
        (slice(2, 25), ...),
    ],
    ids=str,
)
def test_indexing_selects_crystals_without_reading(stored, graphs, key, monkeypatch):
    selected, again = stored[key], stored[5:][:-3]
    assert type(selected) is ShardedCrystalGraphs
    assert_same_graphs(selected, graphs[key])
    assert_same_graphs(again[[3, 1]], graphs[[8, 6]])
    monkeypatch.setattr("sklearn_cgcnn.graphs._shard_folder.read_shard", None)
    assert len(stored[key]) == len(graphs[key])


def test_scikit_learn_selects_and_splits(stored, graphs):
    rows = np.array([31, 2, 2, 17])
    assert_same_graphs(_safe_indexing(stored, rows), graphs[rows])
    for left, right in zip(
        train_test_split(stored, random_state=0),
        train_test_split(graphs, random_state=0),
        strict=True,
    ):
        assert_same_graphs(left, right)


def test_a_copy_holds_the_path_and_the_rows(stored, graphs):
    reasons, rows = {20: "for a test"}, [20, 5, 13]
    marked, expected = stored.with_failed(reasons)[rows], graphs.with_failed(reasons)
    assert_same_graphs(copy.deepcopy(marked), expected[rows])
    assert_same_graphs(pickle.loads(pickle.dumps(marked)), expected[rows])
    assert len(pickle.dumps(stored)) < 1000


def test_python_knows_how_large_a_pickle_is(stored):
    assert sys.getsizeof(stored) < 200
    chosen = stored[np.tile(np.arange(N), 100)]
    assert 0.9 < len(pickle.dumps(chosen)) / sys.getsizeof(chosen) < 1.1


def test_a_pickle_notices_that_the_folder_changed(
    stored, structures, featurizer, graphs
):
    text = pickle.dumps(stored)
    featurizer.transform_to_disk(structures[:3], stored.path, if_exists="append")
    assert_same_graphs(pickle.loads(text), graphs)  # those that were there
    for file in stored.path.iterdir():
        file.unlink()
    featurizer.transform_to_disk(structures[3:], stored.path, if_exists="resume")
    with pytest.raises(GraphFormatError, match="holds other graphs than when"):
        pickle.loads(text)


def test_marking_crystals_as_failed(stored, graphs):
    reasons = {30: "first", 2: "second"}
    marked, expected = stored.with_failed(reasons), graphs.with_failed(reasons)
    assert_same_graphs(marked, expected)
    assert list(marked.failed) == [2, 13, 30]
    assert_same_graphs(marked[20:35], expected[20:35])
    assert list(stored.failed) == [13]
    with pytest.raises(IndexError, match="the key 40, but the positions"):
        stored.with_failed({N: ""})


def test_chunks_cover_the_selection_shard_by_shard(stored, graphs):
    rows = np.random.RandomState(0).permutation(N)[:30]
    chunks = list(chunks_of(stored[rows]))
    assert len(chunks) == 6
    for positions, part in chunks:
        assert len(set(rows[positions] // 7)) == 1
        assert_same_graphs(part, graphs[rows[positions]])
    assert sorted(np.concatenate([p for p, _ in chunks])) == list(range(30))
    assert not list(chunks_of(stored, lambda shard: shard.longest_edge > 1e3))


def test_files_are_read_in_order_unless_all_fit_into_a_buffer(stored):
    rows = np.array([3, 33, 4])
    assert stored[rows].reading_order() is None
    small = ShardedCrystalGraphs(stored.path, buffer_nbytes=100)
    assert small[rows].reading_order().tolist() == [0, 2, 1]
    assert small.reading_order() is None
    with pytest.raises(ValueError, match="buffer_nbytes=0 is not positive"):
        ShardedCrystalGraphs(stored.path, buffer_nbytes=0)


def test_what_is_no_folder_of_shards(stored, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/shards.json does not exist"):
        ShardedCrystalGraphs(tmp_path / "nowhere")
    (stored.path / "000002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"000002.safetensors is missing"):
        stored.to_memory()
    assert len(stored[:14].to_memory()) == 14  # the others are untouched


def test_an_object_column_is_joined(stored, graphs, featurizer):
    assert_same_graphs(featurizer.transform(np.asarray(stored)), graphs)
