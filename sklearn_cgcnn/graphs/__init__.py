"""Crystals as graphs: numpy and pymatgen, no torch."""

from sklearn_cgcnn.graphs._cells import Cell, read_cell
from sklearn_cgcnn.graphs._crystal_graphs import CrystalGraphs
from sklearn_cgcnn.graphs._elements import element_table, one_hot_site_features
from sklearn_cgcnn.graphs._equivalence import merge_equivalent_sites
from sklearn_cgcnn.graphs._neighbors import (
    NearestNeighbors,
    OriginalNeighbors,
    VoronoiNeighbors,
)

__all__ = [
    "Cell",
    "CrystalGraphs",
    "NearestNeighbors",
    "OriginalNeighbors",
    "VoronoiNeighbors",
    "element_table",
    "merge_equivalent_sites",
    "one_hot_site_features",
    "read_cell",
]
