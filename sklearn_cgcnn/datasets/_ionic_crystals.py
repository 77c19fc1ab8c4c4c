"""Generate ionic crystals with a lattice energy for each site."""

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

# Each element has exactly one charge. The element then determines the ion, and the
# energy is a function of a structure without oxidation states.
_CHARGES = {
    **dict.fromkeys(["Li", "Na", "K", "Rb", "Cs"], 1),
    **dict.fromkeys(["Mg", "Ca", "Sr", "Ba", "Zn", "Cd"], 2),
    **dict.fromkeys(["Al", "Ga", "In", "Sc", "Y", "La"], 3),
    **dict.fromkeys(["Ti", "Zr", "Hf", "Sn", "Ce", "Th"], 4),
    **dict.fromkeys(["Nb", "Ta"], 5),
    **dict.fromkeys(["F", "Cl", "Br", "I"], -1),
    **dict.fromkeys(["O", "S", "Se", "Te"], -2),
}

# k = e² / (4 π ε₀), eV Å. Taken from the Ewald sum, so that the Coulomb energy and the
# repulsion use the same value.
_COULOMB_CONSTANT: float = EwaldSummation.CONV_FACT
_BORN_EXPONENT = 9
# With N ions in the volume V, the ions at distances above R contribute
# ½ ∫ B r⁻⁹ 4πr² (N/V) dr = (π/3) (N/V) B R⁻⁶ to a site. At R = 30 Å this is less than
# 3e-5 eV in every unstrained crystal. It is largest in tellurides, the largest ions.
_REPULSION_CUTOFF = 30.0  # Å

_SIMPLE_CUBIC = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_FACE_CENTERED = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_CORNER, _CENTER = (0.0, 0.0, 0.0), (0.5, 0.5, 0.5)
_QUARTER, _THREE_QUARTERS = (0.25, 0.25, 0.25), (0.75, 0.75, 0.75)


@dataclass(frozen=True)
class _Prototype:
    """A primitive cell whose sites have roles: cation A or B, or anion X."""

    lattice_vectors: tuple[tuple[float, ...], ...]  # (3, 3), lattice parameter 1
    roles: str  # one letter per site
    frac_coords: tuple[tuple[float, ...], ...]  # (n_sites, 3)


_PROTOTYPES: Mapping[str, _Prototype] = MappingProxyType(
    {
        "rocksalt": _Prototype(_FACE_CENTERED, "AX", (_CORNER, _CENTER)),
        "cesium_chloride": _Prototype(_SIMPLE_CUBIC, "AX", (_CORNER, _CENTER)),
        "zincblende": _Prototype(_FACE_CENTERED, "AX", (_CORNER, _QUARTER)),
        "fluorite": _Prototype(
            _FACE_CENTERED, "AXX", (_CORNER, _QUARTER, _THREE_QUARTERS)
        ),
        "antifluorite": _Prototype(
            _FACE_CENTERED, "XAA", (_CORNER, _QUARTER, _THREE_QUARTERS)
        ),
        "perovskite": _Prototype(
            _SIMPLE_CUBIC,
            "ABXXX",
            (_CORNER, _CENTER, (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)),
        ),
    }
)


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "prototypes": [str, "array-like", None],
        # A strain of 0.5 or more could invert a cell.
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
    r"""Generate strained ionic crystals with known lattice and site energies.

    Each crystal is a prototype structure whose sites are occupied by common ions with a
    total charge of zero. Its lattice parameter is the smallest one at which no ions
    overlap. Then a random strain is applied. The energy is that of point charges with
    the repulsion of Born and Landé [2]_,

    .. math::

        E_i = \frac{1}{2} \sum_j \left(
            \frac{k q_i q_j}{r_{ij}} + \frac{B_{ij}}{r_{ij}^{n}} \right),
        \qquad
        B_{ij} = \frac{k \, |q_i q_j| \, (r_i + r_j)^{n - 1}}{n},

    with :math:`k` = 14.39964 eV Å and :math:`n` = 9. The target is the mean of
    :math:`E_i` over the sites. Since the energies of all sites are known, they can be
    compared with the contributions that a network assigns to the sites.

    The constant :math:`B_{ij}` is chosen such that an isolated pair of unlike ions is
    in equilibrium at the sum of the ionic radii. The same expression is used for the
    repulsion of like ions. In a crystal, repulsion is stronger relative to attraction
    than in a pair. Unstrained crystals are therefore bound but compressed: their energy
    is lowest at a lattice parameter that is 4 to 26 % larger.

    Parameters
    ----------
    n_samples : int, default=200
        Number of crystals.
    prototypes : str, sequence of str or None, default=None
        Prototype structures to draw from, with equal probability: ``"rocksalt"``,
        ``"cesium_chloride"``, ``"zincblende"`` (AX), ``"fluorite"`` (AX₂),
        ``"antifluorite"`` (A₂X) and ``"perovskite"`` (cubic ABX₃, with the larger
        cation on A). None draws from all of them.
    max_strain : float, default=0.05
        Upper bound of the magnitude of each strain component, in [0, 0.5). A cell with
        lattice vectors :math:`a` as rows becomes
        :math:`a (\mathbf{1} + s \mathbf{1} + \eta)`. The isotropic strain :math:`s` and
        the six components of the symmetric strain :math:`\eta` are uniform in
        ±max_strain / 2.
    random_state : int, RandomState instance or None, default=None
        Determines prototypes, ions and strains. Pass an int for reproducible crystals.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    crystals : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes

        data : list of pymatgen.core.Structure, length n_samples
            Primitive cells, without oxidation states.
        target : ndarray of shape (n_samples,)
            Lattice energy, eV/site.
        target_names : list of str
            ``["energy"]``.
        units : dict
            ``{"energy": "eV/site"}``.
        site_energies : list of ndarray of shape (n_sites,)
            Energy of each site, eV. One array per crystal, in the order of its sites.
        prototype : ndarray of str of shape (n_samples,)
            Name of the prototype of each crystal.
        DESCR : str
            Description of the dataset.
    (data, target) : tuple if ``return_X_y`` is True
        The crystals and their energies.

    Raises
    ------
    ValueError
        If a parameter is out of range, or a prototype is unknown.

    Notes
    -----
    Radii :math:`r_i` are Shannon's effective ionic radii for six-fold
    coordination [1]_, as tabulated in pymatgen. The radius of an ion and the charge of
    an element are the same in all prototypes, so that one potential applies to all
    crystals.

    The Coulomb energy is an Ewald sum. The repulsion is summed up to 30 Å. For
    unstrained crystals, this truncation omits less than 3e-5 eV per site.

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

    drawn = [names[rng.randint(len(names))] for _ in range(n_samples)]
    data = [_random_crystal(_PROTOTYPES[name], max_strain, rng) for name in drawn]
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
        prototype=np.array(drawn),
        DESCR=_describe(n_samples, names, max_strain),
    )


def _check_prototypes(prototypes: str | Sequence[str] | None) -> list[str]:
    if prototypes is None:
        return list(_PROTOTYPES)
    names = [prototypes] if isinstance(prototypes, str) else list(prototypes)
    unknown = [name for name in names if name not in _PROTOTYPES]
    if unknown or not names:
        raise ValueError(
            f"prototypes must be one or more of {list(_PROTOTYPES)}, "
            f"got {unknown or names}."
        )
    # In a fixed order, so that the crystals do not depend on the order of `prototypes`.
    return [name for name in _PROTOTYPES if name in names]


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
    """Draw an isotropic plus a symmetric strain, bounded by max_strain."""
    bound = max_strain / 2
    strain = rng.uniform(-bound, bound, size=(3, 3))
    # Symmetric, because an antisymmetric part would only rotate the crystal.
    upper = np.triu(strain)
    symmetric = upper + np.triu(strain, k=1).T
    return symmetric + rng.uniform(-bound, bound) * np.eye(3)


@cache
def _neutral_ion_sets(prototype: _Prototype) -> list[dict[str, str]]:
    """List all assignments of elements to roles that make the prototype neutral."""
    roles = sorted(set(prototype.roles))
    candidates = {
        role: [el for el, charge in _CHARGES.items() if (charge < 0) == (role == "X")]
        for role in roles
    }
    ion_sets = (
        dict(zip(roles, elements, strict=True))
        for elements in product(*(candidates[role] for role in roles))
    )
    return [
        ions
        for ions in ion_sets
        if sum(_CHARGES[ions[role]] for role in prototype.roles) == 0
        # In a perovskite, A has twelve neighbors X and B six. A is the larger cation.
        and ("B" not in ions or _radius(ions["A"]) > _radius(ions["B"]))
    ]


def _unstrained_crystal(prototype: _Prototype, ions: dict[str, str]) -> Structure:
    """Build the smallest cell in which the ions, as hard spheres, do not overlap."""
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
    """Return Shannon's effective ionic radius for six-fold coordination, Å."""
    return float(Species(element, _CHARGES[element]).get_shannon_radius("VI"))


