"""Crystals as graphs. This package uses numpy and pymatgen, but not torch."""

from sklearn_cgcnn.graphs._build import build_graphs
from sklearn_cgcnn.graphs._cells import Cell, read_cell, sole_atomic_number
from sklearn_cgcnn.graphs._crystal_graphs import CrystalGraphs
from sklearn_cgcnn.graphs._elements import (
    PROPERTIES,
    element_table,
    one_hot_site_features,
    scaled_properties,
)
from sklearn_cgcnn.graphs._failures import Failure, structure_error
from sklearn_cgcnn.graphs._neighbors import (
    EDGE_RULES,
    EdgeRule,
    NearestNeighbors,
    NeighborList,
    OriginalNeighbors,
    VoronoiNeighbors,
    edge_rule_from_dict,
    rule_of_graphs,
)
from sklearn_cgcnn.graphs._settings import describe_differences, graph_settings
from sklearn_cgcnn.graphs._shard_writer import write_shards
from sklearn_cgcnn.graphs._shards import (
    AnyGraphs,
    ShardedCrystalGraphs,
    chunks_of,
    in_memory,
)

__all__ = [
    "EDGE_RULES",
    "PROPERTIES",
    "AnyGraphs",
    "Cell",
    "CrystalGraphs",
    "EdgeRule",
    "Failure",
    "NearestNeighbors",
    "NeighborList",
    "OriginalNeighbors",
    "ShardedCrystalGraphs",
    "VoronoiNeighbors",
    "build_graphs",
    "chunks_of",
    "describe_differences",
    "edge_rule_from_dict",
    "element_table",
    "graph_settings",
    "in_memory",
    "one_hot_site_features",
    "read_cell",
    "rule_of_graphs",
    "scaled_properties",
    "sole_atomic_number",
    "structure_error",
    "write_shards",
]
