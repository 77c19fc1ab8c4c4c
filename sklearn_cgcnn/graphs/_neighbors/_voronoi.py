"""Which sites are joined by an edge: those that share a face of their Voronoi cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._cells import COINCIDENT_DISTANCE, Cell
from sklearn_cgcnn.graphs._elements import element_property
from sklearn_cgcnn.graphs._neighbors._nearest import (
    SELF_DISTANCE,
    Edges,
    coincident_sites,
)

# A bond is at most this much longer (in Å) than the sum of the covalent radii.
BOND_TOLERANCE = 0.25

# A first sphere of this many radii of a sphere of the volume of one site: it holds all
# that has a part in the Voronoi cells of most crystals. What is farther away (in Å)
# than the largest sphere has no part in a cell, which is then open.
_FIRST_SPHERE = 4.0
_GROWTH = 1.4
_LARGEST_SPHERE = 13.0

# Å. Neighbors of sites that have none on some side, which close the cell far away.
_FAR = 1e3


class _Bonds(NamedTuple):
    """Pairs of a center and an image of another site, with the face between them."""

    centers: NDArray[np.int64]
    neighbors: NDArray[np.int64]
    distances: NDArray[np.float64]
    solid_angles: NDArray[np.float64]

    def take(self, rows: NDArray[Any]) -> "_Bonds":
        return _Bonds(
            self.centers[rows],
            self.neighbors[rows],
            self.distances[rows],
            self.solid_angles[rows],
        )


@dataclass(frozen=True)
class VoronoiNeighbors:  # numpydoc ignore=PR02
    r"""Join sites that share a face of their Voronoi cells and are near enough.

    The rule of the paper's supplement, for Eq. 4: neighbors within a cutoff whose
    Voronoi cells have a face in common, and whose distance is less than the sum of
    their covalent radii (Cordero) and 0.25 Å. A face is only counted if it takes a
    least solid angle, seen from the center: in crystals of high symmetry many faces
    shrink to a point or a line, and would come and go with the last digit of the
    coordinates.

    Parameters
    ----------
    cutoff : float, default=6.0
        Largest distance in Å.
    min_solid_angle : float, default=0.05
        Smallest solid angle of a face in steradians; the sphere has 4π.
    missing_radii : {"raise", "ignore"}, default="raise"
        What becomes of elements without a covalent radius, those beyond curium: an
        error, or edges to whatever shares a face within `cutoff`.
    isolated_sites : {"raise", "keep"}, default="raise"
        What becomes of a site that is left without an edge: an error, or a site
        without edges.

    Notes
    -----
    The Voronoi cell of a site at the origin is the set of all v with
    :math:`v \cdot x \le |x|^2 / 2` for every neighbor x. That is the polar body of
    the convex hull of the points :math:`x / |x|^2`: a neighbor has a face if it is a
    corner of the hull, the outward normals of the hull's facets point to the corners of
    the cell, and the solid angle of a face is that of the normals of the facets which
    meet at its corner of the hull. So one hull for a site says all. The origin is among
    the hull's points, and is a corner of it where the cell is open.
    """

    cutoff: float = 6.0
    min_solid_angle: float = 0.05
    missing_radii: Literal["raise", "ignore"] = "raise"
    isolated_sites: Literal["raise", "keep"] = "raise"

    def find(self, cells: Sequence[Cell]) -> Edges:
        """Find the edges of several crystals.

        Parameters
        ----------
        cells : sequence of Cell

        Returns
        -------
        Edges

        Raises
        ------
        StructureError
            If two sites coincide, a covalent radius is missing, or a site is left
            alone, and the policies are to raise. Its ``index`` is the crystal's
            position.
        """
        found = [self._find_in(cell, index) for index, cell in enumerate(cells)]
        return Edges(*map(np.concatenate, zip(*found, strict=True)))

    def _find_in(self, cell: Cell, index: int) -> Edges:
        radii = self._radii(cell, index)
        bonds = find_faces(cell, index)
        reach = radii[bonds.centers] + radii[bonds.neighbors] + BOND_TOLERANCE
        kept = (
            (bonds.solid_angles >= self.min_solid_angle)
            & (bonds.distances < reach)
            & (bonds.distances <= self.cutoff)
        )
        counts = np.bincount(bonds.centers[kept], minlength=len(cell.coords))
        alone = np.flatnonzero(counts == 0)
        if self.isolated_sites == "raise" and len(alone):
            raise StructureError(
                f"site {alone[0]} shares no face with a site that is near enough to "
                'be bonded to it; pass isolated_sites="keep" to have it without edges',
                index=index,
            )
        neighbors = bonds.neighbors[kept].astype(np.int32)
        return Edges(counts, neighbors, bonds.distances[kept])

    def _radii(self, cell: Cell, index: int) -> NDArray[np.float64]:
        """Covalent radii in Å, infinite where there is none."""
        radii = element_property("covalent_radius")[cell.atomic_numbers] / 100
        missing = np.flatnonzero(np.isnan(radii))
        if self.missing_radii == "raise" and len(missing):
            number = cell.atomic_numbers[missing[0]]
            raise StructureError(
                f"site {missing[0]} holds the element {number}, which has no covalent "
                'radius (Cordero); pass missing_radii="ignore" to go without, or leave '
                "the structure out",
                index=index,
            )
        return np.where(np.isnan(radii), np.inf, radii)


def find_faces(cell: Cell, index: int = 0) -> _Bonds:
    """Find the faces of the Voronoi cells of all sites of a crystal.

    Parameters
    ----------
    cell : Cell
    index : int, default=0
        Position of the crystal, for errors.

    Returns
    -------
    _Bonds
        One for each face, sorted by center; solid angles in steradians.

    Raises
    ------
    StructureError
        If two sites coincide.
    """
    n_sites = len(cell.coords)
    radius = _FIRST_SPHERE * float(np.cbrt(3 * cell.volume / (4 * np.pi * n_sites)))
    pending, found = np.arange(n_sites), []
    while len(pending):
        radius = min(radius, _LARGEST_SPHERE)
        centers, neighbors, vectors, distances = _search(cell, pending, radius)
        if distances.min(initial=np.inf) < COINCIDENT_DISTANCE:
            pair = int(distances.argmin())
            raise coincident_sites(
                pending[centers[pair]], neighbors[pair], distances[pair], index
            )
        starts = np.searchsorted(centers, np.arange(len(pending) + 1))
        solid_angles, widths = _solid_angles(vectors, distances, starts)
        # A neighbor beyond twice the farthest corner of a cell has no part in it.
        done = (widths <= radius) | (radius >= _LARGEST_SPHERE)
        rows = done[centers] & (solid_angles > 0)
        found.append(
            _Bonds(pending[centers], neighbors, distances, solid_angles).take(rows)
        )
        pending, radius = pending[~done], radius * _GROWTH
    faces = _Bonds(*map(np.concatenate, zip(*found, strict=True)))
    return faces.take(np.argsort(faces.centers, kind="stable"))


def _search(
    cell: Cell, pending: NDArray[np.int64], radius: float
) -> tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]
]:
    """Find all neighbors of the pending sites, sorted by center."""
    centers, neighbors, images, distances = find_points_in_spheres(
        cell.coords,
        cell.coords[pending],
        r=radius,
        pbc=np.array(cell.pbc, dtype=np.int64),
        lattice=cell.lattice,
        tol=SELF_DISTANCE,
    )
    others = (pending[centers] != neighbors) | (distances > SELF_DISTANCE)
    order = np.flatnonzero(others)
    order = order[np.argsort(centers[order], kind="stable")]
    centers, neighbors, distances = centers[order], neighbors[order], distances[order]
    ends = cell.coords[neighbors] + images[order] @ cell.lattice
    return centers, neighbors, ends - cell.coords[pending[centers]], distances


def _solid_angles(
    vectors: NDArray[np.float64],
    distances: NDArray[np.float64],
    starts: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the solid angle of each neighbor's face, and twice each cell's radius.

    Parameters
    ----------
    vectors : ndarray of shape (n_neighbors, 3)
        From the centers to their neighbors, one center after the other.
    distances : ndarray of shape (n_neighbors,)
    starts : ndarray of shape (n_centers + 1,)
        Where the neighbors of each center begin.

    Returns
    -------
    solid_angles : ndarray of shape (n_neighbors,)
    widths : ndarray of shape (n_centers,)
        Infinite where the cell is open.
    """
    inverted = vectors / distances[:, None] ** 2
    corners, normals, widths = [], [], np.empty(len(starts) - 1)
    for center, (start, stop) in enumerate(pairwise(starts.tolist())):
        simplices, equations = _hull(inverted[start:stop])
        # The origin and what closes a flat hull have no faces.
        of_neighbors = simplices.ravel() < stop - start
        corners.append(simplices.ravel()[of_neighbors] + start)
        normals.append(np.repeat(equations[:, :3], 3, axis=0)[of_neighbors])
        nearest = float(-equations[:, 3].max())
        widths[center] = 1 / nearest if nearest > 1e-12 else np.inf
    corner, normal = np.concatenate(corners), np.concatenate(normals)
    return _cone_angles(corner, normal, len(vectors)), widths


