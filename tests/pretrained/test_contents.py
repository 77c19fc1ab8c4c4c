"""What cards say of the training crystals."""

import numpy as np
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.graphs import NearestNeighbors
from sklearn_cgcnn.pretrained import textbook_crystals
from sklearn_cgcnn.pretrained._contents import symbols, textbook_crystals_in
from sklearn_cgcnn.uncertainty._training_range import mean_log_lengths


def test_textbook_crystals_are_recognized():
    crystals = textbook_crystals()
    silicon = crystals["silicon"].copy()
    silicon.scale_lattice(1.05 * silicon.volume)  # 1.6 % longer
    iron = crystals["iron"].copy()
    iron.scale_lattice(1.2 * iron.volume)  # 6.3 % longer
    graphs = CrystalGraphFeaturizer().transform([iron, silicon, crystals["rock salt"]])
    assert textbook_crystals_in(graphs) == ["rock salt", "silicon"]
    assert symbols(graphs) == ["Na", "Si", "Cl", "Fe"]


def test_mean_lengths_are_those_of_all_edges():
    cscl = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    alone = Structure(Lattice.cubic(9.0), ["Cs"], [[0, 0, 0]])
    rule = NearestNeighbors(max_neighbors=14, cutoff=5.0, isolated_sites="keep")
    graphs = CrystalGraphFeaturizer(connectivity=rule).transform([cscl, alone, cscl])
    # Eight neighbors along the diagonals, and six along the axes.
    expected = np.log(4.0) + 8 / 14 * np.log(np.sqrt(3) / 2)
    found = mean_log_lengths(graphs)
    np.testing.assert_allclose(found[[0, 2]], expected, rtol=1e-12)
    assert np.isnan(found[1])
