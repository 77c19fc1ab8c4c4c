"""Read the nine properties of an element from pymatgen, with corrections.

Each property has a function of the same name. It returns NaN if pymatgen has no value,
without a warning, because missing values are expected.
"""

import re
from math import log, nan

from pymatgen.core.periodic_table import Element

BLOCKS = "spdf"

# pymatgen derives the block from the group, and assigns helium (1s2) to the p block.
_CORRECTED_BLOCKS = {2: "s"}

# cm³/mol. pymatgen's value of 19.1 for thulium contradicts its own density of 9321
# kg/m³ and the lanthanide contraction. Mass by density, 168.934 / 9.321, agrees with
# both.
_CORRECTED_MOLAR_VOLUMES = {69: 18.12}

_SUBSHELL = re.compile(r"\d([spdf])(\d+)")


def group(element: Element) -> float:
    """Return the group. It is 3 for all lanthanides and actinides."""
    return float(element.group)


def period(element: Element) -> float:
    """Return the period. It is 8 for lanthanides and 9 for actinides."""
    if element.is_lanthanoid:
        return 8.0
    return 9.0 if element.is_actinoid else float(element.row)


def electronegativity(element: Element) -> float:
    """Return the electronegativity on the Pauling scale."""
    # Element.X would warn about a missing value.
    return _number(element.data.get("X"))


def covalent_radius(element: Element) -> float:
    """Return the covalent radius of Cordero et al. (2008) in pm."""
    # Imported here because the import is slow.
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius

    # Rounded because 100 * 0.57 is not exactly 57.
    return round(100.0 * CovalentRadius.radius.get(element.symbol, nan), 6)


def valence_electrons(element: Element) -> float:
    """Return the number of electrons outside the noble-gas core that form bonds.

    Electrons in f shells are too close to the core to form bonds, and so are those of a
    filled d shell below p electrons. A filled d shell without p electrons is counted:
    zinc has 12 valence electrons, the highest number in the paper's range.
    """
    outside_core = element.electronic_structure.rpartition("]")[2]
    electrons = {shell: int(count) for shell, count in _SUBSHELL.findall(outside_core)}
    counted = "sp" if "p" in electrons else "sd"
    return float(sum(electrons.get(shell, 0) for shell in counted))


def first_ionization_energy(element: Element) -> float:
    """Return the natural logarithm of the first ionization energy in eV."""
    return _log(_number(element.ionization_energy))


def electron_affinity(element: Element) -> float:
    """Return the electron affinity in eV, positive if the anion is bound."""
    return _number(element.data.get("Electron affinity"))


def block(element: Element) -> float:
    """Return the position of the block in `BLOCKS`."""
    return float(BLOCKS.index(_CORRECTED_BLOCKS.get(element.Z, element.block)))


def atomic_volume(element: Element) -> float:
    """Return the natural logarithm of the molar volume in cm³/mol."""
    # Element.molar_volume would warn about a missing value.
    volume = _number(element.data.get("Molar volume"))
    return _log(_CORRECTED_MOLAR_VOLUMES.get(element.Z, volume))


def _number(entry: object) -> float:
    """Return the number in an entry of pymatgen's table, which may end with a unit.

    A missing value is ``None``, or "no data" in releases of pymatgen that store text.
    """
    try:
        return float(str(entry).partition(" ")[0])
    except ValueError:
        return nan


def _log(value: float) -> float:
    return log(value) if value > 0 else nan
