"""Structures as a few arrays, in which they are passed between processes.

Sites are pickled one by one. This takes longer than to make them anew.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Lattice, Structure


class PackedStructure(NamedTuple):
    """What a structure is made of.

    Attributes
    ----------
    lattice : ndarray of shape (3, 3)
        Lattice vectors.
    compositions : list of Composition
        What occupies the sites.
    numbers : list of int
        The composition of each site, by its position in the list.
    coords : ndarray of shape (n_sites, 3)
        Fractional coordinates.
    labels : list of str
        Labels of the sites.
    """

    lattice: NDArray[np.float64]
    compositions: list[Composition]
    numbers: list[int]
    coords: NDArray[np.float64]
    labels: list[str]


def pack(structure: Structure | None) -> PackedStructure | Structure | None:
    """Pack a structure.

    Parameters
    ----------
    structure : Structure or None
        The structure.

    Returns
    -------
    PackedStructure or Structure or None
        The structure itself if it has properties, such as magnetic moments.
    """
    if structure is None or _has_more_than_sites(structure):
        return structure
    compositions = {id(site.species): site.species for site in structure}
    numbers = {each: number for number, each in enumerate(compositions)}
    return PackedStructure(
        np.array(structure.lattice.matrix),
        list(compositions.values()),
        [numbers[id(site.species)] for site in structure],
        structure.frac_coords,
        [site.label for site in structure],
    )


def _has_more_than_sites(structure: Structure) -> bool:
    """Whether a structure has anything besides a periodic lattice and its sites."""
    has_charge = getattr(structure, "_charge", None) is not None
    has_properties = structure.properties or any(site.properties for site in structure)
    return has_charge or bool(has_properties) or not all(structure.lattice.pbc)


def unpack(packed: PackedStructure | Structure | None) -> Structure | None:
    """Return the structure that was packed.

    Parameters
    ----------
    packed : PackedStructure or Structure or None
        What `pack` returned.

    Returns
    -------
    Structure or None
    """
    if not isinstance(packed, PackedStructure):
        return packed
    species = [packed.compositions[number] for number in packed.numbers]
    lattice = Lattice(packed.lattice)
    return Structure(lattice, species, packed.coords, labels=packed.labels)
