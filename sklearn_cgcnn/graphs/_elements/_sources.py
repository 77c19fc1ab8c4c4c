"""How the nine properties of an element are read from pymatgen, and what is corrected.

One function for each property, of the same name. Each returns NaN where pymatgen has
no value; none warns, as a gap is an answer here.
"""

import re
from math import log, nan

from pymatgen.core.periodic_table import Element

BLOCKS = "spdf"

# pymatgen takes the block from the group, and helium, 1s2, for a p element.
_CORRECTED_BLOCKS = {2: "s"}

# In cm³/mol. pymatgen's 19.1 for thulium contradicts its own density, 9321 kg/m³, and
# the contraction along the lanthanides; mass by density, 168.934 / 9.321, does not.
_CORRECTED_MOLAR_VOLUMES = {69: 18.12}

_SUBSHELL = re.compile(r"\d([spdf])(\d+)")


def group(element: Element) -> float:
    """Return the group, 3 for all lanthanides and actinides."""
    return float(element.group)


def period(element: Element) -> float:
    """Return the period, 8 for lanthanides and 9 for actinides."""
    if element.is_lanthanoid:
        return 8.0
    return 9.0 if element.is_actinoid else float(element.row)


def electronegativity(element: Element) -> float:
    """Return Pauling's electronegativity."""
    # Not through Element.X, which warns where there is none.
    return _number(element.data.get("X"))


def covalent_radius(element: Element) -> float:
    """Return the covalent radius of Cordero et al. (2008) in pm."""
    # Here, because it takes longer to import than all the rest of this module.
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius

    # Rounded, as 100 * 0.57 Å is not quite 57 pm.
    return round(100.0 * CovalentRadius.radius.get(element.symbol, nan), 6)


def valence_electrons(element: Element) -> float:
    """Count the electrons outside the noble-gas core that take part in bonds.

    Electrons in f shells lie too deep, and so does a d shell that is filled below
    p electrons. A filled d shell without p electrons counts: zinc has 12, the highest
    number in the paper's range.
    """
    outside_core = element.electronic_structure.rpartition("]")[2]
    electrons = {shell: int(count) for shell, count in _SUBSHELL.findall(outside_core)}
    counted = "sp" if "p" in electrons else "sd"
    return float(sum(electrons.get(shell, 0) for shell in counted))


def first_ionization_energy(element: Element) -> float:
    """Return the natural logarithm of the first ionization energy in eV."""
    return _log(_number(element.ionization_energy))


def electron_affinity(element: Element) -> float:
    """Return the electron affinity in eV, positive where the anion is bound."""
    return _number(element.data.get("Electron affinity"))


def block(element: Element) -> float:
    """Return the position of the block in `BLOCKS`."""
    return float(BLOCKS.index(_CORRECTED_BLOCKS.get(element.Z, element.block)))


def atomic_volume(element: Element) -> float:
    """Return the natural logarithm of the molar volume in cm³/mol."""
    # Not through Element.molar_volume, which warns where there is none.
    volume = _number(element.data.get("Molar volume"))
    return _log(_CORRECTED_MOLAR_VOLUMES.get(element.Z, volume))


def _number(entry: object) -> float:
    """Take the number off an entry of pymatgen's table; a unit may stand behind it.

    A gap is ``None``, or "no data" in the releases that store text.
    """
    try:
        return float(str(entry).partition(" ")[0])
    except ValueError:
        return nan


def _log(value: float) -> float:
    return log(value) if value > 0 else nan
