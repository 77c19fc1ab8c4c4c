"""Read numbers and the cell from a data block, and refuse unclear ones.

pymatgen and ASE guess what unclear values mean, each in its own way.
"""

import math
import re

from sklearn_cgcnn.datasets._cif._syntax import Block, CIFError, shorten

CELL_NAMES = (
    *(f"_cell_length_{axis}" for axis in "abc"),
    *(f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")),
)

# Where the system determines lengths and angles, they may be absent.
CRYSTAL_SYSTEM_NAMES = ("_symmetry_cell_setting", "_space_group_crystal_system")

OXIDATION_NAMES = ("_atom_type_symbol", "_atom_type_oxidation_number")

# ASCII digits only, and no underscores, unlike float(). The uncertainty in parentheses
# is dropped; its end may be missing.
_NUMBER = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?:\([^()]*\)?)?"
)


def read_number(text: str, what: str) -> str:
    """Return a number of a CIF file without its uncertainty.

    Parameters
    ----------
    text : str
        A value such as ``5.43(2)``.
    what : str
        What the value is, for the error message.

    Returns
    -------
    str
        The number, which ``float`` accepts.

    Raises
    ------
    CIFError
        If the value is not a finite number.
    """
    match = _NUMBER.fullmatch(text)
    if match is None or not math.isfinite(float(match[1])):
        raise CIFError(f"{what} is {shorten(text)}, but must be a number")
    return match[1]


def read_cell(block: Block, notes: list[str]) -> dict[str, str]:
    """Return the lengths and angles of the cell that a data block lists.

    Parameters
    ----------
    block : Block
        The data block of the crystal.
    notes : list of str
        Receives which of them are absent and follow from the crystal system.

    Returns
    -------
    dict of str to str
        Maps the data names to numbers.

    Raises
    ------
    CIFError
        If a value is not a positive number, or no cell has these angles. If values are
        absent, and so is the crystal system.
    """
    cell = {}
    for name in CELL_NAMES:
        values = block.column(name)
        if values is None:
            continue
        cell[name] = read_number(values[0], name)
        upper = 180.0 if "angle" in name else math.inf
        if not 0 < float(cell[name]) < upper:
            raise CIFError(
                f"{name} is {cell[name]}, which is not possible in a crystal"
            )
    _check_angles([float(cell[name]) for name in CELL_NAMES[3:] if name in cell])
    absent = ", ".join(name for name in CELL_NAMES if name not in cell)
    if absent:
        systems = [block.value(name) for name in CRYSTAL_SYSTEM_NAMES]
        if not any(systems):
            raise CIFError(f"does not list {absent}")
        notes.append(f"{absent} derived from the crystal system, as not listed")
    return cell


def _check_angles(degrees: list[float]) -> None:
    """Refuse three angles that leave the cell without a volume."""
    if len(degrees) < 3:
        return
    a, b, c = (math.cos(math.radians(each)) for each in degrees)
    if 1 + 2 * a * b * c - a**2 - b**2 - c**2 <= 0:
        raise CIFError(f"no cell has the angles {', '.join(map(str, degrees))}")


def read_oxidation_states(block: Block) -> list[tuple[str, str]]:
    """Return the oxidation states that a data block lists.

    Parameters
    ----------
    block : Block
        The data block of the crystal.

    Returns
    -------
    list of (str, str)
        Symbols and numbers. Empty if one of the numbers cannot be read.
    """
    symbols, numbers = (block.column(name) or [] for name in OXIDATION_NAMES)
    if len(symbols) != len(numbers):
        return []
    try:
        numbers = [read_number(each, OXIDATION_NAMES[1]) for each in numbers]
    except CIFError:
        return []
    return list(zip(symbols, numbers, strict=True))
