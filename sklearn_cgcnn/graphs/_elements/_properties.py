"""What is known of an element before any crystal is seen: Table II of the paper.

Xie and Grossman (2018) describe a site by nine properties of its element, each cut
into bins of equal width and one-hot encoded. The values come from pymatgen; where
none exists, the property's columns stay empty. pymatgen revised a few electron
affinities in 2025; those of Dy, Th and U lie in other bins in earlier releases.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import nan
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core.periodic_table import Element

from sklearn_cgcnn.graphs._elements import _sources

MAX_ATOMIC_NUMBER = 103

# A value on the edge between two bins (an electronegativity of 1.90, say) belongs to
# the upper one, and rounding must not decide otherwise. In units of a bin's width.
_EDGE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ElementProperty:  # numpydoc ignore=PR02
    """One property of the elements, and the bins that its values fall into.

    Parameters
    ----------
    name : str
        What it is called here.
    unit : str
        Its unit; empty for a number without one. ``"ln(eV)"`` says that the values
        are natural logarithms of a number of eV.
    low, high : float
        The range that the bins divide, in ``unit``.
    n_bins : int
        Number of columns. An integer property has one for each integer from ``low``
        to ``high``, any other has bins of equal width.
    source : str
        Where the values come from, and what was decided about them.
    read : callable
        Takes a pymatgen ``Element`` and returns the value in ``unit``, NaN if there
        is none.
    is_integer : bool, default=False
        Whether the values are integers, each with a column of its own.
    """

    name: str
    unit: str
    low: float
    high: float
    n_bins: int
    source: str
    read: Callable[[Element], float] = field(repr=False)
    is_integer: bool = False

    def one_hot(self, values: ArrayLike) -> NDArray[np.float32]:
        """Mark the bin of each value.

        A bin holds its lower edge but not its upper one, which opens the next. A
        value outside the range goes to the bin nearest to it.

        Parameters
        ----------
        values : array-like of shape (n_values,)
            In the property's unit, NaN where there is none.

        Returns
        -------
        ndarray of shape (n_values, n_bins), float32
            A single 1 in every row; no 1 where the value is NaN.
        """
        values = np.asarray(values, dtype=np.float64)
        width = 1.0 if self.is_integer else (self.high - self.low) / self.n_bins
        present = np.flatnonzero(~np.isnan(values))
        bins = np.floor((values[present] - self.low) / width + _EDGE_TOLERANCE)
        encoded = np.zeros((len(values), self.n_bins), dtype=np.float32)
        encoded[present, np.clip(bins, 0, self.n_bins - 1).astype(np.intp)] = 1.0
        return encoded


def element_property(name: str) -> NDArray[np.float64]:
    """Return one property of every element.

    Parameters
    ----------
    name : str
        A key of `PROPERTIES`, which tells unit and source.

    Returns
    -------
    ndarray of shape (104,), float64
        The values by atomic number, in the property's unit: natural logarithms for
        ``"first_ionization_energy"`` (of eV) and ``"atomic_volume"`` (of cm³/mol),
        the position in "spdf" for ``"block"``. NaN where the value does not exist,
        and at 0.

    Raises
    ------
    ValueError
        If there is no such property.

    Examples
    --------
    >>> float(element_property("covalent_radius")[8])
    66.0
    """
    _check_known([name])
    return _values(name).copy()


def one_hot_site_features(
    properties: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """Encode every element by its properties, as in Table II of the paper.

    Parameters
    ----------
    properties : sequence of str, default=None
        Keys of `PROPERTIES`, whose columns follow each other in the order given.
        None takes all nine, in the order of the paper.

    Returns
    -------
    ndarray of shape (104, n_columns), float32
        The features by atomic number, 93 columns for all nine properties. In each
        property's columns a row holds a single 1, or none where the value does not
        exist; row 0 is empty.

    Raises
    ------
    ValueError
        If there is no such property, if one is named twice, or if none is named.

    Examples
    --------
    Hydrogen stands in the first group and the first period:

    >>> features = one_hot_site_features(["group", "period"])
    >>> features.shape
    (104, 27)
    >>> features[1].nonzero()[0].tolist()
    [0, 18]
    """
    names = list(PROPERTIES) if properties is None else _check_names(properties)
    return np.hstack([PROPERTIES[name].one_hot(_values(name)) for name in names])


def _check_names(properties: Sequence[str]) -> list[str]:
    if isinstance(properties, str):
        raise ValueError(
            "properties must be a sequence of names, got a string; "
            f"did you mean [{properties!r}]?"
        )
    names = list(properties)
    if not names:
        raise ValueError("properties must name at least one property, got none.")
    _check_known(names)
    if len(set(names)) < len(names):
        raise ValueError(f"properties must not name a property twice, got {names}.")
    return names


def _check_known(names: list[str]) -> None:
    unknown = [name for name in names if name not in PROPERTIES]
    if unknown:
        raise ValueError(
            f"Element properties must be among {list(PROPERTIES)}, got {unknown}."
        )


@cache
def _values(name: str) -> NDArray[np.float64]:
    """Shared by all callers: to be copied before it is handed out."""
    read = PROPERTIES[name].read
    elements = (Element.from_Z(number) for number in range(1, MAX_ATOMIC_NUMBER + 1))
    return np.array([nan, *(read(element) for element in elements)], dtype=np.float64)


def _by_name(*properties: ElementProperty) -> Mapping[str, ElementProperty]:
    return MappingProxyType({each.name: each for each in properties})


#: The properties by name, in the order of Table II.
PROPERTIES: Mapping[str, ElementProperty] = _by_name(
    ElementProperty(
        name="group",
        unit="",
        low=1,
        high=18,
        n_bins=18,
        source=(
            "IUPAC's groups, from pymatgen, which counts all lanthanides and actinides "
            "in group 3 beside scandium and yttrium, with which they share the charge "
            "3+; periods 8 and 9 tell them apart. (The file released with the paper "
            "gives them a column of their own, which Table II does not have.)"
        ),
        read=_sources.group,
        is_integer=True,
    ),
    ElementProperty(
        name="period",
        unit="",
        low=1,
        high=9,
        n_bins=9,
        source=(
            "Periods 1 to 7, from pymatgen; the lanthanides (La to Lu) count as 8, the "
            "actinides (Ac to Lr) as 9."
        ),
        read=_sources.period,
        is_integer=True,
    ),
    ElementProperty(
        name="electronegativity",
        unit="",
        low=0.5,
        high=4.0,
        n_bins=10,
        source=(
            "Pauling's scale, from pymatgen. The paper cites Sanderson's, but its "
            "range and its released file fit Pauling's. None for He, Ne and Ar."
        ),
        read=_sources.electronegativity,
    ),
    ElementProperty(
        name="covalent_radius",
        unit="pm",
        low=25.0,
        high=250.0,
        n_bins=10,
        source=(
            "Cordero et al., Dalton Trans. 2008, 2832, doi:10.1039/b801115j, from "
            "pymatgen, which takes sp2 carbon and, for Mn, Fe and Co, the mean of low "
            "and high spin. None beyond Cm."
        ),
        read=_sources.covalent_radius,
    ),
    ElementProperty(
        name="valence_electrons",
        unit="",
        low=1,
        high=12,
        n_bins=12,
        source=(
            "Electrons outside the noble-gas core in the ground states of NIST's "
            "Atomic Spectra Database, from pymatgen; without f electrons, and without "
            "a d shell filled below p electrons. Hence 3 to 8 in groups 13 to 18, the "
            "group's number in groups 1 to 12, and in the f block 2 and the number of "
            "d electrons (Eu 2, Gd 3, Th 4)."
        ),
        read=_sources.valence_electrons,
        is_integer=True,
    ),
    ElementProperty(
        name="first_ionization_energy",
        unit="ln(eV)",
        low=1.3,
        high=3.3,
        n_bins=10,
        source="NIST Atomic Spectra Database, from pymatgen.",
        read=_sources.first_ionization_energy,
    ),
    ElementProperty(
        name="electron_affinity",
        unit="eV",
        low=-3.0,
        high=3.7,
        n_bins=10,
        source=(
            "Literature values, positive where the anion is bound, from pymatgen. The "
            "negative ones (He, Be, Ne, Mg, Ar, Mn, Zn and others whose anions do not "
            "last) and some of the actinides' are estimates or calculations. The paper "
            "cites the CRC Handbook."
        ),
        read=_sources.electron_affinity,
    ),
    ElementProperty(
        name="block",
        unit="",
        low=0,
        high=3,
        n_bins=4,
        source=(
            "Position in 'spdf', from pymatgen: La to Yb and Ac to No are f elements, "
            "Lu and Lr d elements; He is set right to s."
        ),
        read=_sources.block,
        is_integer=True,
    ),
    ElementProperty(
        name="atomic_volume",
        unit="ln(cm³/mol)",
        low=1.5,
        high=4.3,
        n_bins=10,
        source=(
            "Molar volume of the element in its condensed state, per mole of atoms, "
            "from pymatgen (after WebElements); Tm from its density. None for At, Fr "
            "and beyond Es, which were never made in bulk."
        ),
        read=_sources.atomic_volume,
    ),
)
