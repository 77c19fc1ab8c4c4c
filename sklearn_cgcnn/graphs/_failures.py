"""Crystals that cannot become graphs, and the error that names all of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from pymatgen.core.composition import Composition
from pymatgen.core.structure import IStructure

from sklearn_cgcnn._messages import listing
from sklearn_cgcnn.exceptions import StructureError

_MAX_LISTED = 10  # that an error message describes


@dataclass(frozen=True)
class Failure:
    """Takes the place of a crystal that cannot become a graph.

    Attributes
    ----------
    text : str
        What is wrong with the crystal, and the remedy.
    formula : str or None, default=None
        Its chemical formula. None if it has none, as it is no crystal.

    Examples
    --------
    Atomic number 0 belongs to no element:

    >>> import numpy as np
    >>> from sklearn_cgcnn.datasets import iter_packed_arrays
    >>> from sklearn_cgcnn.graphs import Failure
    >>> arrays = {
    ...     "n_sites": [1, 1],
    ...     "numbers": [84, 0],
    ...     "scaled_positions": [[0, 0, 0], [0, 0, 0]],
    ...     "cell": [3.35 * np.eye(3), 3.35 * np.eye(3)],
    ... }
    >>> for entry in iter_packed_arrays(arrays, on_error="collect"):
    ...     if isinstance(entry.crystal, Failure):
    ...         print(f"entry {entry.id} {entry.crystal.reason}")
    entry 1 is no structure (ValueError: ...)
    """

    text: str
    formula: str | None = None

    @property
    def reason(self) -> str:
        """What is wrong, without the position of the crystal."""
        return f"{self.formula}: {self.text}" if self.formula else self.text

    def at(self, index: int) -> str:
        """Return what is wrong with ``X[index]``.

        Parameters
        ----------
        index : int
            Position of the crystal.

        Returns
        -------
        str
        """
        if self.formula is None:
            return f"X[{index}] {self.text}"
        return f"X[{index}] ({self.formula}): {self.text}"


def formula_of(composition: Composition) -> str:
    """Return the formula of any composition.

    Parameters
    ----------
    composition : Composition
        Composition of a structure.

    Returns
    -------
    str
        Such as ``"Na4 Cl4"``.
    """
    # Composition.formula would warn about elements without an electronegativity.
    return " ".join(f"{species}{n:g}" for species, n in composition.items())


def n_sites_of(crystal: IStructure | Failure) -> int:
    """Return the number of sites of a crystal, 0 if it cannot become a graph.

    Parameters
    ----------
    crystal : Structure or Failure
        The crystal, or what takes its place.

    Returns
    -------
    int
    """
    return 0 if isinstance(crystal, Failure) else len(crystal)


def structure_error(
    failures: Mapping[int, Failure], n_crystals: int, remedy: str
) -> StructureError:
    """Return the error that names all crystals that failed.

    Parameters
    ----------
    failures : mapping of int to Failure
        What is wrong with each of them, by position, in ascending order. At least one.
    n_crystals : int
        Number of crystals that were read.
    remedy : str
        What to do about several crystals, as the last sentence of the message.

    Returns
    -------
    StructureError
        A single failure is described as it is, several are listed.
    """
    lines = [failure.at(index) for index, failure in failures.items()]
    message = lines[0]
    if len(lines) > 1:
        header = f"{len(lines)} of {n_crystals} crystals cannot become graphs:"
        message = f"{listing(header, lines, _MAX_LISTED)}\n{remedy}"
    return StructureError(
        message,
        index=next(iter(failures)),
        failed={index: failure.reason for index, failure in failures.items()},
    )
