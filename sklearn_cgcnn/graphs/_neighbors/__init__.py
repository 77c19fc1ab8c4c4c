"""Edge rules: which sites of a crystal are joined by edges."""

from sklearn_cgcnn.graphs._neighbors._nearest import NearestNeighbors
from sklearn_cgcnn.graphs._neighbors._original import OriginalNeighbors
from sklearn_cgcnn.graphs._neighbors._voronoi import VoronoiNeighbors

__all__ = ["NearestNeighbors", "OriginalNeighbors", "VoronoiNeighbors"]
