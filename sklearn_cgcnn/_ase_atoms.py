"""ASE Atoms as input: conversion to structures, and partial occupancies."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pymatgen.core.composition import Composition
from pymatgen.core.structure import IStructure

from sklearn_cgcnn.graphs import Failure, sole_atomic_number

# Arrays in which readers of ASE (for PDB, XYZ of Prismatic and muSTEM) keep the
# occupancy of each site.
_OCCUPANCY_ARRAYS = ("occupancy", "occupancies")


def is_ase_atoms(item: Any) -> bool:
    """Return whether an object is ASE Atoms.

    Parameters
    ----------
    item : object
        Any object.

    Returns
    -------
    bool
    """
    # ASE is optional. If there are Atoms, the caller has imported it already.
    ase = sys.modules.get("ase")
    return ase is not None and isinstance(item, ase.Atoms)


def structure_from_ase(atoms: Any) -> IStructure | Failure:
    """Convert ASE Atoms to a structure.

    Parameters
    ----------
    atoms : ase.Atoms
        A crystal.

    Returns
    -------
    Structure or Failure
        A failure says why there is no ordered structure.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    formula = atoms.get_chemical_formula()
    problem = _find_disorder(atoms)
    if problem:
        return Failure(problem, formula)
    try:
        return AseAtomsAdaptor.get_structure(atoms)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        return Failure(
            f"ASE Atoms cannot be converted to a Structure ({error}); give it a cell "
            "with atoms.center(vacuum=5), and set atoms.pbc = True, or leave it out",
            formula,
        )


def _find_disorder(atoms: Any) -> str:
    """Describe the first disordered site, if there is one.

    ASE keeps the elements that share a site in ``atoms.info["occupancy"]``, and
    represents the site by the most frequent one.
    """
    for place, site, species in _occupancies(atoms):
        try:
            is_full = sole_atomic_number(Composition(species)) is not None
        except (ValueError, TypeError):  # negative, or no numbers
            is_full = False
        if not is_full:
            shares = ", ".join(f"{key}:{share}" for key, share in species.items())
            return (
                f"{site} is disordered ({shares}, by {place}); choose an ordered "
                f"approximation first: set atoms.symbols, and del {place}"
            )
    return ""


def _occupancies(atoms: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield where an occupancy is stored, of which site, and the species on it."""
    by_kind = atoms.info.get("occupancy")
    if isinstance(by_kind, Mapping):
        by_kind = {str(kind): species for kind, species in by_kind.items()}
        for site, kind in _sites_and_kinds(atoms, by_kind):
            species = by_kind.get(kind)
            if isinstance(species, Mapping):
                yield 'atoms.info["occupancy"]', site, dict(species)
    for name in _OCCUPANCY_ARRAYS:
        shares = atoms.arrays.get(name)
        if shares is not None and shares.ndim == 1 and shares.dtype.kind in "fiu":
            pairs = zip(atoms.symbols, shares.tolist(), strict=True)
            for index, (symbol, share) in enumerate(pairs):
                yield f'atoms.arrays["{name}"]', f"site {index}", {symbol: share}


def _sites_and_kinds(
    atoms: Any, by_kind: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield each site with the key of its kind, or all keys if sites have no kind."""
    kinds = atoms.arrays.get("spacegroup_kinds")
    if kinds is None:  # kinds were tags in older versions of ASE
        tags, positions = atoms.get_tags().tolist(), list(range(len(atoms)))
        if by_kind.keys() <= set(map(str, tags)):
            kinds = tags
        elif by_kind.keys() == set(map(str, positions)):
            kinds = positions
        else:
            kinds = []
    if not by_kind.keys() & {str(kind) for kind in kinds}:
        for key in by_kind:
            yield f"the site of kind {key}", key
        return
    for index, kind in enumerate(kinds):
        yield f"site {index}", str(kind)
