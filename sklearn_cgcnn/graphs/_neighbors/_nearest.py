"""Which sites are joined by an edge: the nearest neighbors, in whole shells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._cells import COINCIDENT_DISTANCE, Cell

# Neighbors whose distances differ by less than this (in Å) belong to one shell. Files
# round coordinates to about 5e-4 Å; chemically different shells lie further apart.
SHELL_TOLERANCE = 1e-2

# A first sphere that holds this many sites per neighbor asked for, at the crystal's
# mean density, is large enough for all but one site in 3,000 of the Materials Project.
_FIRST_SPHERE = 1.7
_GROWTH = 1.3

# Below this distance (in Å) a site has found itself and not one of its images.
SELF_DISTANCE = 1e-8


class Edges(NamedTuple):
    """The edges of several crystals, sorted by center.

    Attributes
    ----------
    counts : ndarray of shape (n_sites,), int64
        How many edges each site is the center of.
    neighbors : ndarray of shape (n_edges,), int32
        The other end, as a site's position within its own crystal.
    distances : ndarray of shape (n_edges,), float64
        In Å.
    """

    counts: NDArray[np.int64]
    neighbors: NDArray[np.int32]
    distances: NDArray[np.float64]


class _Pairs(NamedTuple):
    """Pairs of sites: the center counted over all crystals, the other in its own."""

    centers: NDArray[np.int64]
    neighbors: NDArray[np.int64]
    distances: NDArray[np.float64]

    def take(self, rows: NDArray[Any]) -> "_Pairs":
        return _Pairs(self.centers[rows], self.neighbors[rows], self.distances[rows])


@dataclass(frozen=True)
class NearestNeighbors:  # numpydoc ignore=PR02
    """Join every site to its nearest neighbors, never dividing a shell.

    A site keeps every neighbor as near as its ``max_neighbors``-th, within
    `SHELL_TOLERANCE` (1e-2 Å). Cutting at exactly 12, as the authors' program does,
    picks at random among neighbors at equal distance, so that its graph depends on
    the order of the sites and on the choice of the cell; this one depends on neither.

    Parameters
    ----------
    max_neighbors : int or None, default=12
        The number of neighbors to reach. None keeps all within `cutoff`.
    cutoff : float or None, default=None
        Largest distance in Å. None searches as far as needed.
    isolated_sites : {"raise", "keep"}, default="raise"
        What becomes of a site without a neighbor within `cutoff`: an error, or a
        site without edges.
    """

    max_neighbors: int | None = 12
    cutoff: float | None = None
    isolated_sites: Literal["raise", "keep"] = "raise"

    def __post_init__(self) -> None:
        if self.max_neighbors is None and self.cutoff is None:
            raise ValueError(
                "max_neighbors=None and cutoff=None would join every site to all "
                "others; give at least one of them"
            )

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
            If two sites coincide, or a site has no neighbor within `cutoff` and
            `isolated_sites` is "raise". Its ``index`` is the crystal's position.
        """
        n_sites = np.array([len(cell.coords) for cell in cells])
        first_sites = np.concatenate([[0], np.cumsum(n_sites)])
        radii = self._first_radii(cells)
        pending = [np.arange(n) for n in n_sites]
        kept: list[_Pairs] = []
        while any(len(centers) for centers in pending):
            pairs = _search(cells, first_sites, pending, radii)
            _check_coincident(pairs, first_sites)
            reach = np.repeat(radii, n_sites)
            limits = self._limits(pairs, int(first_sites[-1]))
            # A site whose outermost shell may stick out of its sphere is searched
            # again.
            limits[limits > reach] = -np.inf
            chosen = pairs.distances <= limits[pairs.centers]
            kept.append(pairs.take(chosen))
            pending = [
                centers[np.isneginf(limits[centers + first])]
                for centers, first in zip(pending, first_sites[:-1], strict=True)
            ]
            radii = np.minimum(radii * _GROWTH, self._largest_radius())
        edges = _sort_by_center(kept, int(first_sites[-1]))
        if self.isolated_sites == "raise":
            self._check_isolated(edges, first_sites)
        return edges

    def _largest_radius(self) -> float:
        return np.inf if self.cutoff is None else float(self.cutoff)

    def _first_radii(self, cells: Sequence[Cell]) -> NDArray[np.float64]:
        if self.max_neighbors is None:
            return np.full(len(cells), self.cutoff, dtype=np.float64)
        volume_per_site = np.array([cell.volume / len(cell.coords) for cell in cells])
        sphere = _FIRST_SPHERE * (self.max_neighbors + 1) * volume_per_site
        radii = np.cbrt(sphere * 3 / (4 * np.pi))
        return np.minimum(radii, self._largest_radius())

    def _limits(self, pairs: _Pairs, n_sites: int) -> NDArray[np.float64]:
        """How far each site's edges reach: to its last shell's end, or the cutoff."""
        largest = np.full(n_sites, self._largest_radius())
        if self.max_neighbors is None:
            return largest
        nearest = _kth_distance(pairs, self.max_neighbors, n_sites)
        limits: NDArray[np.float64] = np.minimum(nearest + SHELL_TOLERANCE, largest)
        return limits

    def _check_isolated(self, edges: Edges, first_sites: NDArray[np.int64]) -> None:
        isolated = np.flatnonzero(edges.counts == 0)
        if len(isolated):
            crystal, site = _locate(isolated[0], first_sites)
            raise StructureError(
                f"site {site} has no neighbor within cutoff={self.cutoff} Å; raise "
                'the cutoff, or pass isolated_sites="keep" to have it without edges',
                index=crystal,
            )


