r"""The faces of the Voronoi cells of a crystal's sites.

The Voronoi cell of a site at the origin is the set of all points v with
:math:`v \cdot x \le |x|^2 / 2` for every neighbor x. This set is the polar body of the
convex hull of the points :math:`x / |x|^2`. One hull for each site is therefore enough:

- A neighbor has a face if its point is a corner of the hull.
- The outward normals of the hull's facets point to the corners of the Voronoi cell.
- The solid angle of a face is that of the normals of all facets that meet at its
  corner of the hull.

The origin is added to the points of the hull. It is a corner of the hull if the cell is
open, that is, extends to infinity.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.graphs._cells import Cell
from sklearn_cgcnn.graphs._neighbors._sphere_search import SitePairs, search_spheres

# The first search radius, in radii of a sphere that has the mean volume of a site. It
# includes every neighbor that shapes a Voronoi cell, for most crystals. For the others
# the radius grows by a factor, up to the largest radius (in Å). A cell that reaches
# beyond that is treated as open.
_FIRST_SPHERE = 4.0
_GROWTH = 1.4
_LARGEST_SPHERE = 13.0

# Å. Distance of artificial neighbors along the axes, which close a cell that has no
# neighbors on some side.
_FAR = 1e3


class VoronoiFaces(NamedTuple):
    """Faces of Voronoi cells, each between a center and an image of a neighbor site.

    Attributes
    ----------
    centers : ndarray of shape (n_faces,), int64
        The site whose Voronoi cell has the face.
    neighbors : ndarray of shape (n_faces,), int64
        The site whose image has the cell on the other side.
    distances : ndarray of shape (n_faces,), float64
        Distance between center and neighbor in Å.
    solid_angles : ndarray of shape (n_faces,), float64
        Solid angle of the face, seen from the center, in steradians.
    """

    centers: NDArray[np.int64]
    neighbors: NDArray[np.int64]
    distances: NDArray[np.float64]
    solid_angles: NDArray[np.float64]

    def take(self, rows: NDArray[Any]) -> "VoronoiFaces":
        """Select faces.

        Parameters
        ----------
        rows : ndarray of shape (n_selected,), int, or of shape (n_faces,), bool
            Positions of the faces, or a mask.

        Returns
        -------
        VoronoiFaces
        """
        return VoronoiFaces(*(column[rows] for column in self))


def find_faces(cell: Cell) -> VoronoiFaces:
    """Find the faces of the Voronoi cells of all sites of a crystal.

    Parameters
    ----------
    cell : Cell
        The unit cell of the crystal.

    Returns
    -------
    VoronoiFaces
        All faces, sorted by center.

    Raises
    ------
    StructureError
        If two sites coincide.
    """
    n_sites = len(cell.coords)
    radius = _FIRST_SPHERE * float(np.cbrt(3 * cell.volume / (4 * np.pi * n_sites)))
    pending, parts = np.arange(n_sites), []
    while len(pending):
        radius = min(radius, _LARGEST_SPHERE)
        pairs = search_spheres([cell], [pending], [radius], with_images=True)
        starts = np.searchsorted(pairs.centers, np.append(pending, n_sites))
        vectors = _vectors(cell, pairs)
        solid_angles, widths = _solid_angles(vectors, pairs.distances, starts)
        # A neighbor farther away than twice the outermost corner of a cell cannot have
        # a part in it.
        complete = (widths <= radius) | (radius >= _LARGEST_SPHERE)
        kept = np.repeat(complete, np.diff(starts)) & (solid_angles > 0)
        faces = VoronoiFaces(
            pairs.centers, pairs.neighbors, pairs.distances, solid_angles
        )
        parts.append(faces.take(kept))
        pending, radius = pending[~complete], radius * _GROWTH
    joined = VoronoiFaces(*map(np.concatenate, zip(*parts, strict=True)))
    return joined.take(np.argsort(joined.centers, kind="stable"))


def _vectors(cell: Cell, pairs: SitePairs) -> NDArray[np.float64]:
    """Return the vectors from centers to neighbors in Å, of shape (n_pairs, 3)."""
    assert pairs.images is not None
    ends = cell.coords[pairs.neighbors] + pairs.images @ cell.lattice
    vectors: NDArray[np.float64] = ends - cell.coords[pairs.centers]
    return vectors


def _solid_angles(
    vectors: NDArray[np.float64],
    distances: NDArray[np.float64],
    starts: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the solid angle of each neighbor's face, and twice each cell's radius.

    Parameters
    ----------
    vectors : ndarray of shape (n_neighbors, 3)
        From each center to its neighbors in Å, sorted by center.
    distances : ndarray of shape (n_neighbors,)
        Lengths of the vectors in Å.
    starts : ndarray of shape (n_centers + 1,)
        Where the neighbors of each center begin.

    Returns
    -------
    solid_angles : ndarray of shape (n_neighbors,)
        In steradians, zero for neighbors without a face.
    widths : ndarray of shape (n_centers,)
        Twice the distance of each cell's outermost corner in Å, infinite for open
        cells.
    """
    inverted = vectors / distances[:, None] ** 2
    corners, normals, widths = [], [], np.empty(len(starts) - 1)
    for center, (start, stop) in enumerate(pairwise(starts.tolist())):
        simplices, equations = _hull(inverted[start:stop])
        # Neither the origin nor the artificial neighbors have a face.
        is_neighbor = simplices.ravel() < stop - start
        corners.append(simplices.ravel()[is_neighbor] + start)
        normals.append(np.repeat(equations[:, :3], 3, axis=0)[is_neighbor])
        nearest = float(-equations[:, 3].max())
        widths[center] = 1 / nearest if nearest > 1e-12 else np.inf
    corner, normal = np.concatenate(corners), np.concatenate(normals)
    return _cone_angles(corner, normal, len(vectors)), widths


