"""Compare the structure that pymatgen made with the sites that the file lists.

Sites can be lost or changed on the way without a warning, for example those whose
symbol stands for a group of atoms, or whose images under symmetry are not merged.
"""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, DummySpecies, Structure

from sklearn_cgcnn.datasets._cif._periodic_points import nearest
from sklearn_cgcnn.datasets._cif._sites import ListedSite, element_of
from sklearn_cgcnn.datasets._cif._syntax import CIFError, shorten

_CELL_TOLERANCE = 1e-4  # relative
_OCCUPANCY_TOLERANCE = 1e-3

# Fractional coordinates. pymatgen merges sites, and rounds coordinates, within 1e-4;
# operations can add up three such differences.
_SITE_TOLERANCE = 1e-3

# Larger, because shifts of operations are rounded too, for example to 0.333.
_SYMMETRY_TOLERANCE = 1e-2

_IDENTITY = np.eye(4)[None]


def check_cell(structure: Structure, cell: dict[str, str]) -> None:
    """Check that a structure has the cell that the file lists.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The structure.
    cell : dict of str to str
        Lengths and angles, as returned by `read_cell`.

    Raises
    ------
    CIFError
        If a length or an angle differs.
    """
    lattice = structure.lattice
    actual = dict(zip(("a", "b", "c"), lattice.abc, strict=True))
    actual.update(zip(("alpha", "beta", "gamma"), lattice.angles, strict=True))
    for name, text in cell.items():
        value = actual[name.rsplit("_", 1)[1]]
        if abs(value - float(text)) > _CELL_TOLERANCE * float(text):
            raise CIFError(
                f"pymatgen made a cell with {name} {value:g} instead of {text}"
            )


def check_sites(
    structure: Structure, sites: list[ListedSite], operations: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Check that a structure has the listed sites with all their images, and no others.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The structure.
    sites : list of ListedSite
        The sites that the file lists.
    operations : ndarray of shape (n_operations, 4, 4)
        The symmetry operations that were applied, as affine matrices.

    Returns
    -------
    ndarray of shape (n_listed_sites,)
        Number of equivalent sites in the structure, of each listed site.

    Raises
    ------
    CIFError
        If a site was lost, has another element or occupancy, or is not in the file. If
        the structure does not have the symmetry of the operations.
    """
    coords = structure.frac_coords
    images = _images(operations, np.array([site.coords for site in sites], float))
    positions = np.sort(nearest(coords, images, _SITE_TOLERANCE), axis=0)
    for site, last in zip(sites, positions[-1].tolist(), strict=True):
        if last == len(coords):  # an image without a site nearby
            raise CIFError(
                f"pymatgen lost site {_title(site)}, or one equivalent to it"
            )
    multiplicity: NDArray[np.int64] = 1 + (np.diff(positions, axis=0) > 0).sum(axis=0)
    is_plain = _is_made_of(structure, sites, positions, multiplicity)
    if not is_plain:
        _check_species(structure, sites, [np.unique(row) for row in positions.T])
    if not (is_plain and np.array_equal(operations, _IDENTITY)):
        _check_symmetry(structure, coords, operations)
    return multiplicity


def _images(
    matrices: NDArray[np.float64], coords: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Apply each operation to each row of coordinates."""
    images: NDArray[np.float64] = coords @ matrices[:, :3, :3].transpose(0, 2, 1)
    return images + matrices[:, None, :3, 3]  # (n_operations, n_sites, 3)


def _is_made_of(
    structure: Structure,
    sites: list[ListedSite],
    positions: NDArray[np.int64],
    multiplicity: NDArray[np.int64],
) -> bool:
    """Whether each site has the one element of the one listed site that it belongs to.

    If not, the structure can still be right, for example if sites share a position.
    """
    owners = np.full(len(structure), -1)
    owners[positions] = np.arange(len(sites))
    if multiplicity.sum() != len(structure) or (owners < 0).any():
        return False
    compositions = {id(made.species): made.species for made in structure}
    different = {  # few, as most sites share what is compared
        (id(made.species), sites[owner].symbol, sites[owner].occupancy)
        for made, owner in zip(structure, owners.tolist(), strict=True)
    }
    return all(
        _is_only(compositions[key], symbol, occupancy)
        for key, symbol, occupancy in different
    )


def _is_only(composition: Composition, symbol: str, occupancy: str) -> bool:
    if len(composition) != 1:
        return False
    [(species, amount)] = composition.items()
    is_close = abs(amount - float(occupancy)) <= _OCCUPANCY_TOLERANCE
    return is_close and _is_of(species, symbol)


def _is_of(species: Any, symbol: str) -> bool:
    """Whether a symbol of a listed site stands for a species."""
    is_element = not isinstance(species, DummySpecies)
    return is_element and element_of(symbol) == species.symbol


def _check_species(
    structure: Structure, sites: list[ListedSite], found: list[NDArray[np.int64]]
) -> None:
    expected = _listed_species(structure, sites, found)
    for position, made in enumerate(structure):
        actual: dict[str, float] = defaultdict(float)
        for species, amount in made.species.items():
            actual[species.symbol] += amount
        listed = expected[position]
        if actual.keys() != listed.keys() or any(
            abs(actual[each] - listed[each]) > _OCCUPANCY_TOLERANCE for each in actual
        ):
            text = ", ".join(f"{element} {n:g}" for element, n in listed.items())
            raise CIFError(
                f"pymatgen made a site of {made.species_string} at "
                f"{np.round(made.frac_coords, 4).tolist()}, where the file lists "
                f"{text or 'none'}"
            )


def _listed_species(
    structure: Structure, sites: list[ListedSite], found: list[NDArray[np.int64]]
) -> dict[int, dict[str, float]]:
    """Return the occupancies by element that are listed for each site made."""
    listed: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for site, positions in zip(sites, found, strict=True):
        for position in positions:
            made = structure[position].species
            if not any(_is_of(species, site.symbol) for species in made):
                raise CIFError(
                    f"pymatgen lost site {_title(site)}, or put another in its place"
                )
            listed[position][element_of(site.symbol)] += float(site.occupancy)
    return listed


def _check_symmetry(
    structure: Structure, coords: NDArray[np.float64], matrices: NDArray[np.float64]
) -> None:
    """Refuse a structure that an operation changes: another one is missing or wrong."""
    if not np.allclose(np.abs(np.linalg.det(matrices[:, :3, :3])), 1):
        raise CIFError("a symmetry operation is neither a rotation nor a reflection")
    kinds: dict[Composition, int] = {}
    by_identity = {id(site.species): site.species for site in structure}
    numbers = {
        each: kinds.setdefault(species, len(kinds))
        for each, species in by_identity.items()
    }
    listed = [numbers[id(site.species)] for site in structure]
    codes = np.array([*listed, -1])  # -1 where there is no site
    positions = nearest(
        coords, _images(matrices, coords), _SYMMETRY_TOLERANCE
    )  # (n_operations, n_sites)
    if (codes[positions] != codes[:-1]).any():
        raise CIFError(
            "the symmetry operations contradict each other: one of them is damaged or "
            "missing"
        )


def _title(site: ListedSite) -> str:
    return f"{shorten(site.label)} with the symbol {shorten(site.symbol)}"
