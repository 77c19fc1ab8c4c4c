"""What a graph needs of a structure: lattice, coordinates, atomic numbers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import IStructure

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._elements import MAX_ATOMIC_NUMBER

# Sites nearer than this (in Å) are the same site written twice: the shortest bond
# there is, that of H2, is 0.74 Å long.
COINCIDENT_DISTANCE = 0.1

# Å, beyond which something other than a length must have been given; Å³ for each site,
# a tenth of what hydrogen takes under the highest pressures; and the volume of a cell
# over that of a brick of the same edges, below which it counts as oblique.
_LONGEST = 1e6
_DENSEST = 0.1
_OBLIQUE = 0.1


class Cell(NamedTuple):
    """The unit cell of one crystal as plain arrays, cheap to send to a worker.

    Attributes
    ----------
    lattice : ndarray of shape (3, 3), float64
        Lattice vectors as rows, in Å.
    coords : ndarray of shape (n_sites, 3), float64
        Cartesian coordinates in Å.
    atomic_numbers : ndarray of shape (n_sites,), uint8
    pbc : tuple of 3 bool
        Along which lattice vectors the crystal repeats.
    """

    lattice: NDArray[np.float64]
    coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.uint8]
    pbc: tuple[bool, bool, bool]

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³."""
        return abs(float(np.linalg.det(self.lattice)))


def read_cell(structure: IStructure, *, as_given: bool = False) -> Cell:
    """Read a structure as the arrays its graph is made from.

    Parameters
    ----------
    structure : pymatgen Structure or IStructure
        Ordered, of elements with atomic numbers up to 103, periodic along at least
        one lattice vector. Oxidation states are ignored.
    as_given : bool, default=False
        Whether to leave the sites where they are and the lattice vectors as they are,
        instead of choosing a short way to the same crystal.

    Returns
    -------
    Cell

    Raises
    ------
    StructureError
        If the structure has no sites, partially occupied sites, species that are
        not elements up to lawrencium, coordinates that are not finite, or a lattice
        without volume or period.
    """
    if not len(structure):
        raise StructureError("there are no sites; leave the structure out")
    lattice = structure.lattice
    if not any(lattice.pbc):
        raise StructureError(
            "the lattice is periodic along none of its vectors; a crystal graph needs "
            "a crystal"
        )
    matrix = np.ascontiguousarray(lattice.matrix, dtype=np.float64)
    frac_coords = structure.frac_coords
    _check_geometry(matrix, frac_coords)
    atomic_numbers = _read_atomic_numbers(structure)
    if as_given:
        coords = np.ascontiguousarray(structure.cart_coords)
        return Cell(matrix, coords, atomic_numbers, lattice.pbc)
    if all(lattice.pbc) and _is_oblique(matrix):
        # Short vectors of the same lattice: with oblique ones a short way takes many
        # images, and a search would go through all of them.
        short = np.ascontiguousarray(lattice.get_lll_reduced_lattice().matrix)
        frac_coords = (frac_coords % 1.0) @ matrix @ np.linalg.inv(short)
        matrix = short
    # Into the cell, where the crystal repeats: a search that begins far outside would
    # go through all images on the way.
    inside = frac_coords - np.floor(frac_coords) * np.array(lattice.pbc)
    return Cell(matrix, inside @ matrix, atomic_numbers, lattice.pbc)


def _check_geometry(
    matrix: NDArray[np.float64], frac_coords: NDArray[np.float64]
) -> None:
    # Written so that NaN, which compares with nothing, is refused too.
    within = (np.abs(matrix) < _LONGEST).all()
    if not within or not np.isfinite(frac_coords).all():
        raise StructureError(
            "coordinates or lattice vectors are not finite, or longer than "
            f"{_LONGEST:g} Å; repair the entry or leave it out"
        )
    volume = abs(float(np.linalg.det(matrix)))
    if not volume > _DENSEST * len(frac_coords):
        raise StructureError(
            f"the lattice is flat: it encloses only {volume:.3g} Å³ for "
            f"{len(frac_coords)} sites; give three independent lattice vectors, in Å"
        )


def _is_oblique(matrix: NDArray[np.float64]) -> bool:
    brick = np.sqrt((matrix**2).sum(axis=1)).prod()
    return bool(abs(np.linalg.det(matrix)) < _OBLIQUE * brick)


def _read_atomic_numbers(structure: IStructure) -> NDArray[np.uint8]:
    numbers = []
    for index, site in enumerate(structure):
        composition = site.species
        # An ordered site holds one species wholly; a lone species may be half there.
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
                f"site {index} holds {site.species_string}, which is no element with "
                f"an atomic number of 1 to {MAX_ATOMIC_NUMBER}; replace it or leave "
                "the structure out"
            )
        numbers.append(number)
    return np.array(numbers, dtype=np.uint8)
