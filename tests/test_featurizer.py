"""The featurizer as a transformer: parameters, rules, settings, input."""

import json
import pickle
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Molecule, Structure
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from helpers import object_array
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphSettingsError, StructureError
from sklearn_cgcnn.graphs import (
    EdgeRule,
    NearestNeighbors,
    OriginalNeighbors,
    VoronoiNeighbors,
)

SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
)


def test_fit_is_not_needed_and_changes_nothing(irregular):
    featurizer = CrystalGraphFeaturizer(max_neighbors=6)
    before = vars(featurizer).copy()
    assert featurizer.fit(irregular[:2]) is featurizer
    assert vars(featurizer) == before
    assert featurizer.set_output(transform="pandas") is featurizer
    assert len(featurizer.fit_transform(irregular[:2])) == 2
    with config_context(transform_output="pandas"):
        assert len(featurizer.fit_transform(irregular[:2])) == 2


def test_graphs_carry_their_settings():
    featurizer = CrystalGraphFeaturizer(max_neighbors=np.int64(6), cutoff=4)
    settings = featurizer.transform([SALT]).settings
    assert settings == {
        "connectivity": {"rule": "nearest", "max_neighbors": 6, "cutoff": 4.0},
        "merge_equivalent": True,
    }
    assert json.loads(json.dumps(settings)) == settings
    twin = CrystalGraphFeaturizer.from_settings(settings)
    assert twin.transform([SALT]).settings == settings


def test_parameters_reach_the_graphs(irregular, capsys):
    plain = CrystalGraphFeaturizer(merge_equivalent=False, verbose=1).transform([SALT])
    assert plain.n_sites == len(SALT)
    assert "featurizing: 100%" in capsys.readouterr().err
    many = irregular * 8
    serial = CrystalGraphFeaturizer().transform(many)
    assert capsys.readouterr().err == ""
    parallel = CrystalGraphFeaturizer(n_jobs=2).transform(many)
    np.testing.assert_array_equal(serial.edge_index, parallel.edge_index)
    np.testing.assert_array_equal(serial.distances, parallel.distances)


# Edge rules


@pytest.mark.parametrize(
    ("params", "rule"),
    [
        ({}, NearestNeighbors()),
        ({"max_neighbors": 6, "cutoff": 4.0}, NearestNeighbors(6, 4.0)),
        ({"max_neighbors": None, "cutoff": 5}, NearestNeighbors(None, 5.0)),
        ({"connectivity": "voronoi"}, VoronoiNeighbors()),
        (
            # Voronoi neighbors have no number to reach.
            {"connectivity": "voronoi", "cutoff": 5.0, "max_neighbors": 6},
            VoronoiNeighbors(cutoff=5.0),
        ),
        ({"connectivity": "original"}, OriginalNeighbors()),
        (
            {"connectivity": "original", "cutoff": 5.0, "max_neighbors": 6},
            OriginalNeighbors(6, 5.0),
        ),
    ],
    ids=str,
)
def test_a_name_makes_the_rule_from_the_parameters(params, rule):
    named = CrystalGraphFeaturizer(**params)
    with_rule = CrystalGraphFeaturizer(connectivity=rule)
    assert named.graph_settings() == with_rule.graph_settings()
    graphs = named.transform([SALT])
    assert with_rule.transform(graphs) is graphs
    np.testing.assert_array_equal(
        with_rule.transform([SALT]).distances, graphs.distances
    )


@pytest.mark.parametrize("connectivity", ["nearest", "voronoi"])
def test_isolated_sites_reach_the_rule(connectivity):
    atom = Structure(Lattice.cubic(30.0), ["Xe"], [[0] * 3])
    params = {"connectivity": connectivity, "cutoff": 5.0}
    with pytest.raises(StructureError, match='isolated_sites="keep"'):
        CrystalGraphFeaturizer(**params).transform([atom])
    featurizer = CrystalGraphFeaturizer(**params, isolated_sites="keep")
    assert featurizer.transform([atom]).n_edges == 0


def test_policies_of_a_rule_do_not_tell_graphs_apart():
    keep = VoronoiNeighbors(missing_radii="ignore", isolated_sites="keep")
    assert keep != VoronoiNeighbors()
    graphs = CrystalGraphFeaturizer(connectivity=keep).transform([SALT])
    assert CrystalGraphFeaturizer(connectivity="voronoi").transform(graphs) is graphs


