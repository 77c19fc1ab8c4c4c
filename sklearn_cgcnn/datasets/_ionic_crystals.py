"""Ionic crystals made on the spot, with a lattice energy for every site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core.lattice import Lattice
from pymatgen.core.periodic_table import Species
from pymatgen.core.structure import Structure
from sklearn.utils import Bunch, check_random_state

from sklearn_cgcnn._sklearn_compat import Interval, validate_params

# Each element has one charge, so that a bare element says which ion it is and the
# energy is a function of the undecorated structure.
_CHARGES = {
    **dict.fromkeys(["Li", "Na", "K", "Rb", "Cs"], 1),
    **dict.fromkeys(["Mg", "Ca", "Sr", "Ba", "Zn", "Cd"], 2),
    **dict.fromkeys(["Al", "Ga", "In", "Sc", "Y", "La"], 3),
    **dict.fromkeys(["Ti", "Zr", "Hf", "Sn", "Ce", "Th"], 4),
    **dict.fromkeys(["Nb", "Ta"], 5),
    **dict.fromkeys(["F", "Cl", "Br", "I"], -1),
    **dict.fromkeys(["O", "S", "Se", "Te"], -2),
}

# k = e² / (4 π ε₀), eV Å. Taken from the Ewald sum, so that both halves of the
# energy are measured by one ruler.
_COULOMB_CONSTANT: float = EwaldSummation.CONV_FACT
_BORN_EXPONENT = 9
# From beyond R, N ions in each volume V still add ½ ∫ B r⁻⁹ 4πr² (N/V) dr =
# (π/3) (N/V) B R⁻⁶ to a site. At 30 Å that is less than 3e-5 eV in every unstrained
# crystal; the largest ions, tellurides, are the worst.
_REPULSION_CUTOFF = 30.0  # Å

_SIMPLE_CUBIC = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_FACE_CENTRED = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_CORNER, _CENTRE = (0.0, 0.0, 0.0), (0.5, 0.5, 0.5)
_QUARTER, _THREE_QUARTERS = (0.25, 0.25, 0.25), (0.75, 0.75, 0.75)


@dataclass(frozen=True)
class _Prototype:
    """A primitive cell with the roles of its sites: cations A and B, anion X."""

    lattice_vectors: tuple[tuple[float, ...], ...]  # (3, 3), lattice parameter 1
    roles: str  # one letter a site
    frac_coords: tuple[tuple[float, ...], ...]  # (n_sites, 3)


_PROTOTYPES: Mapping[str, _Prototype] = MappingProxyType(
    {
        "rocksalt": _Prototype(_FACE_CENTRED, "AX", (_CORNER, _CENTRE)),
        "cesium_chloride": _Prototype(_SIMPLE_CUBIC, "AX", (_CORNER, _CENTRE)),
        "zincblende": _Prototype(_FACE_CENTRED, "AX", (_CORNER, _QUARTER)),
        "fluorite": _Prototype(
            _FACE_CENTRED, "AXX", (_CORNER, _QUARTER, _THREE_QUARTERS)
        ),
        "antifluorite": _Prototype(
            _FACE_CENTRED, "XAA", (_CORNER, _QUARTER, _THREE_QUARTERS)
        ),
        "perovskite": _Prototype(
            _SIMPLE_CUBIC,
            "ABXXX",
            (_CORNER, _CENTRE, (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)),
        ),
    }
)


@validate_params(  # type: ignore[untyped-decorator]
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "prototypes": [str, "array-like", None],
        # From 0.5 on, a strain could turn a cell inside out.
        "max_strain": [Interval(Real, 0, 0.5, closed="left")],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_ionic_crystals(
    n_samples: int = 200,
    *,
    prototypes: str | Sequence[str] | None = None,
    max_strain: float = 0.05,
    random_state: int | np.random.RandomState | None = None,
    return_X_y: bool = False,
) -> Any:
    r"""Make strained ionic crystals with known lattice and site energies.

    Each crystal is a prototype filled with a neutral set of common ions, its
    lattice parameter the smallest at which no two ions overlap, then strained at
    random. Its energy is that of point charges with Born's repulsion [2]_,

    .. math::

        E_i = \frac{1}{2} \sum_j \left(
            \frac{k q_i q_j}{r_{ij}} + \frac{B_{ij}}{r_{ij}^{n}} \right),
        \qquad
        B_{ij} = \frac{k \, |q_i q_j| \, (r_i + r_j)^{n - 1}}{n},

    with :math:`k` = 14.39964 eV Å and :math:`n` = 9. The target is the mean of
    :math:`E_i` over the sites: a sum over sites that a network can be asked to
    take apart again, with the right answer at hand for every site.

    Two unlike ions alone would come to rest where their radii touch: there the
    slope of :math:`B_{ij} r^{-n}` balances their attraction. Like ions
    repel by the same expression. A crystal has more of the repulsion than a
    pair has, so an unstrained one is bound but compressed: its energy would be
    least with the lattice parameter 4 to 26 % larger.

    Parameters
    ----------
    n_samples : int, default=200
        Number of crystals.
    prototypes : str, sequence of str or None, default=None
        Crystal structures to draw from, each as likely as the others: ``"rocksalt"``,
        ``"cesium_chloride"``, ``"zincblende"`` (AX), ``"fluorite"`` (AX₂),
        ``"antifluorite"`` (A₂X) and ``"perovskite"`` (cubic ABX₃, the larger
        cation on A). None draws from all of them.
    max_strain : float, default=0.05
        Bound on every component of the strain, in [0, 0.5). A cell with rows
        :math:`a` becomes :math:`a (1 + s \mathbf{1} + \eta)`: an isotropic
        :math:`s` and the six components of a symmetric :math:`\eta`, each
        uniform in ±max_strain / 2.
    random_state : int, RandomState instance or None, default=None
        Determines prototypes, ions and strains. Pass an int for the same
        crystals at every call.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    crystals : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes

        data : list of pymatgen.core.Structure, length n_samples
            Primitive cells of bare elements, without oxidation states.
        target : ndarray of shape (n_samples,)
            Lattice energy, eV/site.
        target_names : list of str
            ``["energy"]``.
        units : dict
            ``{"energy": "eV/site"}``.
        site_energies : list of ndarray of shape (n_sites,)
            Energy of every site of each crystal, eV, in the order of its sites.
        prototype : ndarray of str of shape (n_samples,)
            Name of each crystal's prototype.
        DESCR : str
            Description of the dataset.
    (data, target) : tuple if ``return_X_y`` is True
        The crystals and their energies.

    Raises
    ------
    ValueError
        If a parameter is out of its range or a prototype is not known.

    Notes
    -----
    Radii :math:`r_i` are Shannon's effective ionic radii for six-fold
    coordination [1]_, as tabulated in pymatgen. An ion keeps its radius and an
    element its charge in every prototype, so one potential covers all crystals.

    The Coulomb part is an Ewald sum. The repulsion is summed to 30 Å, which
    leaves out less than 3e-5 eV per site of an unstrained crystal.

    References
    ----------
    .. [1] R. D. Shannon, "Revised effective ionic radii and systematic studies of
       interatomic distances in halides and chalcogenides", Acta Crystallographica
       A 32, 751-767 (1976).
    .. [2] M. Born and A. Landé, "Über die Berechnung der Kompressibilität regulärer
       Kristalle aus der Gittertheorie", Verhandlungen der Deutschen Physikalischen
       Gesellschaft 20, 210-216 (1918).

    Examples
    --------
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> crystals = make_ionic_crystals(3, prototypes="perovskite", random_state=0)
    >>> len(crystals.data), crystals.target.shape
    (3, (3,))
    >>> [len(energies) for energies in crystals.site_energies]
    [5, 5, 5]
    """
    names = _check_prototypes(prototypes)
    rng = check_random_state(random_state)

    chosen = [names[rng.randint(len(names))] for _ in range(n_samples)]
    data = [_random_crystal(_PROTOTYPES[name], max_strain, rng) for name in chosen]
    site_energies = [_site_energies(crystal) for crystal in data]
    target = np.array([energies.mean() for energies in site_energies])
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=["energy"],
        units={"energy": "eV/site"},
        site_energies=site_energies,
        prototype=np.array(chosen),
        DESCR=_describe(n_samples, names, max_strain),
    )


def _check_prototypes(prototypes: str | Sequence[str] | None) -> list[str]:
    if prototypes is None:
        return list(_PROTOTYPES)
    asked = [prototypes] if isinstance(prototypes, str) else list(prototypes)
    unknown = [name for name in asked if name not in _PROTOTYPES]
    if unknown or not asked:
        msg = (
            f"prototypes must be one or more of {list(_PROTOTYPES)}, "
            f"got {unknown or asked}."
        )
        raise ValueError(msg)
    # In the table's order, so that the order asked in does not change the crystals.
    return [name for name in _PROTOTYPES if name in asked]


def _random_crystal(
    prototype: _Prototype, max_strain: float, rng: np.random.RandomState
) -> Structure:
    ion_sets = _neutral_ion_sets(prototype)
    crystal = _unstrained_crystal(prototype, ion_sets[rng.randint(len(ion_sets))])
    deformation = np.eye(3) + _random_strain(max_strain, rng)
    return Structure(
        Lattice(crystal.lattice.matrix @ deformation),
        crystal.species,
        crystal.frac_coords,
    )


def _random_strain(
    max_strain: float, rng: np.random.RandomState
) -> NDArray[np.float64]:
    """Isotropic plus symmetric strain, no component beyond max_strain."""
    bound = max_strain / 2
    strain = rng.uniform(-bound, bound, size=(3, 3))
    # Symmetric: an antisymmetric part would only turn the crystal.
    upper = np.triu(strain)
    symmetric = upper + np.triu(strain, k=1).T
    return symmetric + rng.uniform(-bound, bound) * np.eye(3)


@cache
def _neutral_ion_sets(prototype: _Prototype) -> list[dict[str, str]]:
    """Every way to give the roles of a prototype elements whose charges cancel."""
    roles = sorted(set(prototype.roles))
    elements_of = {
        role: [el for el, charge in _CHARGES.items() if (charge < 0) == (role == "X")]
        for role in roles
    }
    ion_sets = (
        dict(zip(roles, elements, strict=True))
        for elements in product(*(elements_of[role] for role in roles))
    )
    return [
        ions
        for ions in ion_sets
        if sum(_CHARGES[ions[role]] for role in prototype.roles) == 0
        # The twelve-fold site of a perovskite is the roomier one.
        and ("B" not in ions or _radius(ions["A"]) > _radius(ions["B"]))
    ]


def _unstrained_crystal(prototype: _Prototype, ions: dict[str, str]) -> Structure:
    """Pack the ions as hard spheres: the smallest cell in which none overlap."""
    elements = [ions[role] for role in prototype.roles]
    unit_cell = Structure(
        Lattice(prototype.lattice_vectors), elements, prototype.frac_coords
    )
    center, neighbor, _, distance = unit_cell.get_neighbor_list(1.01)
    radii = np.array([_radius(element) for element in elements])
    lattice_parameter = np.max((radii[center] + radii[neighbor]) / distance)
    return Structure(
        Lattice(lattice_parameter * unit_cell.lattice.matrix),
        elements,
        prototype.frac_coords,
    )


@cache
def _radius(element: str) -> float:
    """Shannon's effective ionic radius for six-fold coordination, Å."""
    return float(Species(element, _CHARGES[element]).get_shannon_radius("VI"))


