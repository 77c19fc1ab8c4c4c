"""Merge sites that message passing cannot distinguish.

Two sites are equivalent if they are of the same element, if their neighbors are of the
same elements at the same distances, and likewise the neighbors of these, and so on.
Equivalent sites have equal features in every layer of the network. One site can
therefore stand for all of them, with their number as its multiplicity. In the same way
one edge can stand for all equal edges of a site. The supplement of the paper reduces
sodium chloride from eight sites to two in this way.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._neighbors import NeighborList
from sklearn_cgcnn.graphs._ragged import offsets_of

# Å. Distances in ascending order belong to one class if each differs from the one
# before by less than this. Gaps between 1e-5 and 1e-3 Å are rare in crystals.
# Coordinates that were rounded to four decimals differ by more, and their sites are not
# merged.
MERGE_TOLERANCE = 1e-4

# Many small steps, as in a modulated structure, may add up to a wide class. If it is
# wider than this many tolerances, only distances that differ by rounding errors (in Å)
# belong together.
_MAX_TOLERANCES = 3
_ROUNDING_TOLERANCE = 1e-8


class MergedSites(NamedTuple):
    """Sites and edges of several crystals after merging equivalent ones.

    Attributes
    ----------
    representatives : ndarray of shape (n_merged,), int64
        The first of the sites that each merged site stands for, counted over all
        crystals.
    multiplicity : ndarray of shape (n_merged,), int32
        Number of sites that each merged site stands for.
    sites_per_crystal : ndarray of shape (n_crystals,), int64
        Number of merged sites of each crystal.
    edges : NeighborList
        Edges of the merged sites, sorted by center, then by neighbor, then by distance.
    edge_weights : ndarray of shape (n_merged_edges,), uint16
        Number of equal edges of its center that each merged edge stands for.
    site_map : ndarray of shape (n_sites,), int32
        The merged site that stands for each site, as its position within its own
        crystal.
    """

    representatives: NDArray[np.int64]
    multiplicity: NDArray[np.int32]
    sites_per_crystal: NDArray[np.int64]
    edges: NeighborList
    edge_weights: NDArray[np.uint16]
    site_map: NDArray[np.int32]


def merge_equivalent_sites(
    atomic_numbers: NDArray[np.uint8],
    sites_per_crystal: NDArray[np.int64],
    edges: NeighborList,
) -> MergedSites:
    """Merge the equivalent sites of each crystal, and their equal edges.

    Parameters
    ----------
    atomic_numbers : ndarray of shape (n_sites,), uint8
        Atomic number of each site, through all crystals.
    sites_per_crystal : ndarray of shape (n_crystals,), int64
        Number of sites of each crystal.
    edges : NeighborList
        The edges of all crystals.

    Returns
    -------
    MergedSites
        The length of a merged edge is the mean of the edges that it stands for.

    Raises
    ------
    StructureError
        If a site has more than 65,535 equal edges. The attribute ``index`` of the error
        is the position of the crystal.
    """
    n_crystals = len(sites_per_crystal)
    crystal = np.repeat(np.arange(n_crystals), sites_per_crystal)  # (n_sites,)
    centers = np.repeat(np.arange(len(crystal)), edges.counts)  # (n_edges,)
    neighbors = edges.neighbors + offsets_of(sites_per_crystal)[crystal[centers]]
    classes = _classify_distances(edges.distances, crystal[centers])
    colors = _refine(atomic_numbers, crystal, edges.counts, neighbors, classes)

    merged, representatives = _number_merged_sites(colors)
    multiplicity = np.bincount(merged)
    merged_per_crystal = np.bincount(crystal[representatives], minlength=n_crystals)
    site_map = merged - offsets_of(merged_per_crystal)[crystal]

    # All sites that a merged site stands for have the same number of equal edges.
    example, group, count = _group_edges(
        merged[centers], merged[neighbors], classes, n_merged=len(representatives)
    )
    merged_centers = merged[centers[example]]
    weights = count // multiplicity[merged_centers]
    _check_weights(weights, crystal[representatives[merged_centers]])
    return MergedSites(
        representatives=representatives,
        multiplicity=multiplicity.astype(np.int32),
        sites_per_crystal=merged_per_crystal,
        edges=NeighborList(
            counts=np.bincount(merged_centers, minlength=len(representatives)),
            neighbors=site_map[neighbors[example]].astype(np.int32),
            distances=np.bincount(group, weights=edges.distances) / count,
        ),
        edge_weights=weights.astype(np.uint16),
        site_map=site_map.astype(np.int32),
    )


def _number_merged_sites(
    colors: NDArray[np.uint64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the merged site of each site, and the first site of each color.

    Parameters
    ----------
    colors : ndarray of shape (n_sites,)
        Equal for sites to merge.

    Returns
    -------
    merged : ndarray of shape (n_sites,)
        The merged site that stands for each site. Merged sites are numbered in the
        order of the first site that they stand for, which keeps the sites of a crystal
        together.
    representatives : ndarray of shape (n_merged,)
        The first site that each merged site stands for.
    """
    _, first, group = np.unique(colors, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return np.argsort(order)[group], first[order]


def _group_edges(
    centers: NDArray[np.int64],
    neighbors: NDArray[np.int64],
    classes: NDArray[np.int64],
    n_merged: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Group equal edges: those with equal center, neighbor and distance class.

    Parameters
    ----------
    centers, neighbors : ndarray of shape (n_edges,)
        Merged sites at both ends of each edge.
    classes : ndarray of shape (n_edges,)
        Distance class of each edge.
    n_merged : int
        Number of merged sites.

    Returns
    -------
    example : ndarray of shape (n_groups,)
        The first edge of each group. Groups are sorted by center, neighbor and class.
    group : ndarray of shape (n_edges,)
        The group of each edge.
    count : ndarray of shape (n_groups,)
        Number of edges in each group.
    """
    n_classes = classes.max(initial=0) + 1
    key = (centers * n_merged + neighbors) * n_classes + classes
    _, example, group, count = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    return example, group, count


def _check_weights(weights: NDArray[np.int64], crystal: NDArray[np.int64]) -> None:
    """Check that the edge weights of all crystals can be stored."""
    limit = np.iinfo(np.uint16).max
    if weights.max(initial=0) > limit:
        heaviest = int(weights.argmax())
        raise StructureError(
            f"a site has {weights[heaviest]} equal edges, and at most {limit} can be "
            "stored; reduce the cutoff, or max_neighbors if there is no cutoff",
            index=int(crystal[heaviest]),
        )


def _classify_distances(
    distances: NDArray[np.float64], crystal: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the class of each distance: equal distances have the same number.

    In ascending order, a new class begins where the gap to the previous distance
    exceeds the tolerance. A class that becomes too wide is split again. Rounding to a
    grid instead would separate two distances on either side of a grid line, however
    close.
    """
    if not len(distances):
        return np.empty(0, dtype=np.int64)
    order = np.argsort(crystal * (distances.max() + 1) + distances)
    ascending = distances[order]
    gaps = np.diff(ascending, prepend=0.0)
    begins = (gaps > MERGE_TOLERANCE) | (np.diff(crystal[order], prepend=-1) != 0)
    firsts = np.flatnonzero(begins)
    sizes = np.diff(firsts, append=len(ascending))
    spread = ascending[firsts + sizes - 1] - ascending[firsts]
    too_wide = np.repeat(spread > _MAX_TOLERANCES * MERGE_TOLERANCE, sizes)
    begins |= too_wide & (gaps > _ROUNDING_TOLERANCE)
    classes = np.empty(len(distances), dtype=np.int64)
    classes[order] = np.cumsum(begins) - 1
    return classes


def _refine(
    atomic_numbers: NDArray[np.uint8],
    crystal: NDArray[np.int64],
    counts: NDArray[np.int64],
    neighbors: NDArray[np.int64],
    classes: NDArray[np.int64],
) -> NDArray[np.uint64]:
    """Return a color for each site, equal only for equivalent sites of one crystal.

    This is the color refinement of Weisfeiler and Leman. In each round, the new color
    of a site depends on its old color and on the multiset of its edges, where an edge
    is a pair of a distance class and the color of the neighbor. Rounds are repeated
    until the number of colors no longer grows. A color is a hash of 64 bits, and the
    hash of a multiset is the sum of the hashes of its members. For a thousand crystals,
    the probability that two different multisets have the same hash is about 1 in 10^12.
    """
    ends = np.cumsum(counts)
    distance_hashes = _mix(classes.astype(np.uint64))
    colors = _mix(crystal.astype(np.uint64) << np.uint64(8) | atomic_numbers)
    n_colors, n_before = len(np.unique(colors)), 0
    while n_before < n_colors < len(colors):
        sums = np.zeros(len(neighbors) + 1, dtype=np.uint64)
        np.cumsum(_mix(distance_hashes + colors[neighbors]), out=sums[1:])
        colors = _mix(colors + _mix(sums[ends] - sums[ends - counts]))
        n_before, n_colors = n_colors, len(np.unique(colors))
    return colors


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash integers with the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
