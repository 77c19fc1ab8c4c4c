"""Check that X contains crystals."""

from collections.abc import Iterator
from typing import Any, Literal, cast, overload

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import IStructure

from sklearn_cgcnn._advice import (
    EXPECTED_X,
    describe_container,
    describe_item,
    is_crystal,
)
from sklearn_cgcnn._ase_atoms import is_ase_atoms, structure_from_ase
from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.graphs import (
    AnyGraphs,
    CrystalGraphs,
    Failure,
    chunks_of,
    in_memory,
    structure_error,
)


@overload
def check_crystals(
    X: Any,
    *,
    on_error: str = ...,
    first: int = ...,
    on_disk: Literal[False] = ...,
) -> list[IStructure | Failure] | CrystalGraphs: ...


@overload
def check_crystals(
    X: Any, *, on_error: str = ..., first: int = ..., on_disk: bool
) -> list[IStructure | Failure] | AnyGraphs: ...


def check_crystals(
    X: Any, *, on_error: str = "raise", first: int = 0, on_disk: bool = False
) -> list[IStructure | Failure] | AnyGraphs:
    """Check that X contains structures or graphs, and unpack its container.

    Parameters
    ----------
    X : sequence of Structure, graphs, or sequence of graphs
        Graphs are CrystalGraphs or ShardedCrystalGraphs. A sequence is a list, a tuple,
        a 1-D or one-column array of dtype object, a Series or a one-column DataFrame.
        Structures are pymatgen Structures or ASE Atoms.
    on_error : {"raise", "collect"}, default="raise"
        What to do with items of another type. "raise" raises an error, "collect"
        replaces them by failures.
    first : int, default=0
        Index by which error messages refer to the first item of X.
    on_disk : bool, default=False
        Whether graphs on disk may stay there. Otherwise, they are read into memory.

    Returns
    -------
    list of (Structure or Failure), CrystalGraphs, or ShardedCrystalGraphs
        A failure takes the place of an item that is no crystal, and of ASE Atoms that
        cannot be converted. The featurizer raises or collects it together with the
        structures that cannot become graphs. Passing the list again changes nothing.

    Raises
    ------
    TypeError
        If X is of another type, contains graphs and structures, or contains an item of
        another type and `on_error` is "raise".
    ValueError
        If X is empty, has several columns, or contains complex numbers.
    GraphSettingsError
        If X contains graphs made with different settings.
    """
    crystals = X if isinstance(X, AnyGraphs) else _as_list(X)
    if not len(crystals):
        raise ValueError(
            f"X contains no crystals: the {type(X).__name__} is empty; pass at least "
            "one crystal"
        )
    if isinstance(crystals, AnyGraphs):
        return crystals if on_disk else in_memory(crystals)
    if isinstance(crystals[0], AnyGraphs):
        return _join_graphs(crystals, first)
    return _as_structures(crystals, on_error, first)


def find_unknown_elements(
    graphs: AnyGraphs, known_elements: NDArray[np.bool_]
) -> dict[int, str]:
    """Find the crystals that contain an element without features.

    Parameters
    ----------
    graphs : CrystalGraphs or ShardedCrystalGraphs
        The crystals.
    known_elements : ndarray of shape (n_elements,), bool
        Whether an element has features, indexed by its atomic number.

    Returns
    -------
    dict of int to str
        The reason for each of these crystals, by its position in ascending order, as
        :meth:`CrystalGraphs.with_failed` takes it.
    """
    known = np.zeros(256, dtype=bool)  # for any uint8, as atomic numbers are
    known[: len(known_elements)] = known_elements
    reasons = dict[int, str]()
    for positions, part in chunks_of(
        graphs, lambda shard: not known[list(shard.elements)].all()
    ):
        unknown = np.flatnonzero(~known[part.atomic_numbers])
        crystals, first = np.unique(part.crystal_index[unknown], return_index=True)
        numbers = part.atomic_numbers[unknown[first]].tolist()
        for crystal, number in zip(positions[crystals].tolist(), numbers, strict=True):
            reasons[crystal] = (
                f"contains {Element.from_Z(number).symbol}, but site_features has no "
                "features, or no finite ones, for this element; add them, or leave "
                "this crystal out"
            )
    return dict(sorted(reasons.items()))


