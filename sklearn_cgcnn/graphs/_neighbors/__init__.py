"""Edge rules: which sites of a crystal are joined by edges."""

from sklearn_cgcnn.graphs._neighbors._edge_rule import EdgeRule, NeighborList
from sklearn_cgcnn.graphs._neighbors._nearest import NearestNeighbors
from sklearn_cgcnn.graphs._neighbors._original import OriginalNeighbors
from sklearn_cgcnn.graphs._neighbors._registry import (
    EDGE_RULES,
    edge_rule_from_dict,
    rule_of_graphs,
)
from sklearn_cgcnn.graphs._neighbors._voronoi import VoronoiNeighbors

__all__ = [
    "EDGE_RULES",
    "EdgeRule",
    "NearestNeighbors",
    "NeighborList",
    "OriginalNeighbors",
    "VoronoiNeighbors",
    "edge_rule_from_dict",
    "rule_of_graphs",
]