@pytest.mark.parametrize(
    ("rule", "params", "message"),
    [
        (
            NearestNeighbors(),
            {"max_neighbors": 6},
            r"max_neighbors=6 conflicts with connectivity=NearestNeighbors\(.*; set it "
            r"to its default, 12, and pass connectivity=NearestNeighbors"
            r"\(max_neighbors=6, \.\.\.\)$",
        ),
        (
            VoronoiNeighbors(),
            {"max_neighbors": None},
            r"max_neighbors=None conflicts .*VoronoiNeighbors.*default, 12$",
        ),
        (
            OriginalNeighbors(),
            {"cutoff": 8.0},
            r"cutoff=8\.0 conflicts .*default, None, and pass .*\(cutoff=8\.0, ",
        ),
        (
            VoronoiNeighbors(),
            {"isolated_sites": "keep"},
            r"isolated_sites='keep' conflicts .*default, 'raise', and pass ",
        ),
    ],
    ids=["number", "number that it has not", "cutoff", "policy"],
)
def test_a_rule_and_its_parameters_exclude_each_other(rule, params, message):
    featurizer = CrystalGraphFeaturizer(connectivity=rule, **params)
    for method in ("fit", "transform"):
        with pytest.raises(ValueError, match=message):
            getattr(featurizer, method)([SALT])
    with pytest.raises(ValueError, match=message):
        featurizer.graph_settings()


def test_a_rule_is_a_parameter_like_any_other(tmp_path):
    rule = VoronoiNeighbors(min_solid_angle=0.1)
    featurizer = CrystalGraphFeaturizer(connectivity=rule)
    shown = f"CrystalGraphFeaturizer(connectivity={rule!r})"
    assert repr(featurizer).split() == shown.split()
    assert featurizer.get_params()["connectivity"] is rule
    joblib.dump(featurizer, tmp_path / "featurizer")
    for twin in (
        clone(featurizer),
        eval(repr(featurizer)),
        pickle.loads(pickle.dumps(featurizer)),
        joblib.load(tmp_path / "featurizer"),
        CrystalGraphFeaturizer().set_params(connectivity=rule),
    ):
        assert twin.get_params() == featurizer.get_params()
        assert twin.graph_settings() == featurizer.graph_settings()
    assert featurizer.set_params(connectivity="nearest").connectivity == "nearest"
    assert featurizer.graph_settings()["connectivity"]["rule"] == "nearest"


def test_a_search_over_rules(ionic):
    rules = ["nearest", VoronoiNeighbors(isolated_sites="keep")]
    search = GridSearchCV(
        CGCNNRegressor(
            featurizer=CrystalGraphFeaturizer(), max_epochs=2, random_state=0
        ),
        {"featurizer__connectivity": rules},
        cv=2,
        error_score="raise",
    ).fit(ionic.data[:20], ionic.target[:20])
    assert search.cv_results_["param_featurizer__connectivity"].tolist() == rules
    first, second = search.cv_results_["mean_test_score"]
    assert first != second


# Settings


@pytest.mark.parametrize(
    "rule",
    [
        NearestNeighbors(6, 4.0),
        VoronoiNeighbors(cutoff=5.0, min_solid_angle=0.2),
        OriginalNeighbors(5, 6.0),
    ],
)
@pytest.mark.parametrize("merge_equivalent", [True, False])
def test_a_featurizer_is_made_again_from_the_settings(rule, merge_equivalent):
    featurizer = CrystalGraphFeaturizer(
        connectivity=rule, merge_equivalent=merge_equivalent
    )
    settings = json.loads(json.dumps(featurizer.transform([SALT]).settings))
    again = CrystalGraphFeaturizer.from_settings(settings, n_jobs=2, verbose=1)
    assert again.get_params() == {**featurizer.get_params(), "n_jobs": 2, "verbose": 1}
    assert again.graph_settings() == settings


def test_settings_that_are_missing_have_their_default():
    again = CrystalGraphFeaturizer.from_settings({})
    assert again.get_params() == CrystalGraphFeaturizer().get_params()


