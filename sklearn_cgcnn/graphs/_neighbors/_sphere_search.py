"""The search for all sites within a sphere, which every edge rule begins with."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element
from pymatgen.optimization.neighbors import find_points_in_spheres

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._cells import COINCIDENT_DISTANCE, Cell
from sklearn_cgcnn.graphs._ragged import offsets_of

# Å. A pair of a site with itself at a smaller distance is the site, not an image of it.
_SELF_DISTANCE = 1e-8

# Å. The tolerance of merge_sites to be advised. Coordinates that were rounded to 0.33
# instead of 1/3 turn a site on a symmetry axis into several, not all of which are as
# close as two coincident sites. No bond is shorter than 0.74 Å.
_MERGED_DISTANCE = 0.5


class SitePairs(NamedTuple):
    """Pairs of a center site and a periodic image of a neighbor site.

    Attributes
    ----------
    centers : ndarray of shape (n_pairs,), int64
        Center of each pair, counted over all cells of the search.
    neighbors : ndarray of shape (n_pairs,), int64
        Neighbor of each pair, as its position within its own cell.
    distances : ndarray of shape (n_pairs,), float64
        Distance between the two in Å.
    images : ndarray of shape (n_pairs, 3), float64, or None
        Lattice translation of the neighbor, in multiples of the lattice vectors.
    """

    centers: NDArray[np.int64]
    neighbors: NDArray[np.int64]
    distances: NDArray[np.float64]
    images: NDArray[np.float64] | None = None

    def take(self, rows: NDArray[Any]) -> "SitePairs":
        """Select pairs.

        Parameters
        ----------
        rows : ndarray of shape (n_selected,), int, or of shape (n_pairs,), bool
            Positions of the pairs, or a mask.

        Returns
        -------
        SitePairs
        """
        images = None if self.images is None else self.images[rows]
        return SitePairs(
            self.centers[rows], self.neighbors[rows], self.distances[rows], images
        )


def search_spheres(
    cells: Sequence[Cell],
    centers: Sequence[NDArray[np.int64]],
    radii: Sequence[float] | NDArray[np.float64],
    *,
    with_images: bool = False,
    by_distance: bool = False,
) -> SitePairs:
    """Find all pairs of sites within a radius, in several crystals.

    Parameters
    ----------
    cells : sequence of Cell, of length n_cells
        The unit cells of the crystals.
    centers : sequence of n_cells ndarrays, int64
        The center sites in each cell, as positions in ascending order.
    radii : sequence of float, of length n_cells
        Radius of the spheres in each cell, in Å.
    with_images : bool, default=False
        Whether to return the lattice translations of the neighbors.
    by_distance : bool, default=False
        Whether to sort the pairs of one center by their distance.

    Returns
    -------
    SitePairs
        Sorted by center. Pairs of one center, or those at equal distance if they are
        sorted, are in the order of pymatgen's search. A site is not paired with itself,
        but with its periodic images.

    Raises
    ------
    StructureError
        If two sites coincide. The attribute ``index`` of the error is the position of
        the crystal in `cells`.
    """
    offsets = site_offsets(cells)
    parts, images, first_sites = [], [], []
    for cell, offset, sites, radius in zip(
        cells, offsets[:-1], centers, radii, strict=True
    ):
        if len(sites):
            position, neighbor, image, distance = _search_cell(cell, sites, radius)
            # If all sites are centers, their positions are the sites.
            center = position if len(sites) == len(cell.coords) else sites[position]
            parts.append((center, neighbor, distance))
            images.append(image)
            first_sites.append(offset)
    # Centers and neighbors are positions within their own cell so far.
    paired, neighbors, distances = map(_concatenate, zip(*parts, strict=True))
    kept = (neighbors != paired) | (distances > _SELF_DISTANCE)
    if len(cells) > 1:
        paired = paired + np.repeat(first_sites, [len(part[0]) for part in parts])
    translations = _concatenate(images) if with_images else None
    pairs = SitePairs(paired, neighbors, distances, translations).take(kept)
    if by_distance:
        pairs = pairs.take(_order_by_distance(pairs))
    elif (np.diff(pairs.centers) < 0).any():
        pairs = pairs.take(np.argsort(pairs.centers, kind="stable"))
    _check_coincident(pairs, cells, offsets)
    return pairs


def _order_by_distance(pairs: SitePairs) -> NDArray[np.intp]:
    """Return the stable order of pairs by center, and then by distance."""
    order = np.argsort(pairs.distances, kind="stable")
    centers = pairs.centers[order]
    if centers.max(initial=0) <= np.iinfo(np.uint16).max:
        centers = centers.astype(np.uint16)  # numpy sorts short integers faster
    return order[np.argsort(centers, kind="stable")]


def _concatenate(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate arrays, without a copy if there is only one."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _search_cell(
    cell: Cell, sites: NDArray[np.int64], radius: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the position in `sites`, the neighbor, image and distance of each pair."""
    pairs: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
    pairs = find_points_in_spheres(
        cell.coords,
        cell.coords[sites],
        r=radius,
        pbc=np.array(cell.pbc, dtype=np.int64),
        lattice=cell.lattice,
        tol=_SELF_DISTANCE,
    )
    return pairs


def site_offsets(cells: Sequence[Cell]) -> NDArray[np.int64]:
    """Return where the sites of each cell begin, counted over all cells.

    Parameters
    ----------
    cells : sequence of Cell, of length n_cells
        The unit cells.

    Returns
    -------
    ndarray of shape (n_cells + 1,), int64
        The last entry is the number of sites of all cells.
    """
    return offsets_of(np.array([len(cell.coords) for cell in cells], dtype=np.int64))


def locate_site(site: int, offsets: NDArray[np.int64]) -> tuple[int, int]:
    """Find the crystal that a site belongs to.

    Parameters
    ----------
    site : int
        A site, counted over all cells.
    offsets : ndarray of shape (n_cells + 1,), int64
        Where the sites of each cell begin.

    Returns
    -------
    crystal : int
        Position of the crystal.
    position : int
        Position of the site within the crystal.
    """
    crystal = int(np.searchsorted(offsets, site, side="right")) - 1
    return crystal, int(site - offsets[crystal])


def _check_coincident(
    pairs: SitePairs, cells: Sequence[Cell], offsets: NDArray[np.int64]
) -> None:
    if pairs.distances.min(initial=np.inf) < COINCIDENT_DISTANCE:
        pair = int((pairs.distances < COINCIDENT_DISTANCE).argmax())
        crystal, site = locate_site(pairs.centers[pair], offsets)
        neighbor, distance = int(pairs.neighbors[pair]), pairs.distances[pair]
        raise StructureError(
            _describe_coincident(cells[crystal], site, neighbor, float(distance)),
            index=crystal,
        )


def _describe_coincident(cell: Cell, site: int, other: int, distance: float) -> str:
    if site == other:
        return (
            f"site {site} lies only {distance:.3g} Å from its own periodic image; "
            "correct the lattice, whose vectors are in Å"
        )
    problem = f"sites {site} and {other} lie only {distance:.3g} Å apart"
    numbers = cell.atomic_numbers[[site, other]]
    if numbers[0] != numbers[1]:
        elements = " and ".join(Element.from_Z(int(z)).symbol for z in numbers)
        return (
            f"{problem}, and hold {elements}; remove the duplicate, or wrong one, e.g. "
            f"with structure.remove_sites([{other}])"
        )
    return (
        f"{problem}; remove the duplicate with structure.merge_sites("
        f'tol={_MERGED_DISTANCE}, mode="delete")'
    )
