"""Make the structures of plain crystals directly, each as pymatgen would make it.

Plain crystals list all their symmetry operations and six numbers for the cell, and have
one element at each site. Only what pymatgen would do for them is done here: whatever
could make it merge, round or refuse in a way that depends on its details is left to it.
"""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Lattice, Species, Structure
from pymatgen.core.operations import SymmOp

from sklearn_cgcnn.datasets._cif._periodic_points import (
    are_apart,
    distances,
    thicknesses,
)
from sklearn_cgcnn.datasets._cif._sites import MAX_ATOMIC_NUMBER, ListedSite
from sklearn_cgcnn.datasets._cif._values import CELL_NAMES

# An element, perhaps with the number of a site or a charge.
_SYMBOL = re.compile(r"([A-Z][a-z]?)[0-9]*[+-]?")
_LABEL = re.compile(r"[A-Za-z0-9_+()-]+")
_CHARGE = re.compile(r"\d?[\+,\-]?$")  # what pymatgen removes from symbols
_IDENTITY = "x,y,z"

# Fractional coordinates. pymatgen takes sites closer than 1e-4 for the same.
_CERTAINLY_SAME = 0.5e-4
_CERTAINLY_OTHER = 2e-4

_LEAST_THICKNESS = 0.02  # Å. pymatgen refuses cells of half of this.

# pymatgen takes numbers close to these for rounded ones, relative to them.
_THIRDS = (1 / 3, 2 / 3)
_THIRDS_TOLERANCE = 1e-4

_ROUNDED = (
    "{} fractional coordinates rounded to ideal values to avoid issues with finite "
    "precision."
)


class Kind(NamedTuple):
    """What occupies a site.

    Attributes
    ----------
    element : str
        Symbol of the element.
    charge : float or None
        Its oxidation state, or None if the file lists none for any element.
    """

    element: str
    charge: float | None


def make_plain_structure(
    cell: dict[str, str],
    operations: list[str],
    oxidation_states: Sequence[tuple[str, str]],
    sites: list[ListedSite],
    notes: list[str],
) -> tuple[Structure, NDArray[np.float64]] | None:
    """Make the structure of a plain crystal.

    Parameters
    ----------
    cell : dict of str to str
        Lengths and angles, as returned by `read_cell`.
    operations : list of str
        Symmetry operations.
    oxidation_states : sequence of (str, str)
        Symbols and their oxidation states, where the file lists them.
    sites : list of ListedSite
        The sites.
    notes : list of str
        Receives what pymatgen says of rounded coordinates.

    Returns
    -------
    structure : pymatgen.core.Structure
        The structure.
    operations : ndarray of shape (n_operations, 4, 4)
        The symmetry operations as affine matrices.
    None
        In place of both, if the crystal is not plain.
    """
    kinds = _kinds_of(sites, oxidation_states)
    if kinds is None or _IDENTITY not in operations or len(cell) < len(CELL_NAMES):
        return None
    lattice = Lattice.from_parameters(*(float(cell[name]) for name in CELL_NAMES))
    if _is_thin(lattice):
        return None
    matrices = _affine_matrices(tuple(operations))
    coords, n_rounded = _rounded(np.array([site.coords for site in sites], float))
    images = _distinct_images(matrices, coords)
    if images is None:
        return None
    labels = [site.label for site in sites]
    structure = _assemble(lattice, kinds, labels, images)
    if structure is None:
        return None
    if n_rounded:
        notes.append(_ROUNDED.format(n_rounded))
    return structure, matrices


def _kinds_of(
    sites: list[ListedSite], oxidation_states: Sequence[tuple[str, str]]
) -> list[Kind] | None:
    """Return what occupies each site, or None if this is not plain for one of them."""
    if not all(_element_of(symbol) for symbol, _ in oxidation_states):
        return None
    charges = {symbol: float(number) for symbol, number in oxidation_states}
    for symbol, number in oxidation_states:
        charges[_CHARGE.sub("", symbol)] = float(number)
    kinds = []
    for site in sites:
        element = _element_of(site.symbol)
        is_full = site.occupancy == "1" or float(site.occupancy) == 1
        if element is None or not is_full or not _LABEL.fullmatch(site.label):
            return None
        charge = charges.get(site.symbol, charges.get(element, 0.0))
        kinds.append(Kind(element, charge if charges else None))
    return kinds


