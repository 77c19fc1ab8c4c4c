"""Crystals that failed, in the container of crystal graphs."""

import json
import pickle

import numpy as np
import pytest
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import shuffle

from helpers import assert_same_graphs
from sklearn_cgcnn._estimators._equality import is_equal
from sklearn_cgcnn.exceptions import GraphFormatError
from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.graphs._invariants import DTYPES

REASONS = {0: "first", 5: "site 0 is disordered", 6: "no lattice", 59: "läst"}


@pytest.fixture(scope="module")
def mixed(graphs):
    """Graphs of 60 crystals, 4 of which failed."""
    return graphs.with_failed(REASONS)


def test_a_crystal_that_failed_is_empty_and_the_others_stay(graphs, mixed):
    mixed.check()
    assert mixed.failed == REASONS
    assert len(mixed) == len(graphs)
    for row, (graph, before) in enumerate(zip(mixed, graphs, strict=True)):
        if row in REASONS:
            assert (graph.n_sites, graph.n_edges, len(graph.site_map)) == (0, 0, 0)
            assert graph.failed == {0: REASONS[row]}
        else:
            assert_same_graphs(graph, before)
    assert graphs.failed == {}  # and the original does too


def test_is_failed_is_a_mask(graphs, mixed):
    assert np.flatnonzero(mixed.is_failed).tolist() == list(REASONS)
    assert mixed.is_failed.dtype == bool
    assert not graphs.is_failed.any()
    good = mixed[~mixed.is_failed]
    assert good.failed == {}
    assert_same_graphs(good, graphs[[row for row in range(60) if row not in REASONS]])


def test_failed_is_read_only(mixed):
    with pytest.raises(TypeError):
        mixed.failed[1] = "tampered"


@pytest.mark.parametrize(
    "key",
    [
        5,
        -1,
        slice(4, 9),
        slice(0, 0),
        slice(None, None, -1),
        slice(1, None, 5),
        [5, 5, 1, 0, 5],
        np.array([59, 6]),
        np.arange(60) % 5 == 0,
        (slice(0, 7), ...),
    ],
    ids=str,
)
def test_indexing_keeps_the_reasons(mixed, key):
    rows = np.atleast_1d(np.arange(60)[key[0] if isinstance(key, tuple) else key])
    selected = mixed[key]
    selected.check()
    expected = {
        place: REASONS[row] for place, row in enumerate(rows.tolist()) if row in REASONS
    }
    assert selected.failed == expected


def test_scikit_learn_splits_and_shuffles_them(mixed):
    rows = np.arange(60)
    train, test, train_rows, test_rows = train_test_split(mixed, rows, random_state=0)
    mixed_up, order = shuffle(mixed, rows, random_state=0)
    (fold, *_) = KFold(5).split(mixed)
    for part, part_rows in (
        (train, train_rows),
        (test, test_rows),
        (mixed_up, order),
        (mixed[fold[1]], fold[1]),
    ):
        assert part.is_failed.tolist() == np.isin(part_rows, list(REASONS)).tolist()


def test_concatenating_moves_the_positions(mixed, graphs):
    joined = CrystalGraphs.concatenate([mixed, graphs[:3], mixed[:0], mixed[4:7]])
    joined.check()
    assert joined.failed == REASONS | {64: REASONS[5], 65: REASONS[6]}
    assert_same_graphs(CrystalGraphs.concatenate(list(mixed)), mixed)
    assert_same_graphs(CrystalGraphs.concatenate(np.asarray(mixed)[:, 0]), mixed)


@pytest.mark.parametrize("mmap_mode", [None, "r", "c"])
@pytest.mark.parametrize("rows", [slice(None), [5], [5, 6]], ids=str)
def test_they_survive_storage(mixed, tmp_path, mmap_mode, rows):
    mixed[rows].save(tmp_path / "graphs")
    loaded = CrystalGraphs.load(tmp_path / "graphs", mmap_mode=mmap_mode)
    assert_same_graphs(loaded, mixed[rows])
    assert_same_graphs(pickle.loads(pickle.dumps(loaded)), mixed[rows])