def check_elements(graphs: AnyGraphs, known_elements: NDArray[np.bool_]) -> None:
    """Check that features are available for every element of the crystals.

    Parameters
    ----------
    graphs : CrystalGraphs or ShardedCrystalGraphs
        The crystals.
    known_elements : ndarray of shape (n_elements,), bool
        Whether an element has features, indexed by its atomic number.

    Raises
    ------
    StructureError
        If crystals contain elements without features. The error names all of them.
    """
    unknown = find_unknown_elements(graphs, known_elements)
    if unknown:
        failures = {index: Failure(reason) for index, reason in unknown.items()}
        remedy = "Add features for these elements, or leave these crystals out."
        raise structure_error(failures, len(graphs), remedy)


def _as_list(X: Any) -> list[Any]:
    # A Structure is itself a sequence (of its sites), and numpy converts a list of
    # structures of equal length to a 2-D array of sites. Without a check, both would
    # pass for sequences of crystals.
    if isinstance(X, list | tuple):
        return list(X)
    if getattr(X, "shape", None) is not None:
        return _as_one_column(X)
    raise TypeError(describe_container(X))


def _as_one_column(X: Any) -> list[Any]:
    # scikit-learn's estimator checks expect the words "Complex data not supported".
    if np.issubdtype(getattr(X, "dtype", object), np.complexfloating):
        raise ValueError(
            f"Complex data not supported: X contains complex numbers. {EXPECTED_X}"
        )
    if len(X.shape) == 2 and X.shape[1] == 1:
        return list(X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0])
    if len(X.shape) == 1:
        return list(X)
    raise ValueError(
        f"X has shape {X.shape}, but must have one dimension or one column; select the "
        f"column of structures. {EXPECTED_X}. (numpy converts a list of structures to "
        "an array of their sites; pass the list itself.)"
    )


def _join_graphs(parts: list[Any], first: int) -> CrystalGraphs:
    for index, part in enumerate(parts, first):
        if is_crystal(part):
            raise _mixture_error(part, index, parts[0], first)
        if not isinstance(part, AnyGraphs):
            raise TypeError(f"X[{index}] {describe_item(part)}. {EXPECTED_X}")
    try:
        return CrystalGraphs.concatenate(map(in_memory, parts))
    except GraphSettingsError as error:
        # The user knows these graphs as items of X, not of the argument `parts`.
        raise GraphSettingsError(str(error).replace("parts[", "X[")) from None


def check_each(
    crystals: Iterator[Any], *, on_error: str
) -> Iterator[IStructure | Failure]:
    """Check the crystals of an iterator, each one when it is read.

    Parameters
    ----------
    crystals : iterator of object
        What was passed as X.
    on_error : {"raise", "collect"}
        What to do with items that are no crystals.

    Yields
    ------
    Structure or Failure
        The crystals, or what is wrong with them.

    Raises
    ------
    TypeError
        If an item holds graphs, or is no crystal and `on_error` is "raise".
    """
    for index, crystal in enumerate(crystals):
        if isinstance(crystal, AnyGraphs):
            raise TypeError(
                f"X[{index}] is of type {type(crystal).__name__}, but an iterator must "
                "yield structures; pass CrystalGraphs.concatenate(list(X)) instead"
            )
        checked = check_crystals([crystal], on_error=on_error, first=index)
        yield from cast(list[IStructure | Failure], checked)


def _as_structures(
    items: list[Any], on_error: str, first: int
) -> list[IStructure | Failure]:
    """Replace items of X by structures, or by what is wrong with them."""
    structures = list[IStructure | Failure]()
    for index, item in enumerate(items, first):
        if isinstance(item, IStructure | Failure):
            structures.append(item)
        elif is_ase_atoms(item):
            structures.append(structure_from_ase(item))
        elif isinstance(item, AnyGraphs):
            raise _mixture_error(item, index, items[0], first)
        elif on_error == "collect":
            structures.append(Failure(describe_item(item)))
        else:
            raise TypeError(f"X[{index}] {describe_item(item)}. {EXPECTED_X}")
    return structures


def _mixture_error(item: Any, index: int, first_item: Any, first: int) -> TypeError:
    return TypeError(
        f"X[{index}] is of type {type(item).__name__}, but X[{first}] is of type "
        f"{type(first_item).__name__}; featurize all of X or none of it"
    )
