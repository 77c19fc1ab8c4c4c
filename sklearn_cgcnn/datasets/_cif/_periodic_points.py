"""Searches among points in fractional coordinates, under periodic boundary conditions.

Distances are the largest difference of a coordinate. Few points are compared all with
all: importing the tree of scipy takes longer than reading a hundred files.
"""

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice

_MAX_DISTANCES = 20_000  # that are faster to compute than a tree is to build


def into_cell(coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move points into the unit cell.

    Parameters
    ----------
    coords : ndarray of shape (..., 3)
        Fractional coordinates.

    Returns
    -------
    ndarray of shape (..., 3)
        Coordinates from 0 to below 1.
    """
    coords = coords - np.floor(coords)
    coords[coords >= 1] = 0  # the rounded result for tiny negative numbers
    return coords


def distances(
    left: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distances between all points of two lists.

    Parameters
    ----------
    left : ndarray of shape (..., n_left, 3)
        Points.
    right : ndarray of shape (..., n_right, 3)
        Points.

    Returns
    -------
    ndarray of shape (..., n_left, n_right)
    """
    difference = left[..., :, None, :] - right[..., None, :, :]
    difference -= np.rint(difference)
    result: NDArray[np.float64] = abs(difference).max(axis=-1)
    return result


def nearest(
    points: NDArray[np.float64], queries: NDArray[np.float64], tolerance: float
) -> NDArray[np.int64]:
    """Find the point that is nearest to each query.

    Parameters
    ----------
    points : ndarray of shape (n_points, 3)
        Points.
    queries : ndarray of shape (..., 3)
        Where to look for them.
    tolerance : float
        Points must be closer than this.

    Returns
    -------
    ndarray of shape (...)
        Positions of points, and n_points where there is none.
    """
    if queries.size // 3 * len(points) > _MAX_DISTANCES:
        from scipy.spatial import KDTree

        found: NDArray[np.int64] = KDTree(into_cell(points), boxsize=1).query(
            into_cell(queries), p=np.inf, distance_upper_bound=tolerance
        )[1]
        return found
    apart = distances(queries.reshape(-1, 3), points)
    positions = apart.argmin(axis=1)
    is_close = apart.min(axis=1) < tolerance
    return np.where(is_close, positions, len(points)).reshape(queries.shape[:-1])


def are_apart(points: NDArray[np.float64], tolerance: float) -> bool:
    """Whether no two points are as close as a tolerance.

    Parameters
    ----------
    points : ndarray of shape (n_points, 3)
        Points.
    tolerance : float
        The tolerance.

    Returns
    -------
    bool
    """
    n_points = len(points)
    if n_points**2 > _MAX_DISTANCES:
        from scipy.spatial import KDTree

        tree = KDTree(into_cell(points), boxsize=1)
        return not tree.query_pairs(tolerance, p=np.inf)
    return int((distances(points, points) <= tolerance).sum()) == n_points


def thicknesses(lattice: Lattice) -> NDArray[np.float64]:
    """Return the distances between opposite faces of the unit cell.

    Parameters
    ----------
    lattice : pymatgen.core.Lattice
        The lattice.

    Returns
    -------
    ndarray of shape (3,)
        In Å.
    """
    result: NDArray[np.float64] = (lattice.inv_matrix**2).sum(axis=0) ** -0.5
    return result


def are_certainly_apart(
    lattice: Lattice, points: NDArray[np.float64], distance: float
) -> bool:
    """Whether no two points, nor images of them, can be as close as a distance.

    Two points are at least as far apart as the planes through them that are parallel
    to a face of the cell. This is much faster than a search for neighbors.

    Parameters
    ----------
    lattice : pymatgen.core.Lattice
        The lattice.
    points : ndarray of shape (n_points, 3)
        Points in fractional coordinates.
    distance : float
        The distance in Å.

    Returns
    -------
    bool
        False if it is unclear.
    """
    spacings = thicknesses(lattice)
    if len(points) ** 2 > _MAX_DISTANCES or not (spacings > distance).all():
        return False
    difference = points[:, None] - points
    difference -= np.rint(difference)
    is_close = (abs(difference) * spacings).max(axis=-1) <= distance
    return int(is_close.sum()) == len(points)
