"""Read a structure as plain arrays: lattice, coordinates and atomic numbers."""

from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.composition import Composition
from pymatgen.core.structure import IStructure

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs._elements import MAX_ATOMIC_NUMBER

# Å. Two sites closer than this are one site that was listed twice: the shortest known
# bond, that of H2, is 0.74 Å long.
COINCIDENT_DISTANCE = 0.1

# Å. A larger number cannot be a length in a crystal.
_MAX_LENGTH = 1e6

# Occupancies that differ by less are equal: files round them, and parsers add them up.
_OCCUPANCY_TOLERANCE = 1e-6

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

    Examples
    --------
    What the method `find_in_cell` of your own :class:`EdgeRule` receives:

    >>> import numpy as np
    >>> from sklearn_cgcnn.graphs import Cell
    >>> cesium_chloride = Cell(
    ...     lattice=4.12 * np.eye(3),
    ...     coords=np.array([[0.0, 0.0, 0.0], [2.06, 2.06, 2.06]]),
    ...     atomic_numbers=np.array([55, 17], dtype=np.uint8),
    ...     pbc=(True, True, True),
    ... )
    >>> round(cesium_chloride.volume, 1)
    69.9
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
        at least one lattice vector. Oxidation states, spins and isotopes are ignored: a
        site that is shared by Fe2+ and Fe3+ holds iron.
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
            "the lattice is periodic along none of its vectors; make it periodic with "
            "structure.lattice = Lattice(structure.lattice.matrix), or leave it out"
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
    is_short = np.abs(matrix) < _MAX_LENGTH
    if not is_short.all():
        vector = is_short.all(axis=1).argmin()
        raise StructureError(
            f"lattice vector {vector} is not finite, or longer than {_MAX_LENGTH:g} Å; "
            "repair the structure or leave it out"
        )
    is_finite = np.isfinite(frac_coords)
    if not is_finite.all():
        site = is_finite.all(axis=1).argmin()
        raise StructureError(
            f"the coordinates of site {site} are not finite; repair the structure or "
            "leave it out"
        )
    volume = abs(float(np.linalg.det(matrix)))
    if not volume > _MIN_VOLUME_PER_SITE * len(frac_coords):
        raise StructureError(
            f"the lattice is flat: it encloses only {volume:.3g} Å³ for "
            f"{len(frac_coords)} sites; it needs three independent lattice vectors, in "
            "Å, also along directions in which the crystal does not repeat"
        )


def _is_oblique(matrix: NDArray[np.float64]) -> bool:
    cuboid = np.sqrt((matrix**2).sum(axis=1)).prod()
    return bool(abs(np.linalg.det(matrix)) < _OBLIQUE_FRACTION * cuboid)


def _read_atomic_numbers(structure: IStructure) -> NDArray[np.uint8]:
    numbers = []
    for index, site in enumerate(structure):
        species = site.species
        if len(species) == 1 and species.num_atoms == 1:  # as almost always
            (only,) = species
            number = only.Z
        else:
            number = sole_atomic_number(species)
        if number is None:
            raise StructureError(_describe_disorder(index, species))
        if not 1 <= number <= MAX_ATOMIC_NUMBER:
            raise StructureError(
                f"site {index} holds {site.species_string}, which is not an element "
                f"with an atomic number from 1 to {MAX_ATOMIC_NUMBER}; replace it or "
                "leave the structure out (to remove the site alone, use "
                f"structure.remove_sites([{index}]))"
            )
        numbers.append(number)
    return np.array(numbers, dtype=np.uint8)


def _describe_disorder(site: int, species: Composition) -> str:
    if not species:
        return (
            f"site {site} is empty; remove it with structure.remove_sites([{site}]), "
            "or leave the structure out"
        )
    described = ", ".join(f"{each}:{share:.7g}" for each, share in species.items())
    element, _ = max(species.get_el_amt_dict().items(), key=itemgetter(1))
    return (
        f"site {site} is disordered ({described}); choose an ordered approximation, or "
        "average over several, as described under disordered structures in the "
        f"documentation. structure[{site}] = {element!r} gives the site the element "
        f"that it mostly has, and structure.remove_sites([{site}]) leaves it empty"
    )


def sole_atomic_number(species: Composition) -> int | None:
    """Return the atomic number of the only element that occupies a site.

    Parameters
    ----------
    species : Composition
        The species of the site and their occupancies.

    Returns
    -------
    int or None
        None if the site is disordered: shared by several elements, or not fully
        occupied. Any other number than that of an element stands for a dummy species.
    """
    occupancies: dict[int, float] = {}
    for each, occupancy in species.items():
        occupancies[each.Z] = occupancies.get(each.Z, 0.0) + occupancy
    number, largest = max(occupancies.items(), key=itemgetter(1), default=(0, 0.0))
    is_full = abs(largest - 1) <= _OCCUPANCY_TOLERANCE
    is_sole = sum(occupancies.values()) - largest <= _OCCUPANCY_TOLERANCE
    return number if is_full and is_sole else None