@dataclass(frozen=True)
class OwnRule(EdgeRule):
    cutoff: float = 4.0

    def find_in_cell(self, cell):
        return NearestNeighbors(None, self.cutoff).find_in_cell(cell)


def test_structures_need_the_featurizer_of_your_own_rule(ionic):
    featurizer = CrystalGraphFeaturizer(connectivity=OwnRule(6.0))
    graphs = featurizer.transform(ionic.data)
    with pytest.raises(GraphSettingsError, match=r"OwnRule.*pass the featurizer that"):
        CrystalGraphFeaturizer.from_settings(graphs.settings).transform(ionic.data)
    model = CGCNNRegressor(max_epochs=1).fit(graphs, ionic.target)
    assert model.predict(graphs).shape == (60,)
    with pytest.raises(GraphSettingsError, match=r"OwnRule.*pass the featurizer that"):
        model.predict(ionic.data)
    model = CGCNNRegressor(featurizer=featurizer, max_epochs=1, random_state=0)
    expected = model.fit(graphs, ionic.target).predict(graphs)
    np.testing.assert_allclose(model.predict(ionic.data), expected, atol=1e-6)
    other = CrystalGraphFeaturizer(connectivity=OwnRule(5.0)).transform(ionic.data)
    with pytest.raises(GraphSettingsError, match=r"cutoff=5\.0 instead of 6\.0"):
        model.predict(other)


def test_your_own_rules_can_be_searched_over_in_a_pipeline(ionic):
    pipeline = make_pipeline(CrystalGraphFeaturizer(), CGCNNRegressor(max_epochs=1))
    rules = [OwnRule(6.0), OwnRule(7.0), NearestNeighbors()]
    grid = {"crystalgraphfeaturizer__connectivity": rules}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(ionic.data, ionic.target)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(ionic.data), search.predict(ionic.data))


def test_graphs_pass_through_if_they_were_made_alike():
    graphs = CrystalGraphFeaturizer(max_neighbors=6).transform([SALT])
    assert CrystalGraphFeaturizer(max_neighbors=6).transform(graphs) is graphs
    with pytest.raises(
        GraphSettingsError, match=r"made with max_neighbors=6 instead of 12;"
    ):
        CrystalGraphFeaturizer().transform(graphs)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_neighbors": 0}, "max_neighbors"),
        ({"max_neighbors": 2.5}, "max_neighbors"),
        ({"cutoff": -1.0}, "cutoff"),
        ({"max_neighbors": None}, "set at least one"),
        ({"connectivity": "all"}, "connectivity"),
        ({"connectivity": {"rule": "nearest"}}, "connectivity"),
        ({"connectivity": NearestNeighbors}, "connectivity"),
        ({"isolated_sites": "drop"}, "isolated_sites"),
        ({"on_error": "ignore"}, "on_error"),
    ],
)
def test_impossible_parameters_are_refused(params, message):
    for method in ("fit", "transform"):
        featurizer = clone(CrystalGraphFeaturizer(**params))
        with pytest.raises(ValueError, match=message):
            getattr(featurizer, method)([SALT])


# Crystals that cannot become graphs

ALLOY = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
TWICE = Structure(Lattice.cubic(3), ["Na", "Na"], [[0, 0, 0], [0, 0, 0.01]])
BAD = {1: None, 2: "NaCl.cif", 4: ALLOY, 5: TWICE, 7: Molecule(["H"], [[0] * 3])}


@pytest.mark.parametrize(
    "contain", [list, tuple, iter, object_array, lambda X: pd.Series(object_array(X))]
)
def test_collected_crystals_keep_their_place(ionic, contain):
    items = [BAD.get(row, each) for row, each in enumerate(ionic.data)]
    featurizer = CrystalGraphFeaturizer(on_error="collect")
    graphs = featurizer.fit(contain(items)).transform(contain(items))
    graphs.check()
    assert list(graphs.failed) == list(BAD)
    assert graphs.failed[1] == "is of type NoneType; leave it out"
    assert "(H1), which has no lattice" in graphs.failed[7]
    assert "site 0 is disordered" in graphs.failed[4]
    expected = CrystalGraphFeaturizer().transform(ionic.data)
    good = ~graphs.is_failed
    np.testing.assert_array_equal(graphs[good].distances, expected[good].distances)
    assert graphs.settings == expected.settings


