"""Read structures from packed arrays, one after another."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from sklearn_cgcnn._sklearn_compat import StrOptions, validate_params
from sklearn_cgcnn.datasets._entries import (
    CrystalEntry,
    checked,
    structure_or_failure,
    with_python_numbers,
)

Arrays = Mapping[str, NDArray[Any]]

_NAMES = ("n_sites", "numbers", "positions", "scaled_positions", "cell", "ids")


@validate_params(
    {
        "source": [str, os.PathLike, Mapping],
        "names": [Mapping, None],
        "on_error": [StrOptions({"raise", "collect"})],
    },
    prefer_skip_nested_validation=True,
)
def iter_packed_arrays(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    names: Mapping[str, str] | None = None,
    on_error: str = "raise",
) -> Iterator[CrystalEntry]:
    """Read crystals whose sites lie one after another in a few arrays.

    The arrays have the names that ASE uses:

    - ``n_sites``, of shape (n_crystals,): number of sites of each crystal.
    - ``numbers``, of shape (n_sites_of_all,): atomic numbers.
    - ``positions``, of shape (n_sites_of_all, 3): positions in Å, or
      ``scaled_positions``: fractional coordinates.
    - ``cell``, of shape (n_crystals, 3, 3): a lattice vector in each row, in Å.
    - ``ids``, of shape (n_crystals,), which may be missing.

    Parameters
    ----------
    source : str, path-like, or mapping of str to array
        A file ``.npz``, a folder of files ``<name>.npy``, or the arrays. Those of a
        file ``.npz`` are read into memory. Those of a folder stay on disk, so that
        memory is bounded.
    names : mapping of str to str or None, default=None
        Other names of arrays, such as ``{"numbers": "atomic_numbers", "cell":
        "lattice", "scaled_positions": "frac_coords"}``.
    on_error : {"raise", "collect"}, default="raise"
        What to do about crystals that cannot be made, for example of atomic number 0.
        "raise" raises an error at the first of them, "collect" yields a Failure with
        the reason in their place.

    Yields
    ------
    CrystalEntry
        Id, crystal, and as properties the values of all other arrays whose length is
        the number of crystals.

    Raises
    ------
    StructureError
        If a crystal cannot be made, and `on_error` is "raise".
    ValueError
        If an array is missing or has another shape than expected, or if a file is not
        in the format ``.npz``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cgcnn.datasets import iter_packed_arrays
    >>> arrays = {
    ...     "n_sites": [1, 2],
    ...     "numbers": [84, 55, 17],
    ...     "scaled_positions": [[0, 0, 0], [0, 0, 0], [0.5, 0.5, 0.5]],
    ...     "cell": [3.35 * np.eye(3), 4.12 * np.eye(3)],
    ...     "gap": [0.0, 6.4],
    ... }
    >>> [(x.crystal.formula, x.properties) for x in iter_packed_arrays(arrays)]
    [('Po1', {'gap': 0.0}), ('Cs1 Cl1', {'gap': 6.4})]
    """
    if isinstance(source, Mapping):
        arrays, place = {k: np.asarray(v) for k, v in source.items()}, "source"
    else:
        arrays, place = _open(Path(source)), str(source)
    known = {name: (names or {}).get(name, name) for name in _NAMES}
    _check_shapes(arrays, known, place)
    return checked(_read_crystals(arrays, known), place, on_error)


def _open(path: Path) -> dict[str, NDArray[Any]]:
    if path.is_dir():
        return {
            file.stem: np.load(file, mmap_mode="r", allow_pickle=False)
            for file in sorted(path.glob("*.npy"))
        }
    with path.open("rb") as file:
        if not is_zipfile(file):
            raise ValueError(
                f"source={str(path)!r} is not a file .npz; pass one, a folder of files "
                ".npy, or the arrays"
            )
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _check_shapes(arrays: Arrays, known: Mapping[str, str], place: str) -> None:
    positions = "positions" if known["positions"] in arrays else "scaled_positions"
    for name in ("n_sites", "numbers", positions, "cell"):
        if known[name] not in arrays:
            either = f" (nor {known['positions']!r})" if name == positions else ""
            raise ValueError(
                f"{place} has no array {known[name]!r}{either}, but only "
                f"{sorted(arrays)}; pass names={{{name!r}: ...}} if it has another name"
            )
    n_sites = arrays[known["n_sites"]]
    if n_sites.ndim != 1 or n_sites.dtype.kind not in "iu" or (n_sites < 0).any():
        raise ValueError(
            f"{place}: {known['n_sites']} has shape {n_sites.shape} and dtype "
            f"{n_sites.dtype}; expected one count for each crystal"
        )
    total = int(n_sites.sum())
    shapes = {
        known["numbers"]: (total,),
        known[positions]: (total, 3),
        known["cell"]: (len(n_sites), 3, 3),
    }
    if known["ids"] in arrays:
        shapes[known["ids"]] = (len(n_sites),)
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(
                f"{place}: {name} has shape {arrays[name].shape}, but "
                f"{known['n_sites']} asks for {shape}"
            )


def _read_crystals(arrays: Arrays, known: Mapping[str, str]) -> Iterator[CrystalEntry]:
    n_sites = arrays[known["n_sites"]].tolist()
    is_cartesian = known["positions"] in arrays
    coords = arrays[known["positions" if is_cartesian else "scaled_positions"]]
    numbers, cells = arrays[known["numbers"]], arrays[known["cell"]]
    ids = arrays.get(known["ids"])
    others = {
        name: array
        for name, array in arrays.items()
        if name not in known.values() and array.shape[:1] == (len(n_sites),)
    }
    stop = 0
    for row, n in enumerate(n_sites):
        start, stop = stop, stop + n
        part = slice(start, stop)
        crystal = structure_or_failure(
            Structure,
            cells[row],
            numbers[part].tolist(),
            coords[part],
            coords_are_cartesian=is_cartesian,
        )
        properties = with_python_numbers(
            {name: array[row] for name, array in others.items()}
        )
        yield CrystalEntry(str(row if ids is None else ids[row]), crystal, properties)
