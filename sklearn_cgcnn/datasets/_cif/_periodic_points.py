"""Searches among points in fractional coordinates, under periodic boundary conditions.

Distances are the largest difference of a coordinate. Few points are compared all with
all: importing the tree of scipy takes longer than reading a hundred files.
"""

import numpy as np
from numpy.typing import NDArray

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
