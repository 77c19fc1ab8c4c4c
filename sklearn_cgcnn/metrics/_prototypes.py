"""Labels of crystals by prototype: formula type, space group, Wyckoff positions."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import chain, groupby
from typing import Any

import numpy as np
from joblib import delayed
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import IStructure

from sklearn_cgcnn._parallel import generator_of
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import Cell
from sklearn_cgcnn.metrics._formulas import anonymous_formula, formula, reduced_counts
from sklearn_cgcnn.metrics._wyckoff_letters import MIRROR_IMAGES, relabelings

# Crystals that are sent to a process together. One takes about 10 ms.
_CHUNK_SIZE = 16


def prototype_labels(
    cells: Sequence[Cell], symprec: float, n_jobs: int | None
) -> list[str]:
    """Label each crystal by its prototype.

    Parameters
    ----------
    cells : sequence of Cell
        Unit cells.
    symprec : float
        Tolerance of the search for symmetry, in Å.
    n_jobs : int or None
        Number of processes, as in joblib.

    Returns
    -------
    list of str
        Labels such as ``"ABC3_221_a_b_c"``.

    Raises
    ------
    StructureError
        If the symmetry of a crystal cannot be determined. The error refers to the
        first such crystal.
    """
    chunks = generator_of(n_jobs)(
        delayed(_label_chunk)(first, cells[first : first + _CHUNK_SIZE], symprec)
        for first in range(0, len(cells), _CHUNK_SIZE)
    )
    return list(chain.from_iterable(chunks))


def _label_chunk(first: int, cells: Sequence[Cell], symprec: float) -> list[str]:
    with warnings.catch_warnings():
        # spglib announces a new way to report errors on every call, and pymatgen warns
        # of elements without an electronegativity, by which it sorts them.
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)
        warnings.filterwarnings("ignore", "No Pauling electronegativity", UserWarning)
        return [_label(cell, i, symprec) for i, cell in enumerate(cells, first)]


def _label(cell: Cell, index: int, symprec: float) -> str:
    space_group, letters = _occupied_positions(cell, index, symprec)
    amounts = reduced_counts(Counter(cell.atomic_numbers.tolist()))
    elements = tuple(sorted((amounts[z], letters[z]) for z in amounts))
    return _canonical_label(space_group, elements)


@cache  # P-1 has 1344 relabelings
def _canonical_label(space_group: int, elements: tuple[tuple[int, str], ...]) -> str:
    """Return the label, given amount and Wyckoff letters of each element."""
    # The same crystal in all equivalent settings. Elements are sorted again, so that
    # only their amounts and positions matter.
    settings = (
        sorted((amount, _relabel(letters, table)) for amount, letters in elements)
        for table in relabelings(space_group)
    )
    chosen = min(settings)
    parts = [anonymous_formula(amount for amount, _ in chosen), str(space_group)]
    return "_".join(parts + [_with_counts(letters) for _, letters in chosen])


def _occupied_positions(
    cell: Cell, index: int, symprec: float
) -> tuple[int, dict[int, str]]:
    """Return the space group, and one Wyckoff letter per orbit of each element."""
    symmetry = _find_symmetry(cell, index, symprec)
    # `equivalent_atoms` would split the orbits in a supercell of lower symmetry.
    _, firsts = np.unique(symmetry.crystallographic_orbits, return_index=True)
    letters: defaultdict[int, str] = defaultdict(str)
    for site in firsts:
        letters[int(cell.atomic_numbers[site])] += symmetry.wyckoffs[site]
    space_group = int(symmetry.number)
    return (
        MIRROR_IMAGES.get(space_group, space_group),
        {number: "".join(sorted(each)) for number, each in letters.items()},
    )


def _find_symmetry(cell: Cell, index: int, symprec: float) -> Any:
    """Return what spglib says about the symmetry of a crystal."""
    # Only prototypes need spglib, which this import loads.
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    if not all(cell.pbc):
        raise _error(
            cell,
            index,
            "it is not periodic along all of its lattice vectors; leave it out, or "
            'group by "formula" or "chemical_system"',
        )
    structure = IStructure(
        Lattice(cell.lattice),
        cell.atomic_numbers.tolist(),
        cell.coords.tolist(),
        coords_are_cartesian=True,
    )
    try:
        # With a negative angle_tolerance, symprec is the only tolerance.
        analyzer = SpacegroupAnalyzer(structure, symprec, angle_tolerance=-1)
        return analyzer.get_symmetry_dataset()
    except ValueError as error:
        raise _error(
            cell,
            index,
            f"spglib found no symmetry with symprec={symprec:g} ({error}); pass a "
            "smaller symprec, or leave it out",
        ) from error


def _error(cell: Cell, index: int, problem: str) -> StructureError:
    name = formula(Counter(cell.atomic_numbers.tolist()))
    return StructureError(
        f"X[{index}] ({name}) has no prototype: {problem}", index=index
    )


def _relabel(letters: str, table: dict[int, int]) -> str:
    return "".join(sorted(letters.translate(table)))


def _with_counts(letters: str) -> str:
    """Return sorted letters with their counts: ``"2ac"`` for ``"aac"``."""
    counts = ((letter, len(list(same))) for letter, same in groupby(letters))
    return "".join(f"{'' if n == 1 else n}{letter}" for letter, n in counts)
