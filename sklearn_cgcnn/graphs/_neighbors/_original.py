"""Edge rule: the neighbors that the original program takes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._cells import Cell
from sklearn_cgcnn.graphs._neighbors._edge_rule import EdgeRule, NeighborList
from sklearn_cgcnn.graphs._neighbors._parameter_checks import check_count, check_cutoff
from sklearn_cgcnn.graphs._neighbors._sphere_search import search_spheres

# Images of the cell within the cutoff: a search through so many takes about a second.
_MAX_IMAGES = 1e5


@dataclass(frozen=True)
class OriginalNeighbors(EdgeRule):  # numpydoc ignore=PR02
    """Join every site to a fixed number of neighbors, as the original program does.

    The program takes the nearest neighbors. Among those at equal distance it takes the
    ones that pymatgen's search returns first, which depends on the order of the sites,
    on the choice of the cell and on the last digits of the distances. If a site has
    fewer than `max_neighbors` neighbors within `cutoff`, it gets edges to the first
    site of the crystal instead, of length `cutoff` + 1 Å. Use this rule for models that
    were trained on such graphs.

    Parameters
    ----------
    max_neighbors : int, default=12
        Number of edges of each site.
    cutoff : float, default=8.0
        Radius of the search in Å.

    See Also
    --------
    sklearn_cgcnn.CrystalGraphFeaturizer : Takes the rule as `connectivity`.
    sklearn_cgcnn.checkpoints.load_original_checkpoint : Load a model of the program.

    Examples
    --------
    >>> from sklearn_cgcnn.graphs import OriginalNeighbors
    >>> OriginalNeighbors(max_neighbors=8).to_dict()
    {'rule': 'original', 'max_neighbors': 8, 'cutoff': 8.0}
    """

    rule_name: ClassVar[str] = "original"
    # The last digits decide which of several equally near neighbors are taken.
    normalize_cells: ClassVar[bool] = False

    max_neighbors: int = 12
    cutoff: float = 8.0

    def __post_init__(self) -> None:
        if self.max_neighbors is None:
            raise ValueError(
                "max_neighbors must be an integer of at least 1, got None: the rule of "
                "the original program gives every site the same number of edges; set "
                "max_neighbors to this number"
            )
        # A frozen dataclass is set through its base class.
        count = check_count("max_neighbors", self.max_neighbors)
        object.__setattr__(self, "max_neighbors", count)
        object.__setattr__(self, "cutoff", check_cutoff(self.cutoff))

    def find_in_cell(self, cell: Cell) -> NeighborList:
        """Find the edges of one crystal.

        Parameters
        ----------
        cell : Cell
            The unit cell of the crystal, not normalized.

        Returns
        -------
        NeighborList
            The edges of all sites of the cell.

        Raises
        ------
        StructureError
            If two sites coincide, or if the cell is so oblique, or has sites so far
            outside, that the search would take too long.
        """
        self._check_images(cell)
        n_sites = len(cell.coords)
        # Neighbors at equal distance stay in the order of the search, as the sort of
        # the program is stable.
        pairs = search_spheres(
            [cell], [np.arange(n_sites)], [self.cutoff], by_distance=True
        )
        first_pairs = np.searchsorted(pairs.centers, np.arange(n_sites))
        rank = np.arange(len(pairs.centers)) - first_pairs[pairs.centers]
        kept = rank < self.max_neighbors
        place = pairs.centers[kept], rank[kept]
        neighbors = np.zeros((n_sites, self.max_neighbors), dtype=np.int32)
        distances = np.full((n_sites, self.max_neighbors), self.cutoff + 1.0)
        neighbors[place] = pairs.neighbors[kept]
        distances[place] = pairs.distances[kept]
        counts = np.full(n_sites, self.max_neighbors, dtype=np.int64)
        return NeighborList(counts, neighbors.ravel(), distances.ravel())

    def _check_images(self, cell: Cell) -> None:
        inverse = np.linalg.inv(cell.lattice)
        heights = 1 / np.linalg.norm(inverse, axis=0)
        reach = 2 * np.ceil(self.cutoff / heights) + 1
        # The search also goes through all cells between the sites.
        extent = np.ptp(np.floor(cell.coords @ inverse), axis=0)
        _check_n_images(
            reach.prod(),
            "the cell is so oblique",
            'use a reduced cell, e.g. structure.get_reduced_structure("LLL")',
        )
        _check_n_images(
            (reach + extent).prod(),
            "sites lie so far from the cell",
            "move them into it, e.g. with Structure.from_sites(structure.sites, "
            "to_unit_cell=True)",
        )


def _check_n_images(n_images: float, cause: str, remedy: str) -> None:
    if n_images > _MAX_IMAGES:
        raise StructureError(
            f"{cause} that the search of the original program would go through "
            f"{n_images:.3g} images of it; {remedy}"
        )