def _hull(
    points: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give corners and planes of the facets of the hull of points and the origin."""
    # Here, because importing it takes long.
    from scipy.spatial import ConvexHull, QhullError

    points = np.vstack([points, np.zeros(3)])
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):  # all in one plane, or too few
        axes = np.vstack([np.eye(3), -np.eye(3)]) / _FAR
        hull = ConvexHull(np.vstack([points, axes]))
    return hull.simplices, hull.equations


def _cone_angles(
    corner: NDArray[np.int64], normal: NDArray[np.float64], n_corners: int
) -> NDArray[np.float64]:
    """Measure the solid angle between all normals of each corner."""
    if not len(corner):
        return np.zeros(n_corners)
    center = np.stack(
        [np.bincount(corner, normal[:, axis], n_corners) for axis in range(3)], axis=1
    )
    norms = np.linalg.norm(center, axis=1, keepdims=True)
    center = np.divide(center, norms, out=np.zeros_like(center), where=norms > 0)
    # Around the mean of its normals, from whatever direction is across it.
    middle = center[corner]  # (n_normals, 3)
    across = np.cross(middle, np.eye(3)[np.abs(middle).argmin(axis=1)])
    along = np.cross(middle, across)
    angle = np.arctan2((normal * along).sum(axis=1), (normal * across).sum(axis=1))
    order = np.lexsort((angle, corner))
    corner, normal, middle = corner[order], normal[order], middle[order]
    # The next normal around the corner, and after the last one the first again.
    last = np.flatnonzero(np.diff(corner, append=-1))
    follower = np.arange(1, len(corner) + 1)
    follower[last] = np.concatenate([[0], last[:-1] + 1])
    following = normal[follower]
    volume = (middle * np.cross(normal, following)).sum(axis=1)
    # Van Oosterom and Strackee (1983), for the triangle of three unit vectors.
    spread = 1 + (normal * following).sum(axis=1)
    spread += (middle * (normal + following)).sum(axis=1)
    triangle = 2 * np.arctan2(np.abs(volume), spread)
    return np.bincount(corner, triangle, n_corners).astype(np.float64)
