"""Edge rule: sites whose Voronoi cells share a face, within bonding distance."""

from dataclasses import dataclass
from math import pi
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._cells import Cell
from sklearn_cgcnn.graphs._elements import element_property
from sklearn_cgcnn.graphs._neighbors._edge_rule import EdgeRule, NeighborList
from sklearn_cgcnn.graphs._neighbors._parameter_checks import check_choice, check_cutoff
from sklearn_cgcnn.graphs._neighbors._voronoi_faces import find_faces

# Å. A bond may exceed the sum of the covalent radii by this (supplement of the paper).
BOND_TOLERANCE = 0.25


@dataclass(frozen=True)
class VoronoiNeighbors(EdgeRule):  # numpydoc ignore=PR02
    """Join sites whose Voronoi cells share a face, if they are close enough to bond.

    This is the rule of the paper's supplement for Eq. 4: neighbors are sites within
    `cutoff` whose Voronoi cells have a face in common, and whose distance is less than
    the sum of their covalent radii (Cordero et al. 2008) plus 0.25 Å.

    Parameters
    ----------
    cutoff : float, default=6.0
        Largest length of an edge in Å.
    min_solid_angle : float, default=0.05
        Smallest solid angle of a face, seen from the center, in steradians (a full
        sphere has 4π). Smaller faces are ignored. In crystals of high symmetry many
        faces shrink to a point or a line, and would appear and disappear with the last
        digits of the coordinates.
    missing_radii : {"raise", "ignore"}, default="raise"
        How to treat elements without a covalent radius (those beyond curium). "raise"
        raises an error that names the site. "ignore" joins such a site to every site
        within `cutoff` that shares a face with it.
    isolated_sites : {"raise", "keep"}, default="raise"
        How to treat a site that has no neighbor. "raise" raises an error that names the
        site, "keep" keeps the site without edges.

    See Also
    --------
    sklearn_cgcnn.CrystalGraphFeaturizer : Takes the rule as `connectivity`.

    Examples
    --------
    >>> from sklearn_cgcnn import CrystalGraphFeaturizer
    >>> from sklearn_cgcnn.graphs import VoronoiNeighbors
    >>> rule = VoronoiNeighbors(missing_radii="ignore", isolated_sites="keep")
    >>> rule.to_dict()
    {'rule': 'voronoi', 'cutoff': 6.0, 'min_solid_angle': 0.05}
    >>> featurizer = CrystalGraphFeaturizer(connectivity=rule)
    """

    rule_name: ClassVar[str] = "voronoi"

    cutoff: float = 6.0
    min_solid_angle: float = 0.05
    missing_radii: Literal["raise", "ignore"] = "raise"
    isolated_sites: Literal["raise", "keep"] = "raise"

    def __post_init__(self) -> None:
        # A frozen dataclass is set through its base class.
        object.__setattr__(self, "cutoff", check_cutoff(self.cutoff))
        angle: Any = self.min_solid_angle
        if not (isinstance(angle, Real) and 0 <= float(angle) < 4 * pi):
            raise ValueError(
                "min_solid_angle must be a number of steradians of at least 0 and less "
                f"than 4π, got {angle!r}"
            )
        object.__setattr__(self, "min_solid_angle", float(angle))
        check_choice("missing_radii", self.missing_radii, "raise", "ignore")
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
            If two sites coincide, if a covalent radius is missing and `missing_radii`
            is "raise", or if a site has no neighbor and `isolated_sites` is "raise".
        """
        radii = self._covalent_radii(cell)
        faces = find_faces(cell)
        reach = radii[faces.centers] + radii[faces.neighbors] + BOND_TOLERANCE
        kept = (
            (faces.solid_angles >= self.min_solid_angle)
            & (faces.distances < reach)
            & (faces.distances <= self.cutoff)
        )
        counts = np.bincount(faces.centers[kept], minlength=len(cell.coords))
        isolated = np.flatnonzero(counts == 0)
        if self.isolated_sites == "raise" and len(isolated):
            raise StructureError(
                f"site {isolated[0]} shares no face with a site that is close enough "
                'to bond to it; pass isolated_sites="keep" to keep the site without '
                "edges"
            )
        neighbors = faces.neighbors[kept].astype(np.int32)
        return NeighborList(counts, neighbors, faces.distances[kept])

    def _covalent_radii(self, cell: Cell) -> NDArray[np.float64]:
        """Return the covalent radius of each site in Å, infinite if there is none."""
        radii = element_property("covalent_radius")[cell.atomic_numbers] / 100
        missing = np.flatnonzero(np.isnan(radii))
        if self.missing_radii == "raise" and len(missing):
            number = int(cell.atomic_numbers[missing[0]])
            raise StructureError(
                f"site {missing[0]} holds {Element.from_Z(number).symbol} (element "
                f"{number}), which has no covalent radius (Cordero et al. 2008); pass "
                'connectivity=VoronoiNeighbors(missing_radii="ignore") to join it to '
                "every site that shares a face with it, or leave the structure out"
            )
        return np.where(np.isnan(radii), np.inf, radii)