def _site_energies(crystal: Structure) -> NDArray[np.float64]:
    return _coulomb_energies(crystal) + _repulsion_energies(crystal)


def _coulomb_energies(crystal: Structure) -> NDArray[np.float64]:
    """Coulomb energy of every site, eV; each pair is shared half and half."""
    elements = [site.specie.symbol for site in crystal]
    ions = [Species(element, _CHARGES[element]) for element in elements]
    decorated = Structure(crystal.lattice, ions, crystal.frac_coords)
    ewald: Any = EwaldSummation(decorated)  # type: ignore[no-untyped-call]
    return np.array([ewald.get_site_energy(site) for site in range(len(crystal))])


def _repulsion_energies(
    crystal: Structure, cutoff: float = _REPULSION_CUTOFF
) -> NDArray[np.float64]:
    """Born's repulsion of every site, eV; each pair is shared half and half."""
    elements = [site.specie.symbol for site in crystal]
    charges = np.array([_CHARGES[element] for element in elements])
    radii = np.array([_radius(element) for element in elements])
    center, neighbor, _, distance = crystal.get_neighbor_list(cutoff)

    attraction = _COULOMB_CONSTANT * np.abs(charges[center] * charges[neighbor])
    contact = radii[center] + radii[neighbor]
    born = attraction * contact ** (_BORN_EXPONENT - 1) / _BORN_EXPONENT
    pair_energy = born / distance**_BORN_EXPONENT  # (n_pairs,), each pair twice
    site_energies = np.zeros(len(crystal))
    np.add.at(site_energies, center, 0.5 * pair_energy)
    return site_energies


def _describe(n_samples: int, names: list[str], max_strain: float) -> str:
    return f"""\
Ionic crystals with computed lattice energies
=============================================

{n_samples} strained crystals of the prototypes {", ".join(names)},
filled with neutral sets of common ions. No component of the strain exceeds
{max_strain:g}.

Target: `energy`, eV/site, the mean over the sites of

    E_i = 1/2 sum_j (k q_i q_j / r_ij + B_ij / r_ij^n)
    B_ij = k |q_i q_j| (r_i + r_j)^(n - 1) / n

with k = 14.39964 eV Å, n = {_BORN_EXPONENT} and Shannon's effective ionic radii for
six-fold coordination. The Coulomb part is an Ewald sum; the repulsion is summed
to {_REPULSION_CUTOFF:g} Å. `site_energies` holds E_i, eV, in the order of the sites.
"""