def _search(
    cells: Sequence[Cell],
    first_sites: NDArray[np.int64],
    pending: Sequence[NDArray[np.int64]],
    radii: NDArray[np.float64],
) -> _Pairs:
    """Find all pairs within each crystal's radius of its pending sites."""
    found = []
    for cell, first, centers, radius in zip(
        cells, first_sites[:-1], pending, radii, strict=True
    ):
        if len(centers):
            center, neighbor, _, distance = find_points_in_spheres(
                cell.coords,
                cell.coords[centers],
                r=radius,
                pbc=np.array(cell.pbc, dtype=np.int64),
                lattice=cell.lattice,
                tol=SELF_DISTANCE,
            )
            found.append(
                (centers[center], np.full(len(center), first), neighbor, distance)
            )
    centers, firsts, neighbors, distances = map(
        np.concatenate, zip(*found, strict=True)
    )
    others = (neighbors != centers) | (distances > SELF_DISTANCE)
    pairs = _Pairs(centers + firsts, neighbors, distances).take(others)
    if (np.diff(pairs.centers) < 0).any():
        pairs = pairs.take(np.argsort(pairs.centers, kind="stable"))
    return pairs


def _kth_distance(pairs: _Pairs, k: int, n_sites: int) -> NDArray[np.float64]:
    """Distance of each site's k-th neighbor; infinite where there are fewer."""
    counts = np.bincount(pairs.centers, minlength=n_sites)
    farthest = pairs.distances.max(initial=0.0) + 1.0
    order = np.argsort(pairs.centers * farthest + pairs.distances)
    enough = counts >= k
    kth = np.full(n_sites, np.inf)
    firsts = np.cumsum(counts) - counts
    kth[enough] = pairs.distances[order[firsts[enough] + k - 1]]
    return kth


def _sort_by_center(parts: Sequence[_Pairs], n_sites: int) -> Edges:
    centers, neighbors, distances = map(np.concatenate, zip(*parts, strict=True))
    if len(parts) > 1:
        order = np.argsort(centers, kind="stable")
        centers, neighbors, distances = (
            centers[order],
            neighbors[order],
            distances[order],
        )
    counts = np.bincount(centers, minlength=n_sites)
    return Edges(counts, neighbors.astype(np.int32), distances)


def _check_coincident(pairs: _Pairs, first_sites: NDArray[np.int64]) -> None:
    coincident = np.flatnonzero(pairs.distances < COINCIDENT_DISTANCE)
    if len(coincident):
        pair = coincident[0]
        crystal, site = _locate(pairs.centers[pair], first_sites)
        raise coincident_sites(
            site, pairs.neighbors[pair], pairs.distances[pair], crystal
        )


def coincident_sites(
    site: int, other: int, distance: float, crystal: int
) -> StructureError:
    """Describe two sites that lie at one place.

    Parameters
    ----------
    site, other : int
        Positions of the sites within the crystal.
    distance : float
        From one to the other, in Å.
    crystal : int
        Position of the crystal.

    Returns
    -------
    StructureError
    """
    return StructureError(
        f"sites {site} and {other} lie only {distance:.3g} Å apart; remove the "
        "duplicate, e.g. with Structure.merge_sites(mode='delete')",
        index=crystal,
    )


def _locate(site: int, first_sites: NDArray[np.int64]) -> tuple[int, int]:
    """Which crystal a site counted over all crystals is in, and its place there."""
    crystal = int(np.searchsorted(first_sites, site, side="right")) - 1
    return crystal, int(site - first_sites[crystal])