def _site_energies(crystal: Structure) -> NDArray[np.float64]:
    return _coulomb_energies(crystal) + _repulsion_energies(crystal)


def _coulomb_energies(crystal: Structure) -> NDArray[np.float64]:
    """Compute the Coulomb energy of each site, eV: half of each pair's energy."""
    elements = [site.specie.symbol for site in crystal]
    ions = [Species(element, _CHARGES[element]) for element in elements]
    decorated = Structure(crystal.lattice, ions, crystal.frac_coords)
    ewald: Any = EwaldSummation(decorated)  # type: ignore[no-untyped-call]
    return np.array([ewald.get_site_energy(site) for site in range(len(crystal))])


def _repulsion_energies(
    crystal: Structure, cutoff: float = _REPULSION_CUTOFF
) -> NDArray[np.float64]:
    """Compute the Born repulsion of each site, eV: half of each pair's energy."""
    elements = [site.specie.symbol for site in crystal]
    charges = np.array([_CHARGES[element] for element in elements])
    radii = np.array([_radius(element) for element in elements])
    center, neighbor, _, distance = crystal.get_neighbor_list(cutoff)

    strength = _COULOMB_CONSTANT * np.abs(charges[center] * charges[neighbor])
    contact = radii[center] + radii[neighbor]
    born = strength * contact ** (_BORN_EXPONENT - 1) / _BORN_EXPONENT
    pair_energy = born / distance**_BORN_EXPONENT  # (n_pairs,), each pair twice
    site_energies = np.zeros(len(crystal))
    np.add.at(site_energies, center, 0.5 * pair_energy)
    return site_energies


def _describe(n_samples: int, names: list[str], max_strain: float) -> str:
    return f"""\
Ionic crystals with computed lattice energies
=============================================

{n_samples} strained crystals of the prototypes {", ".join(names)},
occupied by common ions with a total charge of zero. No component of the strain
exceeds {max_strain:g}.

Target: `energy`, eV/site, the mean over the sites of

    E_i = 1/2 sum_j (k q_i q_j / r_ij + B_ij / r_ij^n)
    B_ij = k |q_i q_j| (r_i + r_j)^(n - 1) / n

with k = 14.39964 eV Å, n = {_BORN_EXPONENT} and Shannon's effective ionic radii for
six-fold coordination. The Coulomb energy is an Ewald sum. The repulsion is summed
up to {_REPULSION_CUTOFF:g} Å. `site_energies` has E_i, eV, in the order of the sites.
"""
