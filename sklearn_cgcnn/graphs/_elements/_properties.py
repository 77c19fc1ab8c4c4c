"""The element properties of the paper (Table II), one-hot encoded as site features.

Xie and Grossman (2018) describe a site by nine properties of its element. Each property
is divided into bins of equal width and one-hot encoded. The values come from pymatgen.
If pymatgen has no value, all columns of the property are zero. pymatgen revised a few
electron affinities in 2025: in earlier releases, those of Dy, Th and U lie in other
bins.
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

# In units of a bin's width. A value on the edge between two bins (such as an
# electronegativity of 1.90) belongs to the upper one, even if rounding puts it slightly
# below the edge.
_EDGE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ElementProperty:  # numpydoc ignore=PR02
    """A property of the elements, with the bins of its one-hot encoding.

    Parameters
    ----------
    name : str
        Name of the property.
    unit : str
        Unit of the values, empty if they have none. ``"ln(eV)"`` means that the values
        are natural logarithms of energies in eV.
    low, high : float
        The range that the bins divide, in ``unit``.
    n_bins : int
        Number of columns. An integer property has one for each integer from ``low``
        to ``high``. Any other property has bins of equal width.
    source : str
        The source of the values, and corrections or choices that were made.
    read : callable
        Function of a pymatgen ``Element`` that returns the value in ``unit``, NaN if
        there is none.
    is_integer : bool, default=False
        Whether the values are integers, each with its own column.
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
        """Encode values as one-hot vectors.

        A bin includes its lower edge. Its upper edge belongs to the next bin. A value
        outside the range belongs to the nearest bin.

        Parameters
        ----------
        values : array-like of shape (n_values,)
            Values in ``unit``. NaN stands for a missing value.

        Returns
        -------
        ndarray of shape (n_values, n_bins), float32
            One vector for each value: 1 in the column of its bin, zeros elsewhere. All
            zeros for NaN.
        """
        values = np.asarray(values, dtype=np.float64)
        width = 1.0 if self.is_integer else (self.high - self.low) / self.n_bins
        present = np.flatnonzero(~np.isnan(values))
        bins = np.floor((values[present] - self.low) / width + _EDGE_TOLERANCE)
        encoded = np.zeros((len(values), self.n_bins), dtype=np.float32)
        encoded[present, np.clip(bins, 0, self.n_bins - 1).astype(np.intp)] = 1.0
        return encoded


def element_property(name: str) -> NDArray[np.float64]:
    """Return the values of one property for all elements.

    Parameters
    ----------
    name : str
        Name of the property, a key of `PROPERTIES`, which has its unit and source.

    Returns
    -------
    ndarray of shape (104,), float64
        The values by atomic number, in the unit of the property. Values of
        ``"first_ionization_energy"`` (in eV) and ``"atomic_volume"`` (in cm³/mol) are
        natural logarithms. Values of ``"block"`` are positions in "spdf". Missing
        values are NaN, and so is the entry at 0.

    Raises
    ------
    ValueError
        If the property is unknown.

    Examples
    --------
    >>> float(element_property("covalent_radius")[8])
    66.0
    """
    _check_known([name])
    return _values(name).copy()


def scaled_properties() -> NDArray[np.float32]:
    """Return all properties of all elements, with mean zero and variance one.

    Returns
    -------
    ndarray of shape (104, n_properties), float32
        The values by atomic number, in the order of `PROPERTIES`. Missing values are
        the mean, zero.
    """
    values = np.column_stack([_values(name) for name in PROPERTIES])
    scaled = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    filled: NDArray[np.float32] = np.nan_to_num(scaled).astype(np.float32)
    return filled


def one_hot_site_features(
    properties: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """Return the one-hot encoded properties of all elements (Table II of the paper).

    Parameters
    ----------
    properties : sequence of str, default=None
        Names of properties, keys of `PROPERTIES`. Their columns follow each other in
        this order. None takes all nine properties, in the order of the paper.

    Returns
    -------
    ndarray of shape (104, n_columns), float32
        The features by atomic number, with 93 columns for all nine properties. In the
        columns of a property, a row has a single 1, or only zeros if the value is
        missing. Row 0 belongs to no element and has only zeros.

    Raises
    ------
    ValueError
        If a property is unknown or named twice, or if the sequence is empty.

    Examples
    --------
    Hydrogen is in the first group and the first period:

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
            f"properties must be a sequence of names, got the string {properties!r}; "
            f"did you mean [{properties!r}]?"
        )
    names = list(properties)
    if not names:
        raise ValueError(
            "properties must name at least one property, got an empty sequence"
        )
    _check_known(names)
    if len(set(names)) < len(names):
        raise ValueError(f"properties must not name a property twice, got {names}")
    return names


def _check_known(names: list[str]) -> None:
    unknown = [name for name in names if name not in PROPERTIES]
    if unknown:
        raise ValueError(
            f"element properties must be among {list(PROPERTIES)}, got {unknown}"
        )


@cache
def _values(name: str) -> NDArray[np.float64]:
    """Return the values of a property, as an array that all callers share."""
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
            "IUPAC groups, from pymatgen. pymatgen assigns all lanthanides and "
            "actinides to group 3, with scandium and yttrium, which have the same "
            "charge 3+. Periods 8 and 9 distinguish them. (The file released with the "
            "paper has an additional column for them, which Table II does not have.)"
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
            "Periods 1 to 7, from pymatgen. The lanthanides (La to Lu) are assigned to "
            "period 8, the actinides (Ac to Lr) to period 9."
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
            "Pauling scale, from pymatgen. The paper cites Sanderson's scale, but its "
            "range and its released file match Pauling's. No values for He, Ne and Ar."
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
            "pymatgen. The value of carbon is that of sp2, and those of Mn, Fe and Co "
            "are means of low and high spin. No values beyond Cm."
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
            "Electrons outside the noble-gas core in the ground states of the NIST "
            "Atomic Spectra Database, from pymatgen, without f electrons, and without "
            "filled d shells below p electrons. The result is 3 to 8 in groups 13 to "
            "18, the group number in groups 1 to 12, and 2 plus the number of d "
            "electrons in the f block (Eu 2, Gd 3, Th 4)."
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
            "Literature values, positive if the anion is bound, from pymatgen. "
            "Negative values (He, Be, Ne, Mg, Ar, Mn, Zn and other elements with "
            "unstable anions) and some of the values of actinides are estimates or "
            "calculations. The paper cites the CRC Handbook."
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
            "Lu and Lr are d elements. The block of He is corrected to s."
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
            "from pymatgen (after WebElements). The value of Tm is computed from its "
            "density. No values for At, Fr and elements beyond Es, which were never "
            "produced in bulk."
        ),
        read=_sources.atomic_volume,
    ),
)
