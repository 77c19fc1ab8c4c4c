import numpy as np
import pytest
from joblib import parallel_config
from pymatgen.core import Lattice, Structure
from sklearn import config_context
from sklearn.base import clone

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._featurizer import _chunks
from sklearn_cgcnn.exceptions import GraphSettingsError, StructureError

SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
)


def test_one_graph_per_crystal_in_order(irregular):
    graphs = CrystalGraphFeaturizer().fit_transform(irregular)
    for graph, structure in zip(graphs, irregular, strict=True):
        assert graph.atomic_numbers.tolist() == list(structure.atomic_numbers)
        assert (graph.multiplicity == 1).all()
        assert graph.site_map.tolist() == list(range(len(structure)))
        edges_per_site = np.add.reduceat(graph.edge_weights, graph.edge_offsets[:-1])
        assert edges_per_site.min() >= 12


def test_equivalent_sites_are_merged_unless_told_otherwise():
    (merged,) = CrystalGraphFeaturizer().transform([SALT])
    assert (merged.n_sites, merged.multiplicity.tolist()) == (2, [4, 4])
    (plain,) = CrystalGraphFeaturizer(merge_equivalent=False).transform([SALT])
    assert (plain.n_sites, plain.multiplicity.tolist()) == (8, [1] * 8)
    assert (plain.edge_weights == 1).all()
    assert plain.n_edges == 8 * 18
    assert plain.site_map.tolist() == list(range(8))


def test_processes_and_chunks_change_nothing(irregular):
    many = irregular * 8  # more than one chunk
    alone = CrystalGraphFeaturizer().transform(many)
    shared = CrystalGraphFeaturizer(n_jobs=2).transform(many)
    np.testing.assert_array_equal(alone.edge_index, shared.edge_index)
    np.testing.assert_array_equal(alone.distances, shared.distances)


def test_backends_that_cannot_yield_are_used_all_the_same(ionic):
    many = ionic.data * 3  # more than one chunk
    with parallel_config("multiprocessing"):
        shared = CrystalGraphFeaturizer(n_jobs=2).transform(many)
    alone = CrystalGraphFeaturizer().transform(many)
    np.testing.assert_array_equal(alone.distances, shared.distances)


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
        "max_neighbors": 6,
        "cutoff": 4.0,
        "connectivity": "nearest",
        "merge_equivalent": True,
    }
    twin = CrystalGraphFeaturizer(**settings)
    assert twin.transform([SALT]).settings == settings


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
        ({"max_neighbors": None}, "give at least one"),
        ({"connectivity": "all"}, "connectivity"),
        ({"isolated_sites": "drop"}, "isolated_sites"),
    ],
)
def test_impossible_parameters_are_refused(params, message):
    for method in ("fit", "transform"):
        featurizer = clone(CrystalGraphFeaturizer(**params))
        with pytest.raises(ValueError, match=message):
            getattr(featurizer, method)([SALT])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_structure_without_a_graph_is_named(irregular, n_jobs):
    many = irregular * 8
    many[250] = Structure(Lattice.cubic(4), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    with pytest.raises(
        StructureError, match=r"X\[250\] \(.*Fe0.5.*\): site 0"
    ) as error:
        CrystalGraphFeaturizer(n_jobs=n_jobs).transform(many)
    assert error.value.index == 250
    many[250] = Structure(Lattice.cubic(4), ["Fe", "Co"], [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(StructureError, match=r"X\[250\] \(Fe1 Co1\): sites 0 and 1"):
        CrystalGraphFeaturizer(n_jobs=n_jobs).transform(many)


def test_progress_is_shown_when_asked_for(irregular, capsys):
    CrystalGraphFeaturizer().transform(irregular)
    assert capsys.readouterr().err == ""
    CrystalGraphFeaturizer(verbose=1).transform(irregular)
    assert "featurizing: 100%" in capsys.readouterr().err


def test_an_iterator_is_read_as_it_is_needed(ionic):
    """No more than two chunks of its structures are in memory at any time."""
    alive, most = 0, 0

    class Counted(Structure):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def read():
        nonlocal alive, most
        for structure in ionic.data * 10:
            alive += 1
            most = max(most, alive)
            yield Counted.from_sites(structure.sites)

    streamed = CrystalGraphFeaturizer().fit_transform(read())
    listed = CrystalGraphFeaturizer().transform(ionic.data * 10)
    np.testing.assert_array_equal(streamed.edge_index, listed.edge_index)
    np.testing.assert_array_equal(streamed.distances, listed.distances)
    assert len(ionic.data) * 10 > 300 > most


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


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
def test_an_iterator_that_breaks_off_is_not_taken_for_a_short_one(ionic, error, n_jobs):
    def read():
        for index in range(1500):
            if index == 1000:
                raise error
            yield ionic.data[index % len(ionic.data)]

    with pytest.raises(error):
        CrystalGraphFeaturizer(n_jobs=n_jobs).transform(read())


def test_chunks_end_by_crystals_and_by_sites():
    def lengths(sizes):
        return [(start, len(chunk)) for start, chunk in _chunks(map(range, sizes))]

    assert lengths([]) == []
    assert lengths([1] * 300) == [(0, 128), (128, 128), (256, 44)]
    assert lengths([5000, 4000, 4000, 3, 3]) == [(0, 1), (1, 2), (3, 2)]
