"""Read the symmetry operations that a data block lists, and refuse unclear ones."""

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.datasets._cif._syntax import (
    Block,
    CIFError,
    is_placeholder,
    normalized,
    shorten,
)

OPERATION_NAMES = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")

# Names of the space group that pymatgen reads, in its spelling.
SPACE_GROUP_NAMES = (
    "_symmetry_space_group_name_H-M",
    "_space_group_name_H-M_alt",
    "_space_group_IT_number",
    "_symmetry_Int_Tables_number",
)

# pymatgen looks for Hall symbols among those of Hermann and Mauguin, and takes P 3 2,
# which is P 3 1 2, for P 32.
HALL_NAMES = ("_symmetry_space_group_name_Hall", "_space_group_name_Hall")

# What pymatgen reads of magnetic structures. The names exist in several spellings,
# which pymatgen tells apart.
MAGNETIC_PREFIXES = (
    "_space_group_magn",
    "_space_group_symop_magn",
    "_magnetic_space_group",
    "_atom_site_moment",
    "_cell_modulation_dimension",
    "_cell_wave_vector",
)
MAGNETIC_OPERATION_NAMES = (
    "_space_group_symop_magn_operation_xyz",
    "_space_group_symop_magn_centering_xyz",
)
_MAGNETIC_GROUP_NAMES = ("_space_group_magn_name_bns", "_space_group_magn_number_bns")

_SHIFT = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:/0*[1-9][0-9]*)?")


def read_operations(block: Block) -> list[str]:
    """Return the symmetry operations that a data block lists.

    Parameters
    ----------
    block : Block
        The data block of the crystal.

    Returns
    -------
    list of str
        Operations such as ``-x,y+1/2,z``, in lower case without blanks.

    Raises
    ------
    CIFError
        If an operation cannot be read, or two lists differ.
    """
    lists = []
    for name in OPERATION_NAMES:
        values = [v for v in block.column(name) or [] if not is_placeholder(v)]
        if values:
            lists.append([_read_operation(value, name) for value in values])
    if len(lists) > 1 and set(lists[0]) != set(lists[1]):
        raise CIFError(
            f"{OPERATION_NAMES[0]} and {OPERATION_NAMES[1]} list different operations"
        )
    for name in MAGNETIC_OPERATION_NAMES:
        for value in block.column(name) or []:
            _read_operation(value, name, is_magnetic=True)
    return lists[0] if lists else []


def is_magnetic(block: Block, operations: list[str]) -> bool:
    """Whether pymatgen should read a data block as that of a magnetic structure.

    It then ignores ordinary symmetry operations.

    Parameters
    ----------
    block : Block
        The data block of the crystal.
    operations : list of str
        The ordinary symmetry operations that it lists.

    Returns
    -------
    bool
    """
    names = set(block.names())
    if names.intersection((*_MAGNETIC_GROUP_NAMES, MAGNETIC_OPERATION_NAMES[0])):
        return True
    return "_atom_site_moment_label" in names and len(operations) == 1


def operations_of_group(block: Block, notes: list[str]) -> list[str]:
    """Return the symmetry operations of space group P 1, if the file lists none.

    Those of other space groups are left to pymatgen.

    Parameters
    ----------
    block : Block
        A data block without symmetry operations.
    notes : list of str
        Receives from where they were derived.

    Returns
    -------
    list of str
        The identity, if the space group is P 1 or is not given. Otherwise empty.

    Raises
    ------
    CIFError
        If the structure is modulated, so that its operations have more dimensions.
    """
    if any(name.startswith("_cell_modulation_") for name in block.names()):
        raise CIFError("describes a modulated structure, which is not supported")
    if is_magnetic(block, []):
        return []
    given = _space_group(block)
    if not given:
        notes.append("the file does not mention symmetry; it was read as P 1")
        return ["x,y,z"]
    notes.append(
        "the file lists no symmetry operations; they were derived from "
        + ", ".join(f"{name} {shorten(value)}" for name, value in given.items())
    )
    names = {re.sub(r"[\s_]", "", value).lower() for value in given.values()}
    return ["x,y,z"] if names <= {"p1", "1"} else []


def check_group(
    block: Block, operations: NDArray[np.float64], notes: list[str]
) -> None:
    """Check that pymatgen did not take an unknown space group for P 1.

    Parameters
    ----------
    block : Block
        A data block without symmetry operations.
    operations : ndarray of shape (n_operations, 4, 4)
        The operations that pymatgen applied.
    notes : list of str
        What pymatgen said.

    Raises
    ------
    CIFError
        If it did.
    """
    if is_magnetic(block, []):
        return
    if len(operations) == 1 or any("Defaulting to P1" in note for note in notes):
        given = ", ".join(map(shorten, _space_group(block).values()))
        raise CIFError(
            f"lists no symmetry operations, and pymatgen does not know those of {given}"
        )


def _space_group(block: Block) -> dict[str, str]:
    names = (*SPACE_GROUP_NAMES, *HALL_NAMES)
    values = {name: block.value(normalized(name)) for name in names}
    return {name: value for name, value in values.items() if value}


@lru_cache(1024)  # most files have some of few operations
def _read_operation(text: str, name: str, *, is_magnetic: bool = False) -> str:
    """Return an operation without blanks, provided that it has one meaning only."""
    operation = "".join(text.split()).lower()
    components = operation.split(",")
    if is_magnetic and components.pop() not in ("1", "+1", "-1"):
        components.clear()
    if len(components) != 3 or not all(map(_is_component, components)):
        form = "x,y,z,+1" if is_magnetic else "x,y,z"
        raise CIFError(
            f"{name} has the operation {shorten(text)}, which is not of the form {form}"
        )
    return operation


def _is_component(text: str) -> bool:
    """Whether this is a sum of different coordinates, and at most one shift."""
    terms = re.findall(r"[+-]?[^+-]+", text)
    axes = [term[-1] for term in terms if term.lstrip("+-") in ("x", "y", "z")]
    shifts = [term for term in terms if _SHIFT.fullmatch(term.lstrip("+-"))]
    is_complete = "".join(terms) == text and len(axes) + len(shifts) == len(terms)
    return is_complete and 0 < len(axes) == len(set(axes)) and len(shifts) <= 1
