"""Edge rules as objects: fields, equality, JSON form, and rules of users."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer, _graph_settings
from sklearn_cgcnn.exceptions import GraphSettingsError, StructureError
from sklearn_cgcnn.graphs import (
    EDGE_RULES,
    EdgeRule,
    NearestNeighbors,
    NeighborList,
    OriginalNeighbors,
    VoronoiNeighbors,
    edge_rule_from_dict,
    read_cell,
)

RULES = [
    NearestNeighbors(),
    NearestNeighbors(max_neighbors=None, cutoff=5.0, isolated_sites="keep"),
    VoronoiNeighbors(),
    VoronoiNeighbors(5.0, 0.1, missing_radii="ignore", isolated_sites="keep"),
    OriginalNeighbors(),
    OriginalNeighbors(max_neighbors=6, cutoff=6.0),
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=repr)


# Objects


@every_rule
def test_rules_are_equal_if_all_fields_are(rule):
    twin = eval(repr(rule))
    assert twin == rule
    assert hash(twin) == hash(rule)
    assert [other for other in RULES if other == rule] == [rule]


@every_rule
def test_rules_are_frozen(rule):
    with pytest.raises(FrozenInstanceError):
        rule.cutoff = 3.0


@every_rule
def test_rules_are_copied_and_pickled(rule):
    assert copy.deepcopy(rule) == rule
    assert pickle.loads(pickle.dumps(rule)) == rule


def test_policies_are_part_of_the_equality():
    assert NearestNeighbors() != NearestNeighbors(isolated_sites="keep")
    assert VoronoiNeighbors() != VoronoiNeighbors(isolated_sites="keep")
    assert VoronoiNeighbors() != VoronoiNeighbors(missing_radii="ignore")


def test_numbers_of_numpy_become_plain_ones():
    rule = NearestNeighbors(np.int64(6), np.float32(4))
    assert repr(rule) == repr(NearestNeighbors(6, 4.0))
    rule = VoronoiNeighbors(np.int32(5), np.float64(0.5))
    assert repr(rule) == repr(VoronoiNeighbors(5.0, 0.5))
    rule = OriginalNeighbors(np.uint8(6), 7)
    assert repr(rule) == repr(OriginalNeighbors(6, 7.0))


@pytest.mark.parametrize("rule_class", [NearestNeighbors, OriginalNeighbors])
@pytest.mark.parametrize("value", [0, -3, 2.5, "12", [12]])
def test_max_neighbors_must_be_a_positive_integer(rule_class, value):
    with pytest.raises(
        ValueError, match=r"max_neighbors must be an integer of at leas"
    ):
        rule_class(max_neighbors=value)


@pytest.mark.parametrize(
    "rule_class", [NearestNeighbors, VoronoiNeighbors, OriginalNeighbors]
)
@pytest.mark.parametrize("value", [0, -1.0, np.inf, np.nan, "6", 1j])
def test_cutoff_must_be_a_distance(rule_class, value):
    with pytest.raises(ValueError, match="cutoff must be a positive, finite distance"):
        rule_class(cutoff=value)


@pytest.mark.parametrize("rule_class", [VoronoiNeighbors, OriginalNeighbors])
def test_cutoff_is_required_by_some_rules(rule_class):
    with pytest.raises(ValueError, match=r"cutoff must be .* got None"):
        rule_class(cutoff=None)


@pytest.mark.parametrize("value", [-0.1, 4 * np.pi, np.nan, None, "wide"])
def test_min_solid_angle_must_be_less_than_a_sphere(value):
    with pytest.raises(ValueError, match=r"min_solid_angle must be .* got "):
        VoronoiNeighbors(min_solid_angle=value)
    assert VoronoiNeighbors(min_solid_angle=0).min_solid_angle == 0.0


@pytest.mark.parametrize("value", ["drop", None, 1, ["keep"]])
def test_policies_must_be_known(value):
    for rule_class in (NearestNeighbors, VoronoiNeighbors):
        with pytest.raises(
            ValueError, match='isolated_sites must be "raise" or "keep"'
        ):
            rule_class(isolated_sites=value)
    with pytest.raises(ValueError, match='missing_radii must be "raise" or "ignore"'):
        VoronoiNeighbors(missing_radii=value)


def test_a_fixed_number_of_edges_is_required_by_the_original_program():
    with pytest.raises(ValueError, match="same number of edges; set max_neighbors"):
        OriginalNeighbors(max_neighbors=None)


# The JSON form


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            NearestNeighbors(isolated_sites="keep"),
            {"rule": "nearest", "max_neighbors": 12, "cutoff": None},
        ),
        (
            VoronoiNeighbors(missing_radii="ignore", isolated_sites="keep"),
            {"rule": "voronoi", "cutoff": 6.0, "min_solid_angle": 0.05},
        ),
        (
            OriginalNeighbors(np.int64(6)),
            {"rule": "original", "max_neighbors": 6, "cutoff": 8.0},
        ),
    ],
    ids=repr,
)
def test_the_json_form_holds_what_shapes_the_graphs(rule, expected):
    assert rule.to_dict() == expected


@every_rule
def test_the_json_form_restores_the_rule_up_to_its_policies(rule):
    text = json.dumps(rule.to_dict(), allow_nan=False)
    restored = edge_rule_from_dict(json.loads(text))
    assert type(restored) is type(rule)
    assert restored.to_dict() == rule.to_dict()
    with_policies = {
        name: getattr(rule, name) for name in rule.policies if hasattr(rule, name)
    }
    assert edge_rule_from_dict({**json.loads(text), **with_policies}) == rule


def test_rules_are_listed_by_their_names():
    assert dict(EDGE_RULES) == {
        "nearest": NearestNeighbors,
        "voronoi": VoronoiNeighbors,
        "original": OriginalNeighbors,
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"rule": "shell"},
            r"'shell' is not one of \['nearest', .*pass the featurizer",
        ),
        ({"rule": "mine.Rule", "a": 1}, "'mine.Rule' is not .*pass the featurizer"),
        ({"rule": ["nearest"]}, "is not one of"),
        ({}, "None is not one of"),
        ({"rule": "nearest", "shells": 2}, "'nearest' does not accept .*'shells'"),
        ({"rule": "nearest", "cutoff": -2}, "does not accept .*cutoff must be"),
    ],
    ids=str,
)
def test_json_forms_that_cannot_be_restored(settings, message):
    with pytest.raises(GraphSettingsError, match=message):
        edge_rule_from_dict(settings)


# Every rule finds the same, in one crystal or in several


@pytest.mark.parametrize(
    "rule",
    [
        NearestNeighbors(),
        NearestNeighbors(6, 4.0, isolated_sites="keep"),
        VoronoiNeighbors(isolated_sites="keep"),
        OriginalNeighbors(),
    ],
    ids=repr,
)
def test_crystals_do_not_see_each_other(ionic, irregular, rule):
    structures = ionic.data[:8] + irregular[:8]
    cells = [read_cell(each, normalize=rule.normalize_cells) for each in structures]
    together, alone = rule.find(cells), [rule.find_in_cell(cell) for cell in cells]
    assert [array.dtype for array in together] == [np.int64, np.int32, np.float64]
    for joined, parts in zip(together, zip(*alone, strict=True), strict=True):
        np.testing.assert_array_equal(joined, np.concatenate(parts))


# Rules of users

SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
)


@dataclass(frozen=True)
class UnlikeNeighbors(EdgeRule):
    """Join only sites of different elements."""

    cutoff: float = 4.0
    elements: tuple[str, ...] = ("Na", "Cl")

    def find_in_cell(self, cell):
        rule = NearestNeighbors(None, self.cutoff, isolated_sites="keep")
        counts, neighbors, distances = rule.find_in_cell(cell)
        centers = np.repeat(np.arange(len(counts)), counts)
        unlike = cell.atomic_numbers[centers] != cell.atomic_numbers[neighbors]
        if not unlike.any():
            raise StructureError("all sites hold the same element")
        return NeighborList(
            np.bincount(centers[unlike], minlength=len(counts)),
            neighbors[unlike],
            distances[unlike],
        )


@pytest.mark.parametrize("merge_equivalent", [True, False])
def test_your_own_rule_makes_graphs(merge_equivalent):
    featurizer = CrystalGraphFeaturizer(
        connectivity=UnlikeNeighbors(3.0), merge_equivalent=merge_equivalent
    )
    graphs = featurizer.transform([SALT])
    graphs.check()
    np.testing.assert_allclose(graphs.distances, 5.64 / 2)
    center, _ = graphs.edge_index
    degrees = np.bincount(center, graphs.edge_weights)
    assert degrees.tolist() == [6] * graphs.n_sites
    assert graphs.settings == {
        "connectivity": {
            "rule": f"{__name__}.UnlikeNeighbors",
            "cutoff": 3.0,
            "elements": ["Na", "Cl"],
        },
        "merge_equivalent": merge_equivalent,
    }
    assert featurizer.transform(graphs) is graphs


def test_your_own_rule_works_in_several_processes():
    featurizer = CrystalGraphFeaturizer(connectivity=UnlikeNeighbors(3.0))
    parallel = featurizer.set_params(n_jobs=2).transform([SALT] * 300)
    serial = featurizer.set_params(n_jobs=1).transform([SALT] * 300)
    np.testing.assert_array_equal(parallel.edge_index, serial.edge_index)


def test_errors_of_your_own_rule_name_the_crystal():
    copper = Structure(Lattice.cubic(3.0), ["Cu"], [[0] * 3])
    featurizer = CrystalGraphFeaturizer(connectivity=UnlikeNeighbors())
    with pytest.raises(
        StructureError, match=r"X\[1\] \(Cu1\): all sites hold"
    ) as error:
        featurizer.transform([SALT, copper])
    assert error.value.index == 1


def test_a_rule_derived_from_another_has_its_own_name():
    @dataclass(frozen=True)
    class Fewer(NearestNeighbors):
        max_neighbors: int = 4

    assert Fewer().to_dict()["rule"].endswith("Fewer")
    graphs = CrystalGraphFeaturizer(connectivity=Fewer()).transform([SALT])
    with pytest.raises(GraphSettingsError, match=r"Fewer' instead of 'nearest'"):
        CrystalGraphFeaturizer(max_neighbors=4).transform(graphs)


def test_a_rule_may_have_a_name_and_policies_of_its_choice():
    @dataclass(frozen=True)
    class Chosen(UnlikeNeighbors):
        rule_name: ClassVar[str] = "unlike"
        policies: ClassVar[frozenset[str]] = frozenset({"elements"})

    assert Chosen().to_dict() == {"rule": "unlike", "cutoff": 4.0}


def test_cells_are_normalized_unless_the_rule_refuses():
    matrices = []

    class Spy(EdgeRule):
        def find_in_cell(self, cell):
            matrices.append(cell.lattice)
            return NearestNeighbors().find_in_cell(cell)

        def to_dict(self):
            return {"rule": "spy"}

    class RawSpy(Spy):
        normalize_cells = False

    oblique = Lattice([[3, 0, 0], [300, 3, 0], [0, 0, 3]])
    for spy in (Spy(), RawSpy()):
        CrystalGraphFeaturizer(connectivity=spy).transform(
            [Structure(oblique, ["Cu"], [[0] * 3])]
        )
    np.testing.assert_allclose(np.abs(matrices[0]).sum(), 9.0)
    np.testing.assert_array_equal(matrices[1], oblique.matrix)


def test_the_base_class_makes_no_graphs():
    with pytest.raises(TypeError, match="abstract"):
        EdgeRule()


def test_rules_without_fields_cannot_be_stored():
    class Plain(EdgeRule):
        def find_in_cell(self, cell):
            return NearestNeighbors().find_in_cell(cell)

    with pytest.raises(TypeError, match=r"Plain is not a dataclass.*frozen=True"):
        CrystalGraphFeaturizer(connectivity=Plain()).transform([SALT])


@pytest.mark.parametrize("elements", [np.zeros(2), {"Na"}, [np.nan], object()], ids=str)
def test_fields_that_json_cannot_store_are_refused(elements):
    rule = UnlikeNeighbors(elements=elements)
    with pytest.raises(
        TypeError, match=r"elements=.* of UnlikeNeighbors cannot be sto"
    ):
        CrystalGraphFeaturizer(connectivity=rule).transform([SALT])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (tuple, "must return a NeighborList, got tuple"),
        (lambda edges: None, "must return a NeighborList, got NoneType"),
        (lambda edges: edges._replace(counts=edges.counts[1:]), "edge_offsets"),
        (lambda edges: edges._replace(counts=edges.counts * 1.0), "edge_offsets"),
        (lambda edges: edges._replace(counts=edges.counts + 1), "edge_offsets"),
        (lambda edges: edges._replace(counts=-edges.counts), "edge_offsets"),
        (lambda edges: edges._replace(neighbors=edges.neighbors + 1), "neighbors"),
        (lambda edges: edges._replace(neighbors=edges.neighbors - 1), "neighbors"),
        (lambda edges: edges._replace(neighbors=edges.neighbors * 1.0), "neighbors"),
        (lambda edges: edges._replace(distances=edges.distances[1:]), "distances"),
        (lambda edges: edges._replace(distances=-edges.distances), "distances"),
        (lambda edges: edges._replace(distances=edges.distances * np.nan), "distances"),
    ],
    ids=range(12),
)
@pytest.mark.parametrize("merge_equivalent", [True, False])
def test_invalid_neighbor_lists_of_your_own_rule(change, message, merge_equivalent):
    @dataclass(frozen=True)
    class Broken(EdgeRule):
        def find(self, cells):
            return change(NearestNeighbors().find(cells))

        def find_in_cell(self, cell):
            return self.find([cell])

    featurizer = CrystalGraphFeaturizer(
        connectivity=Broken(), merge_equivalent=merge_equivalent
    )
    with pytest.raises(ValueError, match=f"the edge rule Broken .*{message}"):
        featurizer.transform([SALT])


@pytest.mark.parametrize(
    ("returned", "name"), [(None, "NoneType"), (([1], [0], [1.0]), "tuple")]
)
def test_other_results_of_your_own_rule_for_one_cell(returned, name):
    @dataclass(frozen=True)
    class Broken(EdgeRule):
        def find_in_cell(self, cell):
            return returned

    message = f"the edge rule Broken must return a NeighborList, got {name}"
    with pytest.raises(ValueError, match=message):
        CrystalGraphFeaturizer(connectivity=Broken()).transform([SALT])


@pytest.mark.parametrize("settings", ["nearest", None, ["nearest"]])
def test_settings_that_are_no_json_form(settings):
    with pytest.raises(
        GraphSettingsError, match="is not the JSON form of an edge rule"
    ):
        CrystalGraphFeaturizer.from_settings({"connectivity": settings})


def test_a_rule_without_a_cutoff_may_be_chosen_by_its_name(monkeypatch):
    @dataclass(frozen=True)
    class Molecules(EdgeRule):
        rule_name: ClassVar[str] = "molecules"
        max_neighbors: int = 6

        def find_in_cell(self, cell):
            return NearestNeighbors(self.max_neighbors).find_in_cell(cell)

    monkeypatch.setattr(
        _graph_settings, "EDGE_RULES", {**EDGE_RULES, "molecules": Molecules}
    )
    monkeypatch.setitem(
        CrystalGraphFeaturizer._parameter_constraints, "connectivity", "no_validation"
    )
    featurizer = CrystalGraphFeaturizer(connectivity="molecules", max_neighbors=8)
    assert featurizer.graph_settings()["connectivity"] == Molecules(8).to_dict()
