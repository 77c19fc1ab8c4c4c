"""Merging sites that message passing cannot tell apart.

Sites of one element whose neighbors, and their neighbors' neighbors, and so on, are
of the same elements at the same distances carry equal features in every layer of the
network. One of them can stand for all, with their number as its multiplicity, and so
can one edge for all equal edges of a site: the supplement of the paper reduces sodium
chloride from eight sites to two in this way.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._neighbors._nearest import Edges

# Neighbors in the order of the distances that differ by less than this (in Å) are one:
# hardly a gap in a crystal lies between 1e-5 and 1e-3 Å. Coordinates rounded to four
# decimals part by more, and their sites stay apart.
MERGE_TOLERANCE = 1e-4

# But not if they lead, step by small step, further than this many tolerances from first
# to last, as a modulation does. Then only what arithmetic has parted (in Å) is joined.
_WIDEST = 3
_ARITHMETIC_TOLERANCE = 1e-8


class MergedSites(NamedTuple):
    """Sites and edges of several crystals, equivalent ones merged.

    Attributes
    ----------
    representatives : ndarray of shape (n_merged,), int64
        Which site each merged site is represented by: the first of those it stands
        for, counted over all crystals.
    multiplicity : ndarray of shape (n_merged,), int32
        How many sites it stands for.
    n_sites : ndarray of shape (n_crystals,), int64
        How many merged sites each crystal has.
    edges : Edges
        Of the merged sites, by center and then by neighbor and distance.
    edge_weights : ndarray of shape (n_merged_edges,), uint16
        How many equal edges of its center each stands for.
    site_map : ndarray of shape (n_sites,), int32
        The merged site that stands for each site, as its position within its crystal.
    """

    representatives: NDArray[np.int64]
    multiplicity: NDArray[np.int32]
    n_sites: NDArray[np.int64]
    edges: Edges
    edge_weights: NDArray[np.uint16]
    site_map: NDArray[np.int32]


def merge_equivalent_sites(
    atomic_numbers: NDArray[np.uint8],
    n_sites: NDArray[np.int64],
    edges: Edges,
) -> MergedSites:
    """Merge the equivalent sites of each crystal, and their equal edges.

    Parameters
    ----------
    atomic_numbers : ndarray of shape (n_sites,), uint8
        All that a site is known by, besides its edges.
    n_sites : ndarray of shape (n_crystals,), int64
        How many of the sites belong to each crystal.
    edges : Edges
        The edges of all crystals.

    Returns
    -------
    MergedSites
        The distance of a merged edge is the mean over all edges it stands for.

    Raises
    ------
    StructureError
        If a site has more than 65,535 equal edges. Its ``index`` is the crystal's
        position.
    """
    crystal = np.repeat(np.arange(len(n_sites)), n_sites)
    centers = np.repeat(np.arange(len(crystal)), edges.counts)
    neighbors = edges.neighbors + (np.cumsum(n_sites) - n_sites)[crystal[centers]]
    classes = _classify_distances(edges.distances, crystal[centers])
    colors = _refine(atomic_numbers, crystal, edges.counts, neighbors, classes)

    # Merged sites in the order of the first site that each stands for, which keeps
    # those of a crystal together.
    _, first, group = np.unique(colors, return_index=True, return_inverse=True)
    order = np.argsort(first)
    merged = np.argsort(order)[group]  # (n_sites,)
    representatives = first[order]
    multiplicity = np.bincount(merged)
    merged_per_crystal = np.bincount(crystal[representatives], minlength=len(n_sites))
    first_merged = np.cumsum(merged_per_crystal) - merged_per_crystal
    site_map = merged - first_merged[crystal]

    # Edges are equal if both their ends and their distances are; all sites that a
    # merged site stands for have the same number of them.
    n_merged, n_classes = len(representatives), classes.max(initial=0) + 1
    key = (merged[centers] * n_merged + merged[neighbors]) * n_classes + classes
    _, example, group, count = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    merged_centers = merged[centers[example]]
    weights = count // multiplicity[merged_centers]
    if weights.max(initial=0) > np.iinfo(np.uint16).max:
        heaviest = int(crystal[representatives[merged_centers[weights.argmax()]]])
        raise StructureError(
            f"a site has {weights.max()} equal neighbors, more than can be counted; "
            "lower the cutoff",
            index=heaviest,
        )
    return MergedSites(
        representatives=representatives,
        multiplicity=multiplicity.astype(np.int32),
        n_sites=merged_per_crystal,
        edges=Edges(
            counts=np.bincount(merged_centers, minlength=n_merged),
            neighbors=site_map[neighbors[example]].astype(np.int32),
            distances=np.bincount(group, weights=edges.distances) / count,
        ),
        edge_weights=weights.astype(np.uint16),
        site_map=site_map.astype(np.int32),
    )


def _classify_distances(
    distances: NDArray[np.float64], crystal: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give each distance a number, the same to those that are one.

    In ascending order, a new class begins where the gap to the distance before exceeds
    the tolerance; a class that has grown too wide is taken apart again. Rounding to a
    grid instead would part what lies on either side of one of its lines, however close.
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
    too_wide = np.repeat(spread > _WIDEST * MERGE_TOLERANCE, sizes)
    begins |= too_wide & (gaps > _ARITHMETIC_TOLERANCE)
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
    """Color the sites so that only equivalent ones of one crystal share a color.

    The refinement of Weisfeiler and Leman: a site's next color is made of its own and
    of the multiset of its edges, each a pair of distance and neighbor's color, until
    no more sites part. A color is a hash of 64 bits and a multiset the sum of its
    members' hashes; that two different ones should agree is a matter of 1 in 10^12 for
    a thousand crystals.
    """
    ends = np.cumsum(counts)
    of_distance = _mix(classes.astype(np.uint64))
    colors = _mix(crystal.astype(np.uint64) << np.uint64(8) | atomic_numbers)
    n_colors, n_before = len(np.unique(colors)), 0
    while n_before < n_colors < len(colors):
        sums = np.zeros(len(neighbors) + 1, dtype=np.uint64)
        np.cumsum(_mix(of_distance + colors[neighbors]), out=sums[1:])
        colors = _mix(colors + _mix(sums[ends] - sums[ends - counts]))
        n_before, n_colors = n_colors, len(np.unique(colors))
    return colors


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash integers: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
