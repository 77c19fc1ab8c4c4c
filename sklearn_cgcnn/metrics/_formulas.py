"""Formulas of crystals, given the number of sites of each element."""

from collections.abc import Iterable, Mapping
from itertools import product
from math import gcd
from string import ascii_lowercase, ascii_uppercase

from pymatgen.core.periodic_table import Element

# A to Z, and then Aa, Ab, ...: more letters than there are elements.
_PLACEHOLDERS = [
    *ascii_uppercase,
    *map("".join, product(ascii_uppercase, ascii_lowercase)),
]


def reduced_counts(counts: Mapping[int, int]) -> dict[int, int]:
    """Return the number of sites of each element in one formula unit.

    Parameters
    ----------
    counts : mapping of int to int
        Number of sites of each element, by atomic number.

    Returns
    -------
    dict of int to int
    """
    divisor = gcd(*counts.values())
    return {number: count // divisor for number, count in counts.items()}


def formula(counts: Mapping[int, int]) -> str:
    """Return the reduced formula, such as ``"CaTiO3"``.

    Parameters
    ----------
    counts : mapping of int to int
        Number of sites of each element, by atomic number.

    Returns
    -------
    str
        Elements in the order of IUPAC, which is defined for all of them. Their
        electronegativities, which pymatgen sorts by, are not.
    """
    reduced = reduced_counts(counts)
    elements = sorted(map(Element.from_Z, reduced), key=lambda e: e.iupac_ordering)
    return _join((element.symbol, reduced[element.Z]) for element in elements)


def chemical_system(counts: Mapping[int, int]) -> str:
    """Return the elements in alphabetical order, such as ``"Ca-O-Ti"``.

    Parameters
    ----------
    counts : mapping of int to int
        Number of sites of each element, by atomic number.

    Returns
    -------
    str
    """
    return "-".join(sorted(Element.from_Z(number).symbol for number in counts))


def anonymous_formula(amounts: Iterable[int]) -> str:
    """Return the formula with placeholders for the elements, such as ``"ABC3"``.

    Parameters
    ----------
    amounts : iterable of int
        Number of sites of each element in one formula unit.

    Returns
    -------
    str
    """
    return _join(zip(_PLACEHOLDERS, amounts, strict=False))


def _join(parts: Iterable[tuple[str, int]]) -> str:
    return "".join(f"{symbol}{'' if n == 1 else n}" for symbol, n in parts)