@lru_cache(1024)
def _element_of(symbol: str) -> str | None:
    """Return the element of a symbol, or None if it is unclear, or an odd element."""
    match = _SYMBOL.fullmatch(symbol)
    if match is None or not Element.is_valid_symbol(match[1]):
        return None
    element = Element(match[1])
    # Isotopes such as D have the number of their element.
    is_plain = element.Z <= MAX_ATOMIC_NUMBER and Element.from_Z(element.Z) is element
    # pymatgen sorts by the electronegativity, which helium, for example, lacks.
    return match[1] if is_plain and math.isfinite(element.X) else None


def _is_thin(lattice: Lattice) -> bool:
    """Whether pymatgen might refuse a cell because it is too thin."""
    return not bool((thicknesses(lattice) > _LEAST_THICKNESS).all())


@lru_cache(256)
def _affine_matrices(operations: tuple[str, ...]) -> NDArray[np.float64]:
    matrices = np.array(
        [SymmOp.from_xyz_str(each).affine_matrix for each in operations]
    )
    matrices.setflags(write=False)
    return matrices


def _rounded(coords: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Replace numbers such as 0.6667 by 2/3, and count them."""
    n_rounded = 0
    for third in _THIRDS:
        is_close = abs(coords / third - 1) <= _THIRDS_TOLERANCE
        coords[is_close] = third
        n_rounded += int(is_close.sum())
    return coords, n_rounded


def _distinct_images(
    matrices: NDArray[np.float64], coords: NDArray[np.float64]
) -> list[NDArray[np.float64]] | None:
    """Return the distinct images of each site, in the order of the operations.

    None if it is unclear which of them are distinct, or if two sites share images.
    """
    # One product of a matrix and a vector after another, as in pymatgen, so that the
    # last bits are the same.
    points = np.ones((len(coords), 4))
    points[:, :3] = coords
    images = (matrices[:, None] @ points[..., None])[..., :3, 0]
    images -= np.floor(images)  # (n_operations, n_sites, 3)
    distinct = []
    for of_site in images.swapaxes(0, 1):
        different = of_site if len(matrices) == 1 else _without_repetitions(of_site)
        if different is None:
            return None
        distinct.append(different)
    return distinct if are_apart(np.concatenate(distinct), _CERTAINLY_OTHER) else None


def _without_repetitions(points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the first of all points that are the same, or None if this is unclear."""
    apart = distances(points, points)
    is_same = apart < _CERTAINLY_SAME
    if not (is_same | (apart > _CERTAINLY_OTHER)).all():
        return None
    is_first = is_same.argmax(axis=1) == np.arange(len(points))
    return np.compress(is_first, points, axis=0)


def _assemble(
    lattice: Lattice,
    kinds: list[Kind],
    labels: list[str],
    images: list[NDArray[np.float64]],
) -> Structure | None:
    """Return the structure, with its sites in the order of pymatgen.

    None if this order is unclear.
    """
    keys = {kind: _order_of(kind) for kind in kinds}
    if len(set(keys.values())) < len(keys):
        return None
    # Sites of one kind remain in the order of the file.
    order = sorted(range(len(kinds)), key=lambda i: keys[kinds[i]])
    compositions = {kind: Composition({_species_of(kind): 1.0}) for kind in keys}
    species, new_labels = [], []
    for i in order:
        species += [compositions[kinds[i]]] * len(images[i])
        new_labels += [labels[i]] * len(images[i])
    coords = np.concatenate([images[i] for i in order])
    return Structure(lattice, species, coords, labels=new_labels)


@lru_cache(1024)
def _species_of(kind: Kind) -> Element | Species:
    if kind.charge is None:
        return Element(kind.element)
    return Species(kind.element, kind.charge)


@lru_cache(1024)
def _order_of(kind: Kind) -> tuple[float, str]:
    """Return what pymatgen sorts sites by: electronegativity, then name."""
    species = _species_of(kind)
    return float(species.X), str(species)
