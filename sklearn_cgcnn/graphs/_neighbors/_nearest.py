"""Edge rule: the nearest neighbors of each site, in whole shells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._cells import Cell
from sklearn_cgcnn.graphs._neighbors._edge_rule import EdgeRule, NeighborList
from sklearn_cgcnn.graphs._neighbors._parameter_checks import (
    check_choice,
    check_count,
    check_cutoff,
)
from sklearn_cgcnn.graphs._neighbors._sphere_search import (
    SitePairs,
    locate_site,
    search_spheres,
    site_offsets,
)
from sklearn_cgcnn.graphs._ragged import offsets_of

# Å. Neighbors whose distances differ by less than this belong to one shell. Files round
# coordinates to about 5e-4 Å, and chemically different shells lie further apart.
SHELL_TOLERANCE = 1e-2

# The first search sphere is so large that, at the mean density of the crystal, it holds
# 1.7 sites for each neighbor to be found. This is enough for all but one site in 3,000
# of the Materials Project. For the remaining sites the radius grows by a factor, again
# and again, until it is large enough.
_FIRST_SPHERE = 1.7
_GROWTH = 1.3


@dataclass(frozen=True)
class NearestNeighbors(EdgeRule):  # numpydoc ignore=PR02
    """Join every site to its nearest neighbors, in whole shells.

    A site keeps each neighbor that is at most 0.01 Å farther away than its
    `max_neighbors`-th nearest one. A shell of neighbors at equal distance is therefore
    kept or left out as a whole, and the graph depends neither on the order of the sites
    nor on the choice of the cell. The original program keeps exactly 12 neighbors
    instead, and selects arbitrarily among neighbors at equal distance.

    Parameters
    ----------
    max_neighbors : int or None, default=12
        Smallest number of neighbors of a site, if there are as many within `cutoff`.
        None keeps all neighbors within `cutoff`.
    cutoff : float or None, default=None
        Largest length of an edge in Å. None searches as far as `max_neighbors` needs.
    isolated_sites : {"raise", "keep"}, default="raise"
        How to treat a site without a neighbor within `cutoff`. "raise" raises an error
        that names the site, "keep" keeps the site without edges.

    See Also
    --------
    sklearn_cgcnn.CrystalGraphFeaturizer : Takes the rule as `connectivity`.

    Examples
    --------
    >>> from sklearn_cgcnn import CrystalGraphFeaturizer
    >>> from sklearn_cgcnn.graphs import NearestNeighbors
    >>> rule = NearestNeighbors(max_neighbors=None, cutoff=5.0)
    >>> rule.to_dict()
    {'rule': 'nearest', 'max_neighbors': None, 'cutoff': 5.0}
    >>> featurizer = CrystalGraphFeaturizer(connectivity=rule)
    """

    rule_name: ClassVar[str] = "nearest"

    max_neighbors: int | None = 12
    cutoff: float | None = None
    isolated_sites: Literal["raise", "keep"] = "raise"

    def __post_init__(self) -> None:
        if self.max_neighbors is None and self.cutoff is None:
            raise ValueError(
                "max_neighbors=None and cutoff=None would join every site to all "
                "others; set at least one of them"
            )
        # A frozen dataclass is set through its base class.
        if self.max_neighbors is not None:
            count = check_count("max_neighbors", self.max_neighbors)
            object.__setattr__(self, "max_neighbors", count)
        if self.cutoff is not None:
            object.__setattr__(self, "cutoff", check_cutoff(self.cutoff))
        check_choice("isolated_sites", self.isolated_sites, "raise", "keep")

    def find_in_cell(self, cell: Cell) -> NeighborList:
        """Find the edges of one crystal.

        Parameters
        ----------
        cell : Cell
            The unit cell of the crystal.

        Returns
        -------
        NeighborList
            The edges of all sites of the cell.

        Raises
        ------
        StructureError
            If two sites coincide, or if a site has no neighbor within `cutoff` and
            `isolated_sites` is "raise".
        """
        return self.find([cell])

    def find(self, cells: Sequence[Cell]) -> NeighborList:
        """Find the edges of several crystals.

        Parameters
        ----------
        cells : sequence of Cell
            The unit cells of the crystals, at least one.

        Returns
        -------
        NeighborList
            The edges of all sites of the first cell, then those of the second, and so
            on.

        Raises
        ------
        StructureError
            If two sites coincide, or if a site has no neighbor within `cutoff` and
            `isolated_sites` is "raise". The attribute ``index`` of the error is the
            position of the crystal in `cells`.
        """
        offsets = site_offsets(cells)
        sites_per_cell, n_sites = np.diff(offsets), int(offsets[-1])
        radii = self._first_radii(cells)
        pending = [np.arange(n) for n in sites_per_cell]
        kept: list[SitePairs] = []
        while any(len(sites) for sites in pending):
            pairs = search_spheres(cells, pending, radii)
            limits = self._limits(pairs, n_sites)
            # The outermost shell of a site may reach beyond the sphere. Then the site
            # keeps none of these pairs, and is searched again with a larger radius.
            limits[limits > np.repeat(radii, sites_per_cell)] = -np.inf
            kept.append(pairs.take(pairs.distances <= limits[pairs.centers]))
            pending = [
                sites[np.isneginf(limits[sites + first])]
                for sites, first in zip(pending, offsets[:-1], strict=True)
            ]
            radii = np.minimum(radii * _GROWTH, self._largest_radius())
        edges = _join_pairs(kept, n_sites)
        if self.isolated_sites == "raise":
            self._check_isolated(edges, offsets)
        return edges

    def _largest_radius(self) -> float:
        return np.inf if self.cutoff is None else self.cutoff

    def _first_radii(self, cells: Sequence[Cell]) -> NDArray[np.float64]:
        if self.max_neighbors is None:
            return np.full(len(cells), self.cutoff, dtype=np.float64)
        volume_per_site = np.array([cell.volume / len(cell.coords) for cell in cells])
        sphere = _FIRST_SPHERE * (self.max_neighbors + 1) * volume_per_site
        radii = np.cbrt(sphere * 3 / (4 * np.pi))
        return np.minimum(radii, self._largest_radius())

    def _limits(self, pairs: SitePairs, n_sites: int) -> NDArray[np.float64]:
        """Return the largest length of the edges of each site in Å."""
        largest = np.full(n_sites, self._largest_radius())
        if self.max_neighbors is None:
            return largest
        nearest = _kth_distance(pairs, self.max_neighbors, n_sites)
        limits: NDArray[np.float64] = np.minimum(nearest + SHELL_TOLERANCE, largest)
        return limits

    def _check_isolated(self, edges: NeighborList, offsets: NDArray[np.int64]) -> None:
        isolated = np.flatnonzero(edges.counts == 0)
        if len(isolated):
            crystal, site = locate_site(isolated[0], offsets)
            raise StructureError(
                f"site {site} has no neighbor within cutoff={self.cutoff} Å; increase "
                'the cutoff, or pass isolated_sites="keep" to keep the site without '
                "edges",
                index=crystal,
            )


def _kth_distance(pairs: SitePairs, k: int, n_sites: int) -> NDArray[np.float64]:
    """Return the distance of each site's k-th neighbor, infinite if it has fewer."""
    counts = np.bincount(pairs.centers, minlength=n_sites)
    # One sort by center and distance: each center has an interval of its own.
    interval = pairs.distances.max(initial=0.0) + 1.0
    order = np.argsort(pairs.centers * interval + pairs.distances)
    enough = counts >= k
    kth = np.full(n_sites, np.inf)
    first_pairs = offsets_of(counts)[:-1]
    kth[enough] = pairs.distances[order[first_pairs[enough] + k - 1]]
    return kth


def _join_pairs(parts: Sequence[SitePairs], n_sites: int) -> NeighborList:
    """Return the pairs of several searches as one list, sorted by center."""
    centers = np.concatenate([part.centers for part in parts])
    neighbors = np.concatenate([part.neighbors for part in parts])
    distances = np.concatenate([part.distances for part in parts])
    if len(parts) > 1:
        order = np.argsort(centers, kind="stable")
        neighbors, distances = neighbors[order], distances[order]
    counts = np.bincount(centers, minlength=n_sites)
    return NeighborList(counts, neighbors.astype(np.int32), distances)
