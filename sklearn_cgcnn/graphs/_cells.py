"""Read a structure as plain arrays: lattice, coordinates and atomic numbers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import IStructure

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._elements import MAX_ATOMIC_NUMBER

# Å. Two sites closer than this are one site that was listed twice: the shortest known
# bond, that of H2, is 0.74 Å long.
COINCIDENT_DISTANCE = 0.1

# Å. A larger number cannot be a length in a crystal.
_MAX_LENGTH = 1e6

# Å³ per site, a tenth of the volume of hydrogen under the highest pressures.
_MIN_VOLUME_PER_SITE = 0.1

# A cell is oblique if its volume is a smaller fraction of that of a cuboid with the
# same edge lengths.
_OBLIQUE_FRACTION = 0.1


class Cell(NamedTuple):
    """The unit cell of one crystal as plain arrays, cheap to send to a process.

    Attributes
    ----------
    lattice : ndarray of shape (3, 3), float64
        Lattice vectors as rows, in Å.
    coords : ndarray of shape (n_sites, 3), float64
        Cartesian coordinates in Å.
    atomic_numbers : ndarray of shape (n_sites,), uint8
        Atomic number of each site.
    pbc : tuple of 3 bool
        Whether the crystal is periodic along each lattice vector.
    """

    lattice: NDArray[np.float64]
    coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.uint8]
    pbc: tuple[bool, bool, bool]

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³."""
        return abs(float(np.linalg.det(self.lattice)))


def read_cell(structure: IStructure, *, normalize: bool = True) -> Cell:
    """Return the unit cell of a structure as plain arrays.

    Parameters
    ----------
    structure : pymatgen Structure or IStructure
        An ordered structure of elements with atomic numbers up to 103, periodic along
        at least one lattice vector. Oxidation states are ignored.
    normalize : bool, default=True
        Whether to move all sites into the cell, and to replace the lattice vectors of
        an oblique cell by short ones. This describes the same crystal, and makes
        neighbor searches fast. False keeps lattice vectors and coordinates, to the
        last digit.

    Returns
    -------
    Cell

    Raises
    ------
    StructureError
        If the structure has no sites, partially occupied sites, species other than
        elements up to lawrencium, or coordinates that are not finite, or if its lattice
        has no volume or is not periodic.
    """
    if not len(structure):
        raise StructureError("the structure has no sites; leave it out")
    lattice = structure.lattice
    if not any(lattice.pbc):
        raise StructureError(
            "the lattice is periodic along none of its vectors; set pbc=True for at "
            "least one of them, or leave the structure out"
        )
    matrix = np.ascontiguousarray(lattice.matrix, dtype=np.float64)
    frac_coords = structure.frac_coords
    _check_geometry(matrix, frac_coords)
    atomic_numbers = _read_atomic_numbers(structure)
    if not normalize:
        coords = np.ascontiguousarray(structure.cart_coords)
        return Cell(matrix, coords, atomic_numbers, lattice.pbc)
    if all(lattice.pbc) and _is_oblique(matrix):
        # In an oblique cell, near sites lie many images apart, and a search would go
        # through all images in between.
        short = np.ascontiguousarray(lattice.get_lll_reduced_lattice().matrix)
        frac_coords = (frac_coords % 1.0) @ matrix @ np.linalg.inv(short)
        matrix = short
    # A search that begins far outside the cell would go through all images in between.
    # Sites are only moved along periodic directions.
    inside = frac_coords - np.floor(frac_coords) * np.array(lattice.pbc)
    return Cell(matrix, inside @ matrix, atomic_numbers, lattice.pbc)


def _check_geometry(
    matrix: NDArray[np.float64], frac_coords: NDArray[np.float64]
) -> None:
    # Comparisons with NaN are false, so that this refuses NaN too.
    within = (np.abs(matrix) < _MAX_LENGTH).all()
    if not within or not np.isfinite(frac_coords).all():
        raise StructureError(
            "coordinates or lattice vectors are not finite, or longer than "
            f"{_MAX_LENGTH:g} Å; repair the structure or leave it out"
        )
    volume = abs(float(np.linalg.det(matrix)))
    if not volume > _MIN_VOLUME_PER_SITE * len(frac_coords):
        raise StructureError(
            f"the lattice is flat: it encloses only {volume:.3g} Å³ for "
            f"{len(frac_coords)} sites; it needs three independent lattice vectors, in "
            "Å"
        )


def _is_oblique(matrix: NDArray[np.float64]) -> bool:
    cuboid = np.sqrt((matrix**2).sum(axis=1)).prod()
    return bool(abs(np.linalg.det(matrix)) < _OBLIQUE_FRACTION * cuboid)


def _read_atomic_numbers(structure: IStructure) -> NDArray[np.uint8]:
    numbers = []
    for index, site in enumerate(structure):
        composition = site.species
        # A single species is not enough: it may occupy the site partially.
        if len(composition) != 1 or composition.num_atoms != 1:
            raise StructureError(
                f"site {index} is disordered ({site.species_string}); choose an "
                "ordered approximation first, e.g. with pymatgen's "
                "OrderDisorderedStructureTransformation"
            )
        (species,) = composition
        number = species.Z
        if not 1 <= number <= MAX_ATOMIC_NUMBER:
            raise StructureError(
                f"site {index} holds {site.species_string}, which is not an element "
                f"with an atomic number from 1 to {MAX_ATOMIC_NUMBER}; replace it or "
                "leave the structure out"
            )
        numbers.append(number)
    return np.array(numbers, dtype=np.uint8)
