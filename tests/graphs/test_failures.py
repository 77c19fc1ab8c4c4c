"""Structures that cannot become graphs: all are named at once, or collected."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from helpers import assert_same_graphs
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import (
    CrystalGraphs,
    EdgeRule,
    Failure,
    NearestNeighbors,
    OriginalNeighbors,
    VoronoiNeighbors,
    build_graphs,
    structure_error,
)

RULE = NearestNeighbors()
CUBE = Lattice.cubic(4.0)
# One that the cells refuse, and one that the search refuses.
ALLOY = Structure(CUBE, [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
TWICE = Structure(CUBE, ["Fe", "Fe"], [[0, 0, 0], [0, 0, 0.01]])
FAR = Structure(Lattice.cubic(30.0), ["Xe"], [[0, 0, 0]])


def with_bad(structures, bad):
    """Replace structures by others, by position."""
    return [bad.get(row, each) for row, each in enumerate(structures)]


# The error


def test_a_single_failure_is_described_as_it_is():
    error = structure_error({7: Failure("no", "Na1 Cl1")}, 60, "Do this.")
    assert str(error) == "X[7] (Na1 Cl1): no"
    assert (error.index, error.failed) == (7, {7: "Na1 Cl1: no"})
    error = structure_error({7: Failure("is of type int; leave it out")}, 60, "Do.")
    assert str(error) == "X[7] is of type int; leave it out"
    assert error.failed == {7: "is of type int; leave it out"}


@pytest.mark.parametrize("n_more", [0, 1, 90])
def test_ten_failures_are_listed_and_the_others_counted(n_more):
    failures = {row: Failure(f"no {row}", "H1") for row in range(3, 13 + n_more)}
    error = structure_error(failures, 200, "Do this.")
    first, *lines, last = str(error).split("\n")
    assert first == f"{10 + n_more} of 200 crystals cannot become graphs:"
    assert lines[:10] == [f"  X[{row}] (H1): no {row}" for row in range(3, 13)]
    assert lines[10:] == ([f"  and {n_more} more"] if n_more else [])
    assert last == "Do this."
    assert error.index == 3
    assert error.failed == {row: f"H1: no {row}" for row in failures}


def test_the_error_can_be_pickled():
    error = structure_error({3: Failure("no")}, 5, "")
    twin = pickle.loads(pickle.dumps(error))
    assert (str(twin), twin.index, twin.failed) == ("X[3] no", 3, {3: "no"})


# Raised


@pytest.mark.parametrize("as_input", [list, iter])
def test_all_structures_that_fail_are_named(ionic, as_input):
    bad = {2: ALLOY, 3: TWICE, 150: TWICE, 299: ALLOY}
    with pytest.raises(StructureError) as caught:
        build_graphs(as_input(with_bad(ionic.data * 5, bad)), RULE)
    error = caught.value
    assert error.index == 2
    assert list(error.failed) == list(bad)
    assert error.failed[2].startswith("Fe0.5 Co0.5: site 0 is disordered")
    assert error.failed[3].startswith("Fe2: sites 0 and 1 lie only 0.04 Å apart")
    first, *lines, last = str(error).split("\n")
    assert first == "4 of 300 crystals cannot become graphs:"
    assert [line.split(")")[0] for line in lines] == [
        "  X[2] (Fe0.5 Co0.5",
        "  X[3] (Fe2",
        "  X[150] (Fe2",
        "  X[299] (Fe0.5 Co0.5",
    ]
    assert 'on_error="collect"' in last


@pytest.mark.parametrize(("row", "structure"), [(0, ALLOY), (59, TWICE)])
def test_a_single_structure_that_fails_is_named_alone(ionic, row, structure):
    with pytest.raises(StructureError) as caught:
        build_graphs(with_bad(ionic.data, {row: structure}), RULE)
    assert str(caught.value).startswith(f"X[{row}] (Fe")
    assert "\n" not in str(caught.value)
    assert list(caught.value.failed) == [row]


@pytest.mark.parametrize("structure", [ALLOY, TWICE])
def test_reading_ends_after_a_hundred_failures(ionic, structure):
    n_read = 0

    def endless():
        nonlocal n_read
        while True:
            n_read += 1
            yield structure if n_read % 2 else ionic.data[0]

    with pytest.raises(StructureError) as caught:
        build_graphs(endless(), RULE)
    assert n_read == 256 + 1  # a chunk ends when the next crystal is read
    assert list(caught.value.failed) == list(range(0, 256, 2))
    message = str(caught.value)
    assert message.startswith("128 of 256 crystals cannot become graphs:")
    assert "and 118 more" in message
    assert "Crystals after X[255] were not read." in message


# Collected


@pytest.mark.parametrize("merge_equivalent", [True, False])
@pytest.mark.parametrize("as_input", [list, iter])
@pytest.mark.parametrize(
    "bad",
    [
        {},
        {0: ALLOY},
        {59: TWICE},
        {7: TWICE, 8: TWICE, 9: ALLOY, 50: TWICE},
        {row: TWICE if row % 3 else ALLOY for row in range(59)},
    ],
    ids=["none", "first", "last", "some", "all but one"],
)
def test_the_others_are_as_without_them(ionic, bad, as_input, merge_equivalent):
    options = {"merge_equivalent": merge_equivalent, "on_error": "collect"}
    graphs = build_graphs(as_input(with_bad(ionic.data, bad)), RULE, **options)
    graphs.check()
    assert list(graphs.failed) == list(bad)
    expected = build_graphs(ionic.data, RULE, merge_equivalent=merge_equivalent)
    assert_same_graphs(graphs, expected.with_failed(graphs.failed))
    assert graphs.settings == expected.settings


def test_reasons_are_those_of_the_error(ionic):
    mixed = with_bad(ionic.data, {7: TWICE, 9: ALLOY})
    with pytest.raises(StructureError) as caught:
        build_graphs(mixed, RULE)
    assert build_graphs(mixed, RULE, on_error="collect").failed == caught.value.failed


@pytest.mark.parametrize(
    "rule", [NearestNeighbors(None, 8.0), VoronoiNeighbors(), OriginalNeighbors()]
)
def test_every_rule_collects(ionic, rule):
    mixed = with_bad(ionic.data, {3: TWICE, 4: ALLOY, 40: FAR})
    graphs = build_graphs(mixed, rule, on_error="collect")
    graphs.check()
    # The original rule pads what has no neighbors.
    is_original = isinstance(rule, OriginalNeighbors)
    assert list(graphs.failed) == [3, 4] if is_original else [3, 4, 40]


def test_sites_without_neighbors_are_collected():
    rule = NearestNeighbors(cutoff=3.5)
    po = Structure(Lattice.cubic(3.4), ["Po"], [[0, 0, 0]])
    graphs = build_graphs([FAR, po, FAR], rule, on_error="collect")
    assert list(graphs.failed) == [0, 2]
    assert graphs.failed[0].startswith("Xe1: site 0 has no neighbor within cutoff=3.5")


def test_too_many_equal_edges_are_collected(monkeypatch):
    """Merging refuses them, after the search."""
    cubic = Structure(Lattice.cubic(3.4), ["Po"], [[0, 0, 0]])
    other = Structure(Lattice.orthorhombic(3.0, 3.3, 3.7), ["Po"], [[0, 0, 0]])
    monkeypatch.setattr(np, "iinfo", lambda dtype: type("Limit", (), {"max": 4}))
    rule = NearestNeighbors(None, 4.0)  # 6 equal edges, and 3 times 2
    graphs = build_graphs([other, cubic], rule, on_error="collect")
    assert list(graphs.failed) == [1]
    assert graphs.failed[1].startswith("Po1: a site has 6 equal edges")


def test_more_than_a_hundred_are_collected(ionic):
    many = [*([TWICE] * 150), *ionic.data, *([ALLOY] * 150)]
    graphs = build_graphs(many, RULE, on_error="collect")
    assert np.flatnonzero(~graphs.is_failed).tolist() == list(range(150, 210))
    assert_same_graphs(graphs[150:210], build_graphs(ionic.data, RULE))


@pytest.mark.parametrize("structures", [[ALLOY], [TWICE, ALLOY], [TWICE] * 150])
def test_if_all_fail_it_is_an_error(structures):
    with pytest.raises(StructureError) as caught:
        build_graphs(structures, RULE, on_error="collect")
    assert list(caught.value.failed) == list(range(len(structures)))
    assert "collect" not in str(caught.value)
    with pytest.raises(ValueError, match="X contains no crystals"):
        build_graphs([], RULE, on_error="collect")


def test_items_that_could_not_be_read_take_their_place(ionic):
    failure = Failure("is of type int; leave it out")
    mixed = with_bad(ionic.data, {4: failure, 5: TWICE})
    graphs = build_graphs(mixed, RULE, on_error="collect")
    assert list(graphs.failed) == [4, 5]
    assert graphs.failed[4] == failure.reason
    with pytest.raises(StructureError, match=r"\n  X\[4\] is of type int; leave it"):
        build_graphs(mixed, RULE)
    with pytest.raises(StructureError, match=r"^X\[0\] is of type int; leave it out$"):
        build_graphs([failure], RULE)


# Processes


@pytest.mark.parametrize("on_error", ["raise", "collect"])
def test_processes_change_nothing(ionic, on_error):
    many = ionic.data * 10
    many[3], many[130], many[500] = ALLOY, TWICE, TWICE
    results = []
    for n_jobs in (1, 2):
        try:
            results.append(build_graphs(many, RULE, on_error=on_error, n_jobs=n_jobs))
        except StructureError as error:
            results.append((str(error), error.index, error.failed))
    if on_error == "raise":
        assert results[0] == results[1]
        assert list(results[0][2]) == [3, 130, 500]
    else:
        assert_same_graphs(*results)
        assert list(results[0].failed) == [3, 130, 500]


def test_processes_end_at_the_same_crystal(ionic):
    many = [TWICE, ionic.data[0]] * 1000
    messages = []
    for n_jobs in (1, 2):
        with pytest.raises(StructureError, match="128 of 256 crystals") as caught:
            build_graphs(iter(many), RULE, n_jobs=n_jobs)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


# Rules of users


@dataclass(frozen=True)
class OwnRule(EdgeRule):
    """Refuses iron without saying which crystal, and breaks on cobalt."""

    def find_in_cell(self, cell):
        if 26 in cell.atomic_numbers:
            raise StructureError("iron is not allowed")
        if 27 in cell.atomic_numbers:
            raise ValueError("a fault of the rule")
        return RULE.find_in_cell(cell)


@dataclass(frozen=True)
class OwnSearch(OwnRule):
    """Searches all cells together."""

    def find(self, cells):
        for cell in cells:
            self.find_in_cell(cell)
        return RULE.find(cells)


@pytest.mark.parametrize("rule", [OwnRule(), OwnSearch()])
def test_what_your_own_rule_refuses_is_collected(ionic, rule):
    iron, cobalt = (Structure(CUBE, [each], [[0, 0, 0]]) for each in ("Fe", "Co"))
    mixed = with_bad(ionic.data, {11: iron, 30: iron})
    graphs = build_graphs(mixed, rule, on_error="collect")
    assert graphs.failed == dict.fromkeys([11, 30], "Fe1: iron is not allowed")
    expected = build_graphs(ionic.data, RULE).with_failed(graphs.failed)
    np.testing.assert_array_equal(graphs.distances, expected.distances)
    with pytest.raises(StructureError, match=r"2 of 60 .*\n  X\[11\] \(Fe1\): iron"):
        build_graphs(mixed, rule)
    for on_error in ("raise", "collect"):
        with pytest.raises(ValueError, match=r"^a fault of the rule$"):
            build_graphs(with_bad(mixed, {5: cobalt}), rule, on_error=on_error)


def test_a_container_of_all_chunks(ionic):
    """Chunks whose crystals all failed stand beside others."""
    many = [ALLOY] * 128 + ionic.data + [TWICE] * 128
    graphs = build_graphs(many, RULE, on_error="collect")
    assert isinstance(graphs, CrystalGraphs)
    graphs.check()
    assert graphs.is_failed.sum() == 256
