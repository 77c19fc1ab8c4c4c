"""Let pymatgen make a structure from what was read from a data block.

pymatgen receives a text of its own, which contains only what the structure is made of.
Its parser takes comments and text fields for data in some cases, depends on the case of
data names, and drops characters that are not ASCII.
"""

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from sklearn_cgcnn.datasets._cif._sites import ListedSite
from sklearn_cgcnn.datasets._cif._symmetry import (
    MAGNETIC_PREFIXES,
    SPACE_GROUP_NAMES,
    is_magnetic,
)
from sklearn_cgcnn.datasets._cif._syntax import Block, normalized
from sklearn_cgcnn.datasets._cif._values import (
    CRYSTAL_SYSTEM_NAMES,
    OXIDATION_NAMES,
    read_oxidation_states,
)

# Shares that sum to 1 may sum to slightly more in binary numbers.
_OCCUPANCY_TOLERANCE = 1 + 1e-6


def make_structure(
    block: Block,
    cell: dict[str, str],
    operations: list[str],
    sites: list[ListedSite],
    notes: list[str],
) -> tuple[Structure, NDArray[np.float64]]:
    """Make a structure of the conventional cell with pymatgen.

    Parameters
    ----------
    block : Block
        The data block, for symbols of the space group, oxidation states and magnetism.
    cell : dict of str to str
        Lengths and angles, as returned by `read_cell`.
    operations : list of str
        Symmetry operations. If empty, pymatgen derives them from the space group.
    sites : list of ListedSite
        The sites.
    notes : list of str
        Receives the messages of pymatgen that it does not emit as warnings.

    Returns
    -------
    structure : pymatgen.core.Structure
        The structure.
    operations : ndarray of shape (n_operations, 4, 4)
        The symmetry operations that pymatgen applied, as affine matrices.

    Raises
    ------
    ValueError
        If pymatgen cannot make a structure.
    """
    lines = ["data_crystal", *(f"{name} {value}" for name, value in cell.items())]
    names = (*CRYSTAL_SYSTEM_NAMES, *(() if operations else SPACE_GROUP_NAMES))
    for name in names:
        value = block.value(normalized(name))
        if value is not None:
            lines.append(f"{name} {_quoted(value)}")
    if operations:
        lines += _loop(["_symmetry_equiv_pos_as_xyz"], [[each] for each in operations])
    lines += _oxidation_lines(block)
    lines += _magnetic_lines(block) if is_magnetic(block, operations) else []
    lines += _site_lines(sites)
    # The formula is compared elsewhere, together with the number of formula units.
    parser = _parser_class().from_str(
        "\n".join(lines), occupancy_tolerance=_OCCUPANCY_TOLERANCE, check_cif=False
    )
    try:
        structures = parser.parse_structures(primitive=False, on_error="raise")
    finally:
        notes += getattr(parser, "warnings", [])
    return structures[0], np.array(
        [each.affine_matrix for each in parser.symmetry_operations]
    )


@cache
def _parser_class() -> Any:
    """Import the parser, which takes longer than reading hundreds of plain crystals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they would be taken for notes on the file
        from pymatgen.io.cif import CifParser
    return CifParser


def _quoted(value: str) -> str:
    """Quote a value such that pymatgen's parser returns it, on one line.

    It takes a # after a blank for the begin of a comment, even in quotes.
    """
    value = " ".join(value.split()).replace(" #", " _")
    return f"'{value}'" if "'" not in value else '"' + value.replace('"', "") + '"'


def _loop(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    # A row begins with a blank, so that no value looks like a text field.
    return ["loop_", *names, *(" " + " ".join(map(_quoted, row)) for row in rows)]


def _oxidation_lines(block: Block) -> list[str]:
    states = read_oxidation_states(block)
    return _loop(OXIDATION_NAMES, states) if states else []


def _site_lines(sites: list[ListedSite]) -> list[str]:
    names = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    rows = [(each.label, each.symbol, *each.coords, each.occupancy) for each in sites]
    return _loop([f"_atom_site_{name}" for name in names], rows)


def _magnetic_lines(block: Block) -> list[str]:
    lines = []
    for item in block.items:
        for position, name in enumerate(item.names):
            if not normalized(name).startswith(MAGNETIC_PREFIXES) or item.faults:
                continue
            if item.is_loop:
                lines += _loop([name], [[value] for value in item.column(position)])
            else:
                lines.append(f"{name} {_quoted(item.values[0])}")
    return lines
