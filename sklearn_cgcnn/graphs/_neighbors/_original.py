"""Which sites are joined by an edge in the authors' program."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._cells import COINCIDENT_DISTANCE, Cell
from sklearn_cgcnn.graphs._neighbors._nearest import (
    SELF_DISTANCE,
    Edges,
    coincident_sites,
)

# Of a cell, within the cutoff: a second's search.
_MOST_IMAGES = 1e5


@dataclass(frozen=True)
class OriginalNeighbors:  # numpydoc ignore=PR02
    """Join every site to exactly so many neighbors, as the authors' program does.

    The nearest are taken, and among those at equal distance the ones that pymatgen's
    search finds first: which these are depends on the order of the sites, on the choice
    of the cell and on the last digit of the distances. A site with too few neighbors
    within the cutoff has edges to the first site of the crystal for each that is
    missing, one Å longer than the cutoff. For models that were trained on such graphs.

    Parameters
    ----------
    max_neighbors : int, default=12
        The number of edges of each site.
    cutoff : float, default=8.0
        Radius of the search in Å.
    """

    max_neighbors: int = 12
    cutoff: float = 8.0

    def find(self, cells: Sequence[Cell]) -> Edges:
        """Find the edges of several crystals.

        Parameters
        ----------
        cells : sequence of Cell
            As the structures give them: neither reduced nor wrapped, which would change
            the last digits.

        Returns
        -------
        Edges

        Raises
        ------
        StructureError
            If two sites coincide. Its ``index`` is the crystal's position.
        """
        found = [self._find_in(cell, index) for index, cell in enumerate(cells)]
        neighbors, distances = map(np.concatenate, zip(*found, strict=True))
        n_sites = sum(len(cell.coords) for cell in cells)
        counts = np.full(n_sites, self.max_neighbors, dtype=np.int64)
        return Edges(counts, neighbors.ravel(), distances.ravel())

    def _find_in(
        self, cell: Cell, index: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Give neighbors and distances of shape (n_sites, max_neighbors)."""
        heights = 1 / np.linalg.norm(np.linalg.inv(cell.lattice), axis=0)
        n_images = float(np.prod(2 * np.ceil(self.cutoff / heights) + 1))
        if n_images > _MOST_IMAGES:
            raise StructureError(
                f"the cell is so oblique that the search of the original program would "
                f"go through {n_images:.3g} images of it; choose a reduced one with "
                "Structure.get_reduced_structure()",
                index=index,
            )
        center, neighbor, _, distance = find_points_in_spheres(
            cell.coords,
            cell.coords,
            r=self.cutoff,
            pbc=np.array(cell.pbc, dtype=np.int64),
            lattice=cell.lattice,
            tol=SELF_DISTANCE,
        )
        others = (center != neighbor) | (distance > SELF_DISTANCE)
        center, neighbor, distance = center[others], neighbor[others], distance[others]
        if distance.min(initial=np.inf) < COINCIDENT_DISTANCE:
            pair = int(distance.argmin())
            raise coincident_sites(center[pair], neighbor[pair], distance[pair], index)
        order = np.lexsort((distance, center))  # stable, as the program's sort is
        center = center[order]
        n_sites = len(cell.coords)
        firsts = np.searchsorted(center, np.arange(n_sites))
        rank = np.arange(len(center)) - firsts[center]
        kept = rank < self.max_neighbors
        shape = (n_sites, self.max_neighbors)
        neighbors = np.zeros(shape, dtype=np.int32)
        distances = np.full(shape, self.cutoff + 1.0)
        neighbors[center[kept], rank[kept]] = neighbor[order][kept]
        distances[center[kept], rank[kept]] = distance[order][kept]
        return neighbors, distances
