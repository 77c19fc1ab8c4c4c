"""Entries of files that are read one after another."""

import gzip
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from pymatgen.core.structure import IStructure

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import Failure

_GZIP_MAGIC = b"\x1f\x8b"


class CrystalEntry(NamedTuple):
    """A crystal of a file, with what the file says about it.

    Attributes
    ----------
    id : str
        Its id in the file, or else its position, counted from 0.
    crystal : pymatgen.core.Structure or Failure
        The structure. With ``on_error="collect"``, a Failure takes the place of an
        entry that cannot be read. Its attribute `reason` says why.
    properties : dict of str to object
        Further values by name, such as targets.

    Examples
    --------
    Entries of your own, with ids that the predictions keep:

    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import CrystalEntry, make_ionic_crystals
    >>> from sklearn_cgcnn.streams import iter_predictions
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=1, random_state=0).fit(structures, energy)
    >>> entries = [CrystalEntry("a-1", structures[0], {"energy": energy[0]})]
    >>> [prediction.id for prediction in iter_predictions(model, entries)]
    ['a-1']
    """

    id: str
    crystal: IStructure | Failure
    properties: dict[str, Any]


def checked(
    entries: Iterator[CrystalEntry], path: Path | str, on_error: str
) -> Iterator[CrystalEntry]:
    """Yield entries, and raise an error at the first bad one unless they are collected.

    Parameters
    ----------
    entries : iterator of CrystalEntry
        What was read.
    path : Path or str
        Where it was read, for messages.
    on_error : {"raise", "collect"}
        What to do about entries that cannot be read.

    Yields
    ------
    CrystalEntry

    Raises
    ------
    StructureError
        If an entry cannot be read, and `on_error` is "raise".
    """
    for index, entry in enumerate(entries):
        if on_error == "raise" and isinstance(entry.crystal, Failure):
            raise StructureError(
                f"{path}: entry {index} (id {entry.id!r}) cannot be read: "
                f'{entry.crystal.reason}; repair it, or pass on_error="collect"',
                index=index,
                failed={index: entry.crystal.reason},
            )
        yield entry


def structure_or_failure(
    make: Callable[..., IStructure | Failure], *args: Any, **kwargs: Any
) -> IStructure | Failure:
    """Call a function that makes a structure, and return what is wrong if it fails.

    Parameters
    ----------
    make : callable
        The function.
    *args, **kwargs : object
        Its arguments.

    Returns
    -------
    Structure or Failure
    """
    try:
        return make(*args, **kwargs)
    # pymatgen and ase raise errors of many types for input that makes no sense.
    except Exception as error:  # noqa: BLE001
        return Failure(f"is no structure ({type(error).__name__}: {error})")


def with_python_numbers(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Replace scalars of numpy by numbers of Python.

    Parameters
    ----------
    properties : mapping of str to object
        Values by name.

    Returns
    -------
    dict of str to object
    """
    return {
        name: value.item() if getattr(value, "shape", None) == () else value
        for name, value in properties.items()
    }


def open_text(path: Path) -> TextIO:
    """Open a text file, which may be compressed with gzip, whatever its name.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    file
        In UTF-8. Bytes that are not are replaced by the character U+FFFD: they can
        only be in names and comments, and must not hide the rest of the file.
    """
    with path.open("rb") as file:
        is_compressed = file.read(2) == _GZIP_MAGIC
    if is_compressed:
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8", errors="replace"))
    return path.open(encoding="utf-8", errors="replace")
