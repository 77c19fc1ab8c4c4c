"""Labels of groups of related crystals, for cross-validation by group."""

from collections import Counter
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import IStructure

from sklearn_cgcnn._sklearn_compat import Interval, StrOptions, validate_params
from sklearn_cgcnn._validation import check_crystals
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import Cell, CrystalGraphs, Failure, read_cell
from sklearn_cgcnn.metrics._formulas import chemical_system, formula
from sklearn_cgcnn.metrics._prototypes import prototype_labels


@validate_params(
    {
        "by": [StrOptions({"formula", "chemical_system", "prototype"})],
        "symprec": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def crystal_groups(
    X: Any, by: str = "formula", *, symprec: float = 0.1, n_jobs: int | None = None
) -> NDArray[np.str_]:
    """Label related crystals alike, so that they can be kept in the same fold.

    Parameters
    ----------
    X : sequence of Structure, or CrystalGraphs
        Crystals. Graphs have no prototype, because they do not store positions.
    by : {"formula", "chemical_system", "prototype"}, default="formula"
        What the crystals of a group have in common.

        - "formula" is the reduced formula, such as ``"CaTiO3"``. Polymorphs of a
          compound have the same one.
        - "chemical_system" is the set of elements, such as ``"Ca-O-Ti"``.
        - "prototype" is the arrangement of the sites, whatever the elements are. The
          label consists of the formula type, the number of the space group, and the
          Wyckoff positions of each element, such as ``"ABC3_221_a_b_c"`` for cubic
          perovskites.
    symprec : float, default=0.1
        Tolerance of the search for symmetry in Å, if `by` is "prototype". Smaller
        deviations from a symmetric structure are ignored. The default is the value
        that the Materials Project uses for relaxed structures. With it, slightly
        distorted variants of a structure stay in one group.
    n_jobs : int or None, default=None
        Number of processes that search for symmetry, as in joblib. None means one.

    Returns
    -------
    ndarray of shape (n_crystals,), str
        The label of each crystal, for the parameter ``groups`` of scikit-learn. It
        depends neither on the order of the sites nor on the choice of the cell and its
        origin. It is empty for graphs that failed.

    Raises
    ------
    StructureError
        If a structure is disordered or damaged. If `by` is "prototype", also if a
        structure is not periodic along all three lattice vectors, or its symmetry
        cannot be determined. This happens if two sites of an element are closer than
        `symprec`.
    TypeError
        If X is of another type, or holds graphs and `by` is "prototype".
    ValueError
        If X is empty or a parameter is invalid.

    Notes
    -----
    Two crystals have the same prototype label if they have the same formula type and
    space group, and their elements occupy the same Wyckoff positions. Among the
    equivalent choices of letters, which follow from other origins and axes, the
    alphabetically first one is taken.

    Elements are placeholders. A structure and its antitype, such as CaF2 and Li2O,
    therefore have the same label, and so do the mirror images of a chiral crystal. The
    free coordinates of the positions and the ratios of lattice parameters are not
    compared. Crystals whose surroundings differ may thus share a label, such as pyrite
    and solid CO2.

    A crystal whose deviation from a higher symmetry is close to `symprec` may have
    different labels in different cells.

    Examples
    --------
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.metrics import crystal_groups
    >>> crystals = make_ionic_crystals(3, max_strain=0, random_state=0)
    >>> crystal_groups(crystals.data)
    array(['Li2Te', 'LaScS3', 'CsI'], dtype='<U6')
    >>> crystal_groups(crystals.data, by="prototype")
    array(['AB2_225_a_c', 'ABC3_221_a_b_c', 'AB_225_a_b'], dtype='<U14')
    """
    crystals = check_crystals(X)
    if by == "prototype":
        if isinstance(crystals, CrystalGraphs):
            raise TypeError(
                "X holds crystal graphs, which do not store positions, but "
                'by="prototype" needs them; pass the structures'
            )
        labels = prototype_labels(_read_cells(crystals), symprec, n_jobs)
        return np.array(labels, dtype=np.str_)
    label = formula if by == "formula" else chemical_system
    # A crystal that failed to become a graph has no elements.
    counted = _count_elements(crystals)
    return np.array([label(counts) if counts else "" for counts in counted])


def _count_elements(
    crystals: list[IStructure | Failure] | CrystalGraphs,
) -> Iterator[Counter[int]]:
    """Yield the number of sites of each element, by atomic number."""
    if not isinstance(crystals, CrystalGraphs):
        for cell in _read_cells(crystals):
            yield Counter(cell.atomic_numbers.tolist())
        return
    for graph in crystals:
        counts = Counter[int]()
        pairs = zip(graph.atomic_numbers, graph.multiplicity, strict=True)
        for number, multiplicity in pairs:
            counts[int(number)] += int(multiplicity)
        yield counts


def _read_cells(structures: list[IStructure | Failure]) -> list[Cell]:
    return [_read_cell(structure, i) for i, structure in enumerate(structures)]


def _read_cell(structure: IStructure | Failure, index: int) -> Cell:
    if isinstance(structure, Failure):  # ASE Atoms that cannot be converted
        raise StructureError(structure.at(index), index=index)
    try:
        return read_cell(structure)
    except StructureError as error:
        name = structure.composition.to_pretty_string()
        raise StructureError(f"X[{index}] ({name}): {error}", index=index) from None
