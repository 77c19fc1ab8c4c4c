"""Read the atom sites that a data block lists, and refuse unclear ones."""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from pymatgen.core import Element

from sklearn_cgcnn.datasets._cif._syntax import (
    Block,
    CIFError,
    is_placeholder,
    shorten,
)
from sklearn_cgcnn.datasets._cif._values import read_number

_COORDINATE_NAMES = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")
_LABEL, _SYMBOL = "_atom_site_label", "_atom_site_type_symbol"
_OCCUPANCY = "_atom_site_occupancy"
_CALC_FLAG = "_atom_site_calc_flag"
SITE_NAMES = (_LABEL, _SYMBOL, *_COORDINATE_NAMES, _OCCUPANCY)

# That of lawrencium, the last element that graphs may have.
MAX_ATOMIC_NUMBER = 103

_ELEMENT = re.compile(r"([A-Z][a-z]?)(?![A-Za-z])")
_LETTERS = re.compile(r"([A-Za-z]{1,2})(?![A-Za-z])")

# A type symbol may have a charge or a comment. What follows must not be an element, as
# in H2O.
_TYPE = re.compile(r"[A-Za-z]{1,2}(?:[^A-Za-z]*|[_( ].*)")
_SHARE = re.compile(
    r"([0-9]*\.?[0-9]+)(?:\([0-9]*\))?([A-Z][a-z]?)(?:<sup>.*|[0-9+-]*)"
)

# Symbols of groups of atoms, from which pymatgen makes one atom or none.
_GROUPS = ("OH", "NO3")

# Symbols of water, from which pymatgen makes oxygen or hydrogen.
_WATER = re.compile(r"Ow|Hw|[Ww]at")

_ISOTOPES = {"D": "H", "T": "H"}  # that pymatgen takes for the element


class ListedSite(NamedTuple):
    """A site as the file lists it. Equivalent sites follow by symmetry.

    Attributes
    ----------
    label : str
        The label, which need not be unique.
    symbol : str
        What the element is read from: the type symbol, or else the label.
    coords : tuple of 3 str
        Fractional coordinates, without uncertainties.
    occupancy : str
        The occupancy, without uncertainty.
    """

    label: str
    symbol: str
    coords: tuple[str, ...]
    occupancy: str


@lru_cache(1024)
def element_of(symbol: str) -> str:
    """Return the element that a symbol stands for, as pymatgen reads it.

    Parameters
    ----------
    symbol : str
        The symbol of a listed site.

    Returns
    -------
    str
    """
    exact = _ELEMENT.match(symbol)
    if exact is not None and _is_element(exact[1]):
        name = exact[1]
    elif _WATER.match(symbol):
        name = "H" if symbol.startswith("H") else "O"
    else:
        n_letters = 2 if _is_element(symbol[:2]) else 1
        name = symbol[:n_letters].title()
    return _ISOTOPES.get(name, name)


def read_sites(block: Block, notes: list[str]) -> list[ListedSite]:
    """Return the sites that a data block lists.

    Parameters
    ----------
    block : Block
        The data block of the crystal.
    notes : list of str
        Receives what was decided where the file is unclear.

    Returns
    -------
    list of ListedSite
        Sites that are not occupied, and positions that are not sites, are left out.

    Raises
    ------
    CIFError
        If there are no sites, or the element, a coordinate or the occupancy of a site
        cannot be read.
    """
    labels = block.column(_LABEL) or block.column(_SYMBOL)
    if not labels:
        raise CIFError(f"lists no atom sites: {_LABEL} is absent or has no values")
    symbols = _site_column(block, _SYMBOL, labels, labels)
    coords = [_site_column(block, name, labels) for name in _COORDINATE_NAMES]
    occupancies = _site_column(block, _OCCUPANCY, labels, ["."] * len(labels))
    flags = _site_column(block, _CALC_FLAG, labels, ["."] * len(labels))
    remarks: dict[str, list[str]] = defaultdict(list)  # remark to sites
    sites = []
    rows = zip(
        labels, symbols, zip(*coords, strict=True), occupancies, flags, strict=True
    )
    for number, (label, symbol, position, occupancy, flag) in enumerate(rows, 1):
        title = f"site {number} ({shorten(label)})"
        if flag == "dum":
            remarks["left out, as it is flagged as a dummy site"].append(title)
            continue
        position = _read_position(position, title, remarks)
        occupancy = _read_occupancy(occupancy, title, remarks)
        if float(occupancy) == 0:
            remarks["left out, as its occupancy is 0"].append(title)
            continue
        for element, share in _shares(symbol, occupancy):
            _check_symbol(element, title, symbols is not labels, remarks)
            sites.append(ListedSite(label, element, position, share))
    if not sites:
        raise CIFError("lists no atom sites that are occupied")
    for remark, titles in remarks.items():
        more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
        notes.append(f"{titles[0]}{more}: {remark}")
    return sites


