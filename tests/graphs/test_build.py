"""From structures to the container: chunks, processes, iterators, named errors."""

import numpy as np
import pytest
from joblib import parallel_config
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import NearestNeighbors, VoronoiNeighbors, build_graphs
from sklearn_cgcnn.graphs._build import _split_into_chunks

RULE = NearestNeighbors()
SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
)


def test_one_graph_per_crystal_in_order(irregular):
    graphs = build_graphs(irregular, RULE)
    assert len(graphs) == len(irregular)
    for graph, structure in zip(graphs, irregular, strict=True):
        assert graph.atomic_numbers.tolist() == list(structure.atomic_numbers)
        assert (graph.multiplicity == 1).all()
        assert graph.site_map.tolist() == list(range(len(structure)))
        edges_per_site = np.add.reduceat(graph.edge_weights, graph.edge_offsets[:-1])
        assert edges_per_site.min() >= 12


def test_equivalent_sites_are_merged_by_default():
    (merged,) = build_graphs([SALT], RULE)
    assert (merged.n_sites, merged.multiplicity.tolist()) == (2, [4, 4])
    (plain,) = build_graphs([SALT], RULE, merge_equivalent=False)
    assert (plain.n_sites, plain.multiplicity.tolist()) == (8, [1] * 8)
    assert (plain.edge_weights == 1).all()
    assert plain.n_edges == 8 * 18
    assert plain.site_map.tolist() == list(range(8))


@pytest.mark.parametrize("merge_equivalent", [True, False])
def test_graphs_store_the_rule_and_whether_sites_are_merged(merge_equivalent):
    rule = VoronoiNeighbors(cutoff=5.0)
    graphs = build_graphs([SALT], rule, merge_equivalent=merge_equivalent)
    assert graphs.settings == {
        "connectivity": {"rule": "voronoi", "cutoff": 5.0, "min_solid_angle": 0.05},
        "merge_equivalent": merge_equivalent,
    }


# Chunks and processes


def test_processes_and_chunks_change_nothing(irregular):
    many = irregular * 8  # more than one chunk
    serial = build_graphs(many, RULE)
    parallel = build_graphs(many, RULE, n_jobs=2)
    np.testing.assert_array_equal(serial.edge_index, parallel.edge_index)
    np.testing.assert_array_equal(serial.distances, parallel.distances)
    joined = type(serial).concatenate([build_graphs([each], RULE) for each in many])
    np.testing.assert_array_equal(serial.edge_index, joined.edge_index)
    np.testing.assert_array_equal(serial.distances, joined.distances)


def test_backends_that_cannot_yield_results_work_too(ionic):
    many = ionic.data * 3  # more than one chunk
    with parallel_config("multiprocessing"):
        parallel = build_graphs(many, RULE, n_jobs=2)
    serial = build_graphs(many, RULE)
    np.testing.assert_array_equal(serial.distances, parallel.distances)


@pytest.mark.parametrize("n_structures", [1, 300])
def test_n_jobs_is_checked_however_few_structures_there_are(n_structures):
    with pytest.raises(ValueError, match="n_jobs == 0"):
        build_graphs([SALT] * n_structures, RULE, n_jobs=0)


def test_chunks_end_by_crystals_and_by_sites():
    def lengths(sizes):
        chunks = _split_into_chunks(map(range, sizes))
        return [len(chunk) for chunk in chunks]

    assert lengths([]) == []
    assert lengths([1] * 300) == [128, 128, 44]
    assert lengths([5000, 4000, 4000, 3, 3]) == [1, 2, 2]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_structure_without_a_graph_is_named(irregular, n_jobs):
    many = irregular * 8
    many[250] = Structure(Lattice.cubic(4), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    with pytest.raises(
        StructureError, match=r"X\[250\] \(.*Fe0.5.*\): site 0"
    ) as error:
        build_graphs(many, RULE, n_jobs=n_jobs)
    assert error.value.index == 250
    many[250] = Structure(Lattice.cubic(4), ["Fe", "Co"], [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(
        StructureError, match=r"X\[250\] \(Fe1 Co1\): sites 0 and 1"
    ) as error:
        build_graphs(many, RULE, n_jobs=n_jobs)
    assert error.value.index == 250


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_first_of_several_structures_without_a_graph_is_named(ionic, n_jobs):
    many = ionic.data * 20
    many[700] = Structure(Lattice.cubic(4), ["Fe", "Co"], [[0, 0, 0], [0, 0, 0]])
    many[1000] = Structure(Lattice.cubic(4), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    with pytest.raises(StructureError, match=r"X\[700\] \(Fe1 Co1\): sites 0 and 1"):
        build_graphs(many, RULE, n_jobs=n_jobs)
    many[700] = many[0]
    with pytest.raises(StructureError, match=r"X\[1000\] \(.*Fe0.5.*\): site 0"):
        build_graphs(many, RULE, n_jobs=n_jobs)


def test_progress_is_shown_on_request(irregular, capsys):
    build_graphs(irregular, RULE)
    assert capsys.readouterr().err == ""
    build_graphs(irregular, RULE, verbose=1)
    assert "featurizing: 100%" in capsys.readouterr().err


# Iterators


def by_function(structures, n_jobs=None):
    return build_graphs(structures, RULE, n_jobs=n_jobs)


def by_featurizer(structures, n_jobs=None):
    return CrystalGraphFeaturizer(n_jobs=n_jobs).fit_transform(structures)


@pytest.mark.parametrize("build", [by_function, by_featurizer])
def test_an_iterator_is_read_as_it_is_needed(ionic, build):
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

    streamed = build(read())
    listed = build_graphs(ionic.data * 10, RULE)
    np.testing.assert_array_equal(streamed.edge_index, listed.edge_index)
    np.testing.assert_array_equal(streamed.distances, listed.distances)
    assert len(ionic.data) * 10 > 300 > most


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
@pytest.mark.parametrize("build", [by_function, by_featurizer])
def test_an_iterator_that_breaks_off_is_not_taken_for_a_short_one(
    ionic, build, error, n_jobs, caplog
):
    def read():
        for index in range(1500):
            if index == 1000:
                raise error
            yield ionic.data[index % len(ionic.data)]

    with pytest.raises(error):
        build(read(), n_jobs)
    assert not caplog.records  # of a worker pool that broke


@pytest.mark.parametrize("nothing", [[], iter([])], ids=["list", "iterator"])
def test_no_structures_at_all(nothing):
    with pytest.raises(ValueError, match="X contains no crystals: it is empty"):
        build_graphs(nothing, RULE)
