"""Test the graphs of the original program against its calls of pymatgen."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import OriginalNeighbors


def original(**params):
    return CrystalGraphFeaturizer(
        connectivity="original", **{"merge_equivalent": False, **params}
    )


def edges_of_the_program(structure, n=12, radius=8.0):
    neighbors, distances = [], []
    for found in structure.get_all_neighbors(radius):
        nearest = sorted(found, key=lambda each: each.nn_distance)[:n]
        missing = n - len(nearest)
        neighbors += [each.index for each in nearest] + [0] * missing
        distances += [each.nn_distance for each in nearest] + [radius + 1] * missing
    return neighbors, distances


def assert_graphs_are_those_of_the_program(structures):
    graphs = original().transform(structures)
    for structure, graph in zip(structures, graphs, strict=True):
        neighbors, distances = edges_of_the_program(structure)
        np.testing.assert_array_equal(graph.neighbors, neighbors)
        np.testing.assert_array_equal(graph.distances, distances)


def test_graphs_are_those_of_the_program(ionic, irregular):
    apart = Structure(Lattice.cubic(7.5), ["Xe", "He"], [[0] * 3, [0.1] * 3])
    alone = Structure(Lattice.cubic(20.0), ["H", "H"], [[0] * 3, [0, 0, 0.04]])
    assert_graphs_are_those_of_the_program([*ionic.data, *irregular, apart, alone])


def test_graphs_of_real_crystals_are_those_of_the_program(real_crystals):
    assert_graphs_are_those_of_the_program(real_crystals[0])


def test_cut_and_padding():
    pair = Structure(Lattice.cubic(20.0), ["O", "H"], [[0] * 3, [0, 0, 0.05]])
    graph = original(max_neighbors=3, cutoff=5.0).transform([pair])
    assert graph.neighbors.tolist() == [1, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(graph.distances, [1, 6, 6, 1, 6, 6])


def test_settings_travel_with_the_graphs(ionic):
    graphs = original().transform(ionic.data[:3])
    assert graphs.settings["connectivity"]["cutoff"] == 8.0
    model = CGCNNRegressor(max_epochs=1).fit(graphs, [1.0, 2.0, 3.0])
    assert model.featurizer_.connectivity == OriginalNeighbors()


def test_a_number_of_edges_is_required(ionic):
    with pytest.raises(ValueError, match="same number of edges; set max_neighbors"):
        original(max_neighbors=None).fit(ionic.data)


def test_coincident_sites(ionic):
    twice = Structure(Lattice.cubic(4.0), ["O", "O"], [[0] * 3, [0, 0, 0.01]])
    with pytest.raises(StructureError, match=r"X\[1\].*sites . and . lie only 0.04 Å"):
        original().transform([ionic.data[0], twice])


def test_merged_graphs_predict_the_same(ionic):
    """Sites that are still equivalent after the cut at 12 neighbors are merged."""
    structures = [each.make_supercell([1, 1, 2], in_place=False) for each in ionic.data]
    plain = original().transform(structures)
    merged = original(merge_equivalent=True).transform(structures)
    assert merged.n_sites < plain.n_sites
    model = CGCNNRegressor(max_epochs=3, random_state=0).fit(plain, ionic.target)
    expected = model.predict(plain)
    model.featurizer_.set_params(merge_equivalent=True)
    np.testing.assert_allclose(model.predict(merged), expected, atol=1e-4)