def test_a_pipeline_step_may_collect(ionic):
    items = [BAD.get(row, each) for row, each in enumerate(ionic.data)]
    featurizer = clone(CrystalGraphFeaturizer()).set_params(on_error="collect")
    graphs = featurizer.fit_transform(items, ionic.target)
    assert len(graphs) == len(ionic.target)


def test_all_bad_crystals_are_named(ionic):
    ase = pytest.importorskip("ase")
    items = [*ionic.data[:3], ALLOY, ase.Atoms("H2"), TWICE]
    for X in (items, iter(items)):
        with pytest.raises(StructureError, match=r"^3 of 6 crystals") as caught:
            CrystalGraphFeaturizer().transform(X)
        assert list(caught.value.failed) == [3, 4, 5]
        assert caught.value.index == 3
        assert "\n  X[4] (H2): ASE Atoms cannot" in str(caught.value)
    for X in ([*items, None], iter([*items, None])):
        with pytest.raises(TypeError, match=r"^X\[6\] is of type NoneType; leave"):
            CrystalGraphFeaturizer().transform(X)


@pytest.mark.parametrize("items", [[None, "a"], [ALLOY, None], [2.5]], ids=str)
def test_crystals_that_all_fail_are_an_error(items):
    with pytest.raises(StructureError, match=r"X\[0\]") as caught:
        CrystalGraphFeaturizer(on_error="collect").transform(items)
    assert list(caught.value.failed) == list(range(len(items)))


@pytest.mark.parametrize("X", [None, "NaCl.cif", {}, [], np.zeros((3, 2)), SALT])
def test_x_of_the_wrong_type_is_not_collected(X):
    featurizer = CrystalGraphFeaturizer(on_error="collect")
    for method in (featurizer.fit, featurizer.transform):
        with pytest.raises((TypeError, ValueError), match=r"^X "):
            method(X)


def test_graphs_that_failed_are_refused_or_passed_through(ionic):
    collect = CrystalGraphFeaturizer(on_error="collect")
    graphs = collect.transform([*ionic.data[:3], ALLOY])
    assert collect.transform(graphs) is graphs
    refuse = CrystalGraphFeaturizer()
    refuse.check_settings(graphs)  # the settings are the same
    with pytest.raises(StructureError, match=r"^X\[3\] has no graph: Fe0\.5 Co0") as e:
        refuse.transform(graphs)
    assert e.value.index == 3
    with pytest.raises(StructureError, match=r"^2 of 5 (.*\n)*.*X\[~X\.is_f"):
        refuse.transform(graphs[[3, 0, 1, 2, 3]])
    good = graphs[~graphs.is_failed]  # as the message says
    assert refuse.transform(good) is good


def test_on_error_is_no_setting_of_graphs():
    collect = CrystalGraphFeaturizer(on_error="collect")
    assert collect.graph_settings() == CrystalGraphFeaturizer().graph_settings()
    again = CrystalGraphFeaturizer.from_settings(
        collect.graph_settings(), on_error="collect"
    )
    assert again.on_error == "collect"
    assert CrystalGraphFeaturizer.from_settings({}).on_error == "raise"


# Iterators


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_errors_of_an_iterator_name_the_crystal(ionic, n_jobs):
    featurizer = CrystalGraphFeaturizer(n_jobs=n_jobs)
    many = ionic.data * 4
    with pytest.raises(TypeError, match=r"X\[150\] is of type str"):
        featurizer.transform(iter([*many[:150], "NaCl"]))
    double = Structure(Lattice.cubic(3), ["Na", "Na"], [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(StructureError, match=r"X\[200\]"):
        featurizer.transform(iter([*many[:200], double]))
    with pytest.raises(TypeError, match=r"X\[0\].*concatenate"):
        featurizer.transform(iter([featurizer.transform(many[:2])]))
    with pytest.raises(ValueError, match="empty"):
        featurizer.transform(iter([]))


@pytest.mark.parametrize("estimator", [CGCNNRegressor(), CGCNNClassifier()])
def test_estimators_take_no_iterators(ionic, estimator):
    y = ionic.target if isinstance(estimator, CGCNNRegressor) else ionic.prototype
    with pytest.raises(TypeError, match=r"pass list\(X\)"):
        estimator.fit(iter(ionic.data), y)