def _site_column(
    block: Block, name: str, labels: list[str], default: list[str] | None = None
) -> list[str]:
    column = block.column(name) or default
    if column is None:
        raise CIFError(f"{name} is absent, but fractional coordinates are needed")
    if len(column) != len(labels):
        raise CIFError(f"{name} has {len(column)} values for {len(labels)} atom sites")
    return column


def _read_position(
    texts: Sequence[str], title: str, remarks: dict[str, list[str]]
) -> tuple[str, ...]:
    """Return fractional coordinates. The CIF dictionary says that 0 is the default."""
    if "." in texts and set(texts) != {"."}:
        remarks["its coordinate '.' was read as 0"].append(title)
        texts = ["0" if text == "." else text for text in texts]
    return tuple(
        read_number(text, f"{name} of {title}")
        for name, text in zip(_COORDINATE_NAMES, texts, strict=True)
    )


def _read_occupancy(text: str, title: str, remarks: dict[str, list[str]]) -> str:
    """Return the occupancy. The CIF dictionary says that 1 is the default."""
    if text == "?":
        remarks["its unknown occupancy was taken as 1"].append(title)
    if is_placeholder(text):
        return "1"
    occupancy = read_number(text, f"{_OCCUPANCY} of {title}")
    if float(occupancy) < 0:
        raise CIFError(
            f"{_OCCUPANCY} of {title} is {occupancy}, but must not be negative"
        )
    return occupancy


def _shares(symbol: str, occupancy: str) -> list[tuple[str, str]]:
    """Split a type symbol of the Pauling File such as '0.8Nb + 0.2Zr'."""
    parts = symbol.split(" + ")
    matches = [_SHARE.fullmatch(part.strip()) for part in parts]
    if len(parts) == 1 or None in matches:
        return [(symbol, occupancy)]
    return [(match[2], match[1]) for match in matches if match is not None]


def _check_symbol(
    symbol: str, title: str, is_type: bool, remarks: dict[str, list[str]]
) -> None:
    """Refuse symbols of unknown elements and of groups such as OH."""
    if _WATER.match(symbol):
        return
    letters = _LETTERS.match(symbol)
    is_element = letters is not None and _is_element(letters[1])
    if is_type:
        is_known = is_element and _TYPE.fullmatch(symbol) is not None
    else:
        is_known = is_element or _is_element(symbol[:2]) or _is_element(symbol[:1])
    if not is_known or symbol.startswith(_GROUPS):
        raise CIFError(
            f"the element of {title} is given as {shorten(symbol)}, which is not the "
            "symbol of an element"
        )
    if not is_element:
        remarks["its element was read from the first letters of its label"].append(
            title
        )


@lru_cache(1024)
def _is_element(symbol: str) -> bool:
    """Whether this is an element, in upper or lower case, that crystals are made of."""
    name = symbol.title()
    return Element.is_valid_symbol(name) and Element(name).Z <= MAX_ATOMIC_NUMBER