def test_graphs_are_equal_only_with_the_same_failures(graphs, mixed):
    assert is_equal(mixed, graphs.with_failed(REASONS))
    assert not is_equal(mixed, graphs.with_failed({**REASONS, 0: "another"}))


def test_repr_counts_them(graphs, mixed):
    assert "n_failed=4" in repr(mixed)
    assert "failed" not in repr(graphs)


def test_values_are_expanded_to_the_sites_of_the_others(graphs, mixed):
    numbers = np.split(
        graphs.expand_sites(graphs.atomic_numbers), graphs.site_map_offsets[1:-1]
    )
    expected = [each for row, each in enumerate(numbers) if row not in REASONS]
    np.testing.assert_array_equal(
        mixed.expand_sites(mixed.atomic_numbers), np.concatenate(expected)
    )
    per_crystal = np.split(
        mixed.expand_sites(mixed.atomic_numbers), mixed.site_map_offsets[1:-1]
    )
    assert [len(each) == 0 for each in per_crystal] == mixed.is_failed.tolist()


def test_edges_stay_within_their_crystal(mixed):
    crystal = np.repeat(np.arange(len(mixed)), np.diff(mixed.site_offsets))
    center, neighbor = mixed.edge_index
    np.testing.assert_array_equal(crystal[center], crystal[neighbor])
    assert not np.isin(crystal, list(REASONS)).any()


# Marking more of them


def test_marking_again_keeps_the_first_reason(mixed, graphs):
    again = mixed.with_failed({np.int64(5): "second", np.int64(7): "new"})
    again.check()
    assert again.failed == REASONS | {7: "new"}
    assert all(type(row) is int for row in again.failed)
    assert list(again.failed) == sorted(again.failed)
    assert_same_graphs(again, graphs.with_failed(REASONS | {7: "new"}))
    assert mixed.with_failed({}) is mixed


def test_all_of_them_may_be_marked(graphs):
    nothing = graphs.with_failed(dict.fromkeys(range(60), "why"))
    nothing.check()
    assert (nothing.n_sites, nothing.n_edges, len(nothing)) == (0, 0, 60)
    assert nothing.is_failed.all()


@pytest.mark.parametrize("position", [60, -1, 10**6])
def test_positions_that_do_not_exist(graphs, position):
    with pytest.raises(IndexError, match=rf"key {position}, .*60 crystals are 0 to 59"):
        graphs.with_failed({position: "why"})
    arrays = {name: getattr(graphs, name) for name in DTYPES}
    with pytest.raises(GraphFormatError, match="positions in failed"):
        CrystalGraphs(**arrays, settings={}, failed={position: "why"})


# Invariants


def test_empty_crystals_are_those_that_failed(graphs, mixed):
    for container, failed in (
        (graphs, {3: "has sites"}),
        (mixed, {}),
        (mixed, {0: ""}),
    ):
        arrays = {name: getattr(container, name) for name in DTYPES}
        wrong = CrystalGraphs(**arrays, settings={}, failed=failed)
        with pytest.raises(
            GraphFormatError, match="failed names the crystals that hav"
        ):
            wrong.check()


@pytest.mark.parametrize(
    ("failed", "message"),
    [
        ({}, "failed names the crystals"),
        ({"0": "", "5": "", "6": "", "58": ""}, "failed names the crystals"),
        ({"70": ""}, "positions in failed"),
        ({"five": ""}, "not the header"),
        ([5, 6], "not the header"),
        (None, "not the header"),
    ],
)
def test_files_with_other_failures_are_refused(mixed, tmp_path, failed, message):
    mixed.save(tmp_path / "graphs")
    path = tmp_path / "graphs" / "graphs.json"
    header = json.loads(path.read_text())
    assert header["failed"] == {str(row): reason for row, reason in REASONS.items()}
    path.write_text(json.dumps({**header, "failed": failed}))
    with pytest.raises(GraphFormatError, match=message):
        CrystalGraphs.load(tmp_path / "graphs")
    del header["failed"]
    path.write_text(json.dumps(header))
    with pytest.raises(GraphFormatError, match="not the header"):
        CrystalGraphs.load(tmp_path / "graphs")
