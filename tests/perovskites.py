"""The 18,928 perovskites of Castelli et al., with the roles of their sites.

The formula is ABX3. A is surrounded by twelve anions, B by six that are nearer.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Element

from real_crystals import load_structures

ANIONS = {"N", "O", "F", "S"}
# Crystals are called stable below this energy (paper, Table V).
CUTOFF = 0.2  # eV/cell


@dataclass
class Perovskites:
    """Crystals, energies above the hull, and the split that CDVAE uses.

    Parameters
    ----------
    folder : Path
        Folder with the files ``labels.csv.gz`` and ``structures.npz``.
    """

    folder: Path

    @cached_property
    def _labels(self):
        path = self.folder / "labels.csv.gz"
        # "NaN3" and the like are formulas, not missing values.
        return pd.read_csv(path, keep_default_na=False, na_values=[""])

    @cached_property
    def structures(self):
        """The structures, in the order of the labels."""
        return load_structures(self.folder)

    @cached_property
    def y(self):
        """Energies above the hull in eV/cell. A cell has five sites."""
        return self._labels["e_form"].to_numpy()

    def rows(self, part):
        """Return the rows of "train", "val" or "test"."""
        return np.flatnonzero(self._labels["split"] == part)

    @cached_property
    def roles(self):
        """For each crystal, one of "A", "B" and "X" for each site."""
        return [site_roles(each) for each in self.structures]

    @cached_property
    def elements(self):
        """A table of the elements on A, on B and on the three X, one crystal a row."""
        return pd.DataFrame(map(_occupants, self.structures, self.roles))

    @property
    def is_stable(self):
        """Whether the energy is below the cut-off."""
        return self.y < CUTOFF


def site_roles(structure):
    """Return the role of each site of a perovskite: "A", "B" or "X".

    The metal whose closest anion is nearer is B. (The mean distance of the six closest
    fails for 3 % of the crystals, in which an anion is displaced.)
    """
    is_anion = np.array([site.specie.symbol in ANIONS for site in structure])
    nearest = structure.distance_matrix[:, is_anion].min(axis=1)
    first, second = np.flatnonzero(~is_anion)
    roles = np.where(is_anion, "X", "A").tolist()
    roles[first if nearest[first] < nearest[second] else second] = "B"
    return roles


def _occupants(structure, roles):
    symbols = [site.specie.symbol for site in structure]
    sites = list(zip(roles, symbols, strict=True))
    anions = sorted(symbol for role, symbol in sites if role == "X")
    return {**dict(sites), "X": "".join(anions)}


def group(symbol):
    """Return the group of an element, 3 for lanthanides."""
    return Element(symbol).group


def ionic_radius(symbol):
    """Return the mean of the ionic radii of pymatgen over oxidation states, in Å."""
    return float(Element(symbol).average_ionic_radius)
