"""Read one CIF file: choose its data block, make a structure, and check it."""

import codecs
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from pymatgen.core import Structure

from sklearn_cgcnn.datasets._cif._comparison import check_cell, check_sites
from sklearn_cgcnn.datasets._cif._consistency import contradictions
from sklearn_cgcnn.datasets._cif._gemmi import parse_with_gemmi
from sklearn_cgcnn.datasets._cif._packed import PackedStructure, pack, unpack
from sklearn_cgcnn.datasets._cif._plain import make_plain_structure
from sklearn_cgcnn.datasets._cif._pymatgen import make_structure
from sklearn_cgcnn.datasets._cif._sites import SITE_NAMES, read_sites
from sklearn_cgcnn.datasets._cif._symmetry import (
    HALL_NAMES,
    MAGNETIC_OPERATION_NAMES,
    OPERATION_NAMES,
    SPACE_GROUP_NAMES,
    check_group,
    is_magnetic,
    operations_of_group,
    read_operations,
)
from sklearn_cgcnn.datasets._cif._syntax import (
    Block,
    CIFError,
    normalized,
    parse_blocks,
    shorten,
)
from sklearn_cgcnn.datasets._cif._values import (
    CELL_NAMES,
    read_cell,
    read_oxidation_states,
)

# The longer one first: a UTF-32 mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

# Line ends of old systems, and marks of pages and of the end of a file.
_BLANKS = {"\r\n": "\n", "\r": "\n", "\v": " ", "\f": " ", "\x1a": " "}


class CIFReading(NamedTuple):
    """The outcome of reading a CIF file.

    Attributes
    ----------
    structure : pymatgen.core.Structure or None
        The structure, or None if the file could not be read.
    reason : str
        Why it could not be read, or an empty string.
    notes : list of str
        What was unusual, if it could be read.
    """

    structure: Structure | None
    reason: str
    notes: list[str]

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (pack(self.structure), self.reason, self.notes)


def _unpacked(
    packed: PackedStructure | Structure | None, reason: str, notes: list[str]
) -> CIFReading:
    return CIFReading(unpack(packed), reason, notes)


def read_cif(file: Path) -> CIFReading:
    """Read the first crystal of a CIF file.

    Parameters
    ----------
    file : pathlib.Path
        The file.

    Returns
    -------
    CIFReading
        All errors are returned as reasons.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            structure = _read(file, notes)
        except Exception as error:  # noqa: BLE001 (a bad file can raise anything)
            structure, reason = None, _reason(error)
    notes += [str(each.message) for each in caught if _is_about_file(each)]
    notes = list(dict.fromkeys(notes))
    if structure is not None:
        return CIFReading(structure, "", notes)
    return CIFReading(None, "; ".join([reason, *notes]), [])


def _is_about_file(warning: warnings.WarningMessage) -> bool:
    """Whether a warning is about the file, unlike deprecations."""
    # pymatgen says so of helium, for example, once in each process.
    is_about_element = str(warning.message).startswith("No Pauling electronegativity")
    return issubclass(warning.category, UserWarning) and not is_about_element


def _reason(error: Exception) -> str:
    if isinstance(error, CIFError):
        return str(error)
    cause = error.__cause__ or error  # pymatgen raises other errors again
    return f"{type(cause).__name__}: {cause}"


def _read(file: Path, notes: list[str]) -> Structure:
    text = _text(file)
    block = _first_crystal(parse_with_gemmi(text) or parse_blocks(text), notes)
    notes += _check_syntax(block)
    cell = read_cell(block, notes)
    operations = read_operations(block) or operations_of_group(block, notes)
    sites = read_sites(block, notes)
    made = None
    if not is_magnetic(block, operations):
        states = read_oxidation_states(block)
        made = make_plain_structure(cell, operations, states, sites, notes)
    structure, applied = made or make_structure(block, cell, operations, sites, notes)
    if not operations:
        check_group(block, applied, notes)
    check_cell(structure, cell)
    multiplicity = check_sites(structure, sites, applied)
    notes += contradictions(structure, block, multiplicity, len(applied))
    return structure


def _text(file: Path) -> str:
    """Return the text of a file, with line feeds and without byte-order marks."""
    content = file.read_bytes()
    encoding = next((_MARKS[m] for m in _MARKS if content.startswith(m)), "utf-8")
    # Whatever matters is ASCII. Names of authors may have any encoding.
    text = content.decode(encoding, errors="replace").replace("\ufeff", "")
    if "\0" in text:
        raise CIFError(
            "has null bytes, as a binary file or one in UTF-16 without a byte-order "
            "mark; save it as UTF-8"
        )
    if not text.strip():
        raise CIFError("is empty")
    for old, new in _BLANKS.items():
        text = text.replace(old, new)
    return text


def _first_crystal(blocks: list[Block], notes: list[str]) -> Block:
    """Return the first data block with a cell or sites."""
    outside, *blocks = blocks
    if not blocks:
        raise CIFError("has no data block, which would begin with a line data_<name>")
    if _describes_crystal(outside):
        raise CIFError("has a cell or atom sites before the first line data_<name>")
    if outside.items:
        notes.append("what precedes the first data block was ignored")
    block = next(filter(_describes_crystal, blocks), None)
    if block is None:
        raise CIFError("has no data block with a cell or atom sites")
    for earlier in blocks[: blocks.index(block) + 1]:
        notes += earlier.remarks
    if len(blocks) > 1:
        notes.append(
            f"of {len(blocks)} data blocks, only the first with a cell or atom sites "
            f"was read ({shorten(block.name)})"
        )
    return block


def _describes_crystal(block: Block) -> bool:
    prefixes = ("_cell_length_", "_cell_angle_", "_atom_site_")
    return any(name.startswith(prefixes) for name in block.names())


def _check_syntax(block: Block) -> list[str]:
    """Refuse faults of items that the crystal is made of, and return other faults."""
    needed = {*CELL_NAMES, *SITE_NAMES, *OPERATION_NAMES, *MAGNETIC_OPERATION_NAMES}
    if not any(block.column(name) for name in OPERATION_NAMES):
        needed.update(map(normalized, (*SPACE_GROUP_NAMES, *HALL_NAMES)))
    ignored = []
    for item in block.items:
        if item.faults and needed.intersection(map(normalized, item.names)):
            raise CIFError("; ".join(item.faults))
        ignored += [f"{fault}; this was ignored" for fault in item.faults]
    for name in needed.intersection(block.repeated_names()):
        raise CIFError(f"{name} is listed with different values in one data block")
    return ignored
