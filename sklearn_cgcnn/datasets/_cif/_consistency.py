"""Note where a structure contradicts what else its file says about the crystal.

Files with such contradictions are common, and the structure can still be right, for
example if the formula counts hydrogen that was not located.
"""

import math

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from sklearn_cgcnn.datasets._cif._periodic_points import are_certainly_apart
from sklearn_cgcnn.datasets._cif._syntax import Block, CIFError, shorten
from sklearn_cgcnn.datasets._cif._values import read_number

_FORMULA_NAMES = ("_chemical_formula_sum", "_chemical_formula_structural")

# For rounded formulas of mixed crystals: relative, and atoms per cell.
_FORMULA_TOLERANCE = 0.02
_ATOM_TOLERANCE = 0.5
_VOLUME_TOLERANCE = 0.01  # relative

# Å. No two atoms are closer: the shortest known bond, that of H2, is 0.74 Å long.
_SHORTEST_DISTANCE = 0.5
_ROUNDING = 1e-6  # Å


def contradictions(
    structure: Structure,
    block: Block,
    multiplicity: NDArray[np.int64],
    n_operations: int,
) -> list[str]:
    """Note where a structure contradicts its file, or physics.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The structure.
    block : Block
        The data block it was read from.
    multiplicity : ndarray of shape (n_listed_sites,)
        Number of equivalent sites of each listed site.
    n_operations : int
        Number of symmetry operations.

    Returns
    -------
    list of str
    """
    notes = [
        _formula_note(structure, block),
        _volume_note(structure, block),
        _multiplicity_note(block, multiplicity, n_operations),
        _distance_note(structure),
        _hydrogen_note(block),
    ]
    return [note for note in notes if note]


def _number(block: Block, name: str) -> float:
    """Return a number, or NaN if it is absent or cannot be read."""
    try:
        return float(read_number(block.value(name) or "", name))
    except CIFError:
        return math.nan


def _formula_note(structure: Structure, block: Block) -> str:
    """Compare with the formula, and with it times the number of formula units.

    pymatgen writes the formula of the whole cell beside the number of formula units.
    """
    formula = next(filter(None, map(block.value, _FORMULA_NAMES)), None)
    if formula is None:
        return ""
    actual = structure.composition.element_composition
    try:
        expected = Composition(formula).element_composition
    except ValueError:
        return f"the formula {shorten(formula)} cannot be read"
    if set(actual) != set(expected):
        return _different_formula(actual, formula)
    n_units = np.array([actual[each] / expected[each] for each in expected])
    z = _number(block, "_cell_formula_units_z")
    n_expected = (
        np.median(n_units) if math.isnan(z) else _nearest(n_units.mean(), (1, z))
    )
    listed = n_expected * np.array([expected[each] for each in expected])
    found = np.array([actual[each] for each in expected])
    tolerance = np.minimum(_FORMULA_TOLERANCE * listed, _ATOM_TOLERANCE)
    if (abs(found - listed) <= tolerance).all():
        return ""
    note = _different_formula(actual, formula)
    return note if math.isnan(z) else f"{note}, with {z:g} formula units"


def _different_formula(actual: Composition, formula: str) -> str:
    return f"the sites are {actual.formula}, but the formula is {shorten(formula)}"


def _nearest(value: float, options: tuple[float, ...]) -> float:
    return min(options, key=lambda option: abs(option - value))


def _volume_note(structure: Structure, block: Block) -> str:
    volume = _number(block, "_cell_volume")
    if math.isnan(volume):
        return ""
    actual = abs(float(np.linalg.det(structure.lattice.matrix)))
    if math.isclose(volume, actual, rel_tol=_VOLUME_TOLERANCE):
        return ""
    return f"the cell has a volume of {actual:.6g} Å³, but _cell_volume is {volume:g}"


def _multiplicity_note(
    block: Block, multiplicity: NDArray[np.int64], n_operations: int
) -> str:
    """Compare with the multiplicity of each site.

    SHELX writes the number of operations that leave the site in place instead.
    """
    column = block.column("_atom_site_symmetry_multiplicity") or []
    if len(column) != len(multiplicity):
        return ""
    for row, (text, count) in enumerate(zip(column, multiplicity, strict=True), 1):
        if text.isdecimal() and int(text) not in (count, n_operations // count):
            return (
                f"the symmetry operations make {count} sites of site {row}, but its "
                f"multiplicity is given as {text}"
            )
    return ""


def _distance_note(structure: Structure) -> str:
    if are_certainly_apart(
        structure.lattice, structure.frac_coords, _SHORTEST_DISTANCE + _ROUNDING
    ):
        return ""
    centers, others, _, distances = structure.get_neighbor_list(_SHORTEST_DISTANCE)
    occupancies = np.array([site.species.num_atoms for site in structure])
    # Sites that are occupied in turn may be close to each other.
    is_full = occupancies[centers] + occupancies[others] > 1 + 1e-3
    if not is_full.any():
        return ""
    closest = np.argmin(np.where(is_full, distances, np.inf))
    left, right = structure[centers[closest]], structure[others[closest]]
    return (
        f"two sites are {distances[closest]:.2g} Å apart: {left.species_string} at "
        f"{np.round(left.frac_coords, 4).tolist()} and {right.species_string} at "
        f"{np.round(right.frac_coords, 4).tolist()}"
    )


def _hydrogen_note(block: Block) -> str:
    values = block.column("_atom_site_attached_hydrogens") or []
    n_sites = sum(value not in ("?", ".", "0") for value in values)
    if n_sites == 0:
        return ""
    return f"hydrogen attached to sites is not in the structure ({n_sites} sites)"
