"""Let pymatgen make a structure from what was read from a data block.

pymatgen receives a text of its own, which contains only what the structure is made of.
Its parser takes comments and text fields for data in some cases, depends on the case of
data names, and drops characters that are not ASCII.
"""

from collections.abc import Sequence

from pymatgen.core import Structure
from pymatgen.core.operations import SymmOp
from pymatgen.io.cif import CifParser

from sklearn_cgcnn.datasets._cif._sites import ListedSite
from sklearn_cgcnn.datasets._cif._symmetry import (
    MAGNETIC_PREFIXES,
    SPACE_GROUP_NAMES,
    is_magnetic,
)
from sklearn_cgcnn.datasets._cif._syntax import Block, CIFError, normalized
from sklearn_cgcnn.datasets._cif._values import CRYSTAL_SYSTEM_NAMES, read_number

# Shares that sum to 1 may sum to slightly more in binary numbers.
_OCCUPANCY_TOLERANCE = 1 + 1e-6

_OXIDATION_NAMES = ("_atom_type_symbol", "_atom_type_oxidation_number")


def make_structure(
    block: Block,
    cell: dict[str, str],
    operations: list[str],
    sites: list[ListedSite],
    notes: list[str],
) -> tuple[Structure, list[SymmOp]]:
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
    operations : list of pymatgen.core.operations.SymmOp
        The symmetry operations that pymatgen applied.

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
    parser = CifParser.from_str(
        "\n".join(lines), occupancy_tolerance=_OCCUPANCY_TOLERANCE, check_cif=False
    )
    try:
        structures = parser.parse_structures(primitive=False, on_error="raise")
    finally:
        notes += getattr(parser, "warnings", [])
    return structures[0], list(parser.symmetry_operations)


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
    """Return the oxidation states, or nothing if one of them cannot be read."""
    symbols, numbers = (block.column(name) or [] for name in _OXIDATION_NAMES)
    if not symbols or len(symbols) != len(numbers):
        return []
    try:
        numbers = [read_number(each, _OXIDATION_NAMES[1]) for each in numbers]
    except CIFError:
        return []
    return _loop(_OXIDATION_NAMES, list(zip(symbols, numbers, strict=True)))


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
