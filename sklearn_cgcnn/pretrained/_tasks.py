"""The properties that models are trained for, and the data that they learn from."""

from dataclasses import dataclass

_MATERIALS_PROJECT = (
    "Materials Project (A. Jain et al., APL Mater. 1, 011002, 2013), the crystals of "
    "T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018), as far as the "
    "Materials Project still has them"
)
_SOURCES = {
    "materials_project": (_MATERIALS_PROJECT, "CC-BY 4.0"),
    "elastic": (_MATERIALS_PROJECT, "CC-BY 4.0"),
    "perovskites": (
        "Cubic perovskites of I. E. Castelli et al., Energy Environ. Sci. 5, 5814 "
        "(2012), Computational Materials Repository",
        "as stated by the Computational Materials Repository",
    ),
    "matbench_phonons": (
        "Phonons of G. Petretto et al., Sci. Data 5, 180065 (2018), as in Matbench "
        "(A. Dunn et al., npj Comput. Mater. 6, 138, 2020)",
        "CC-BY 4.0",
    ),
    "jarvis_dft_2d": (
        "Two-dimensional materials of K. Choudhary et al., Sci. Rep. 7, 5179 (2017), "
        "JARVIS-DFT, as in Matbench (A. Dunn et al., npj Comput. Mater. 6, 138, 2020)",
        "as stated by JARVIS-DFT",
    ),
}

_LIMITS = (
    "Crystals of inorganic compounds as in the data. Molecules and surfaces are "
    "extrapolations, and so are elements that are not listed."
)


@dataclass(frozen=True)
class Task:
    """A property to train a model for.

    Attributes
    ----------
    dataset : str
        Name of the dataset.
    column : str
        Name of the property in the dataset.
    meaning : str
        What the property is.
    unit : str
        Unit of the predictions.
    is_logarithm : bool, default=False
        Whether the logarithm to base 10 is predicted.
    subset : str or None, default=None
        Column that is true for the crystals of the task. None takes all.
    is_class : bool, default=False
        Whether the property is a class.
    is_cross_validated : bool, default=False
        Whether the card has the errors of a cross-validation too. It does for small
        datasets, and for one with published folds.
    own_limits : str, default=""
        What the model is not for, beside the limits of all.
    """

    dataset: str
    column: str
    meaning: str
    unit: str
    is_logarithm: bool = False
    subset: str | None = None
    is_class: bool = False
    is_cross_validated: bool = False
    own_limits: str = ""

    @property
    def limits(self) -> str:
        """What the model is for, and what it is not for."""
        return f"{_LIMITS} {self.own_limits}".strip()

    @property
    def source(self) -> str:
        """Where the data come from."""
        return _SOURCES[self.dataset][0]

    @property
    def license(self) -> str:
        """The license of the data."""
        return _SOURCES[self.dataset][1]


TASKS = {
    "formation_energy": Task(
        "materials_project",
        "formation_energy_per_atom",
        "formation energy from the elements, GGA and GGA+U with the corrections of the "
        "Materials Project",
        "eV/atom",
    ),
    "absolute_energy": Task(
        "materials_project",
        "energy_per_atom",
        "total energy, GGA and GGA+U: the formation energy plus the energies of the "
        "elements of the Materials Project",
        "eV/atom",
    ),
    "fermi_energy": Task("materials_project", "efermi", "Fermi energy, GGA", "eV"),
    "band_gap": Task(
        "materials_project",
        "band_gap",
        "band gap of semiconductors and insulators, GGA, about 40 % below experiment",
        "eV",
        subset="in_band_gap_set",
        own_limits="Metals get a gap too, because none of them was trained on: ask "
        "is_metal first. The lower end of an interval may be negative.",
    ),
    "is_metal": Task(
        "materials_project",
        "is_metal",
        "whether the crystal is a metal, by its band gap in GGA",
        "",
        is_class=True,
    ),
    "log_bulk_modulus": Task(
        "elastic",
        "K_VRH_GPa",
        "logarithm to base 10 of the bulk modulus (Voigt-Reuss-Hill), GGA",
        "log10(GPa)",
        is_logarithm=True,
    ),
    "log_shear_modulus": Task(
        "elastic",
        "G_VRH_GPa",
        "logarithm to base 10 of the shear modulus (Voigt-Reuss-Hill), GGA",
        "log10(GPa)",
        is_logarithm=True,
    ),
    "poisson_ratio": Task("elastic", "poisson_ratio", "Poisson ratio, GGA", ""),
    "perovskite_energy_above_hull": Task(
        "perovskites",
        "e_form",
        "heat of formation of a cubic perovskite of five sites with respect to its "
        "most stable decomposition, GGA",
        "eV/cell",
        is_cross_validated=True,
    ),
    "last_phonon_peak": Task(
        "matbench_phonons",
        "last phdos peak",
        "frequency of the highest optical phonon peak, PBEsol",
        "1/cm",
        is_cross_validated=True,
    ),
    "exfoliation_energy": Task(
        "jarvis_dft_2d",
        "exfoliation_en",
        "energy to exfoliate a layer, optB88-vdW",
        "meV/atom",
        is_cross_validated=True,
    ),
}