def _hull(
    points: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return corners and planes of the facets of the hull of points and the origin."""
    # Imported here because the import is slow.
    from scipy.spatial import ConvexHull, QhullError

    points = np.vstack([points, np.zeros(3)])
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):  # all points in one plane, or too few
        axes = np.vstack([np.eye(3), -np.eye(3)]) / _FAR
        hull = ConvexHull(np.vstack([points, axes]))
    return hull.simplices, hull.equations


def _cone_angles(
    corner: NDArray[np.int64], normal: NDArray[np.float64], n_corners: int
) -> NDArray[np.float64]:
    """Compute the solid angle that the normals at each corner span, in steradians.

    The normals at a corner are ordered around their mean direction. Each two that
    follow each other form, with the mean, a spherical triangle, whose solid angle is
    given by Van Oosterom and Strackee (IEEE Trans. Biomed. Eng. 30, 125, 1983).
    """
    if not len(corner):
        return np.zeros(n_corners)
    center = np.stack(
        [np.bincount(corner, normal[:, axis], n_corners) for axis in range(3)], axis=1
    )
    norms = np.linalg.norm(center, axis=1, keepdims=True)
    center = np.divide(center, norms, out=np.zeros_like(center), where=norms > 0)
    # Angles around the mean direction start from an arbitrary direction across it.
    middle = center[corner]  # (n_normals, 3)
    across = np.cross(middle, np.eye(3)[np.abs(middle).argmin(axis=1)])
    along = np.cross(middle, across)
    angle = np.arctan2((normal * along).sum(axis=1), (normal * across).sum(axis=1))
    order = np.lexsort((angle, corner))
    corner, normal, middle = corner[order], normal[order], middle[order]
    # Each normal is followed by the next one at its corner, the last one by the first.
    last = np.flatnonzero(np.diff(corner, append=-1))
    next_row = np.arange(1, len(corner) + 1)
    next_row[last] = np.concatenate([[0], last[:-1] + 1])
    following = normal[next_row]
    volume = (middle * np.cross(normal, following)).sum(axis=1)
    spread = 1 + (normal * following).sum(axis=1)
    spread += (middle * (normal + following)).sum(axis=1)
    triangle = 2 * np.arctan2(np.abs(volume), spread)
    return np.bincount(corner, triangle, n_corners).astype(np.float64)
