"""What to do about objects that are not crystals, in the words of error messages."""

import os
from collections.abc import Iterable, Mapping, Sized
from typing import Any

import numpy as np
from pymatgen.core.structure import IMolecule, IStructure

from sklearn_cgcnn._ase_atoms import is_ase_atoms

EXPECTED_X = (
    "X must be a list, 1-D array or Series of pymatgen Structures or ASE Atoms, or "
    "CrystalGraphs made by CrystalGraphFeaturizer"
)

_BOX = "give it one, e.g. with get_boxed_structure(10, 10, 10)"


def is_crystal(item: Any) -> bool:
    """Return whether an object is a structure, of pymatgen or of ASE.

    Parameters
    ----------
    item : object
        Any object.

    Returns
    -------
    bool
    """
    return isinstance(item, IStructure) or is_ase_atoms(item)


def describe_container(X: Any) -> str:
    """Describe an X that is not a container of crystals, and what to pass instead.

    Parameters
    ----------
    X : object
        What was passed as X.

    Returns
    -------
    str
    """
    problem = f"X is a {type(X).__name__}"
    if is_crystal(X):
        problem = f"X is a single {type(X).__name__}; pass [X]"
    elif isinstance(X, IMolecule):
        problem += f", which has no lattice; {_BOX}, and pass the result in a list"
    elif isinstance(X, str | bytes | os.PathLike):
        problem += (
            "; read the structures first, with [Structure.from_file(X)], or a folder "
            "with a loader from sklearn_cgcnn.datasets"
        )
    elif isinstance(X, Mapping):
        problem += f"; {_advise_on_mapping(X)}"
    elif isinstance(X, Iterable) and not isinstance(X, Sized):
        problem += ", which can be read only once; pass list(X)"
    else:
        problem = f"X is of type {type(X).__name__}"
    return f"{problem}. {EXPECTED_X}"


def _advise_on_mapping(X: Mapping[Any, Any]) -> str:
    # A loader returns a Bunch of data and target, which is a dict.
    if "data" in X and not isinstance(X["data"], Mapping):
        return "pass X.data" if hasattr(X, "data") else 'pass X["data"]'
    if "lattice" in X and "sites" in X:
        return "pass [Structure.from_dict(X)]"
    return "pass list(X.values())"


def describe_item(item: Any) -> str:
    """Describe an item of X that is not a crystal, and the remedy.

    Parameters
    ----------
    item : object
        An item of X.

    Returns
    -------
    str
        Continues a sentence about the item.
    """
    kind = f"is of type {type(item).__name__}"
    if isinstance(item, IMolecule):
        return (
            f"{kind} ({item.composition.formula}), which has no lattice; {_BOX}, or "
            "leave it out"
        )
    remedy = _advise_on_item(item)
    return f"{kind}; {remedy}, or leave it out" if remedy else f"{kind}; leave it out"


def _advise_on_item(item: Any) -> str:
    if item is None:
        return ""
    if isinstance(item, str) and "\n" in item:
        return 'read it with Structure.from_str, e.g. with fmt="cif"'
    if isinstance(item, str | bytes | os.PathLike):
        return (
            "read the file with Structure.from_file, or its folder with "
            "sklearn_cgcnn.datasets.load_cif_directory"
        )
    if isinstance(item, Mapping):
        return "convert it to a Structure with Structure.from_dict"
    if isinstance(getattr(item, "structure", None), IStructure):
        return "pass its attribute structure"
    if isinstance(item, np.ndarray):
        item = item.ravel()  # it may have no dimension
    if isinstance(item, list | tuple | np.ndarray) and any(map(is_crystal, item)):
        return "pass the structures in it as items of X"
    return (
        "convert it to a Structure, e.g. with Structure(lattice, species, coords) of "
        "pymatgen"
    )
