"""Folders of CIF files with a table of properties, as the original reads them."""

import csv
import os
import warnings
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from pymatgen.core import Structure
from sklearn.utils import Bunch

from sklearn_cgcnn._parallel import generator_of
from sklearn_cgcnn._progress import progress_bar
from sklearn_cgcnn._sklearn_compat import StrOptions, validate_params
from sklearn_cgcnn.exceptions import CIFDirectoryError

_TABLE = "id_prop.csv"
_LISTED = 10  # reasons in a message


@validate_params(  # type: ignore[untyped-decorator]
    {
        "path": [str, os.PathLike],
        "on_error": [StrOptions({"raise", "collect"})],
        "return_X_y": ["boolean"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def load_cif_directory(
    path: str | os.PathLike[str],
    *,
    on_error: str = "raise",
    return_X_y: bool = False,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Any:
    """Load a folder of CIF files and the properties of their crystals.

    The folder has the form that the program of the paper's authors reads: a file
    ``id_prop.csv`` without a header, each line of which holds the id of a crystal and
    its property, and a file ``<id>.cif`` for each. There may be several properties,
    separated by commas; they may be numbers or labels.

    Parameters
    ----------
    path : str or path-like
        The folder.
    on_error : {"raise", "collect"}, default="raise"
        What becomes of files that cannot be read: an error that names all of them with
        the reasons, or they are left out and named in `failed`.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.
    n_jobs : int or None, default=None
        Number of processes that read files, as in joblib. None means one.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes

        data : list of pymatgen.core.Structure, length n_samples
            The structures, in the order of the table.
        target : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Integers, real numbers (NaN where a field is empty) or labels (str): the
            first of these that all of the table is; with several columns
            two-dimensional. Empty where the table has ids alone.
        ids : list of str, length n_samples
            The ids, as the table has them.
        failed : dict of str to str
            Why the files that were left out could not be read, by id.
        notes : dict of str to list of str
            What pymatgen warned of while reading a file, by id: coordinates that it
            rounded, occupancies that it scaled.
        path : str
            The folder.
    (data, target) : tuple if ``return_X_y`` is True
        The structures and the target.

    Raises
    ------
    CIFDirectoryError
        If the table is missing, empty or ragged, or names a crystal twice; or if files
        are missing or cannot be read, and `on_error` is "raise".

    See Also
    --------
    sklearn_cgcnn.checkpoints.load_original_checkpoint : Models of that program.

    Examples
    --------
    >>> from sklearn_cgcnn.datasets import load_cif_directory
    >>> X, y = load_cif_directory("my_crystals", return_X_y=True)  # doctest: +SKIP
    """
    folder = Path(path)
    ids, columns = _read_table(folder)
    files = [folder / f"{each}.cif" for each in ids]
    data, failed, notes, kept = [], {}, {}, []
    read = generator_of(n_jobs)(delayed(_read_cif)(file) for file in files)
    with progress_bar(len(ids), "reading", "file", verbose) as bar:
        for row, (structure, reason, warned) in enumerate(read):
            bar.update()
            if structure is None:
                failed[ids[row]] = reason
                continue
            data.append(structure)
            kept.append(row)
            if warned:
                notes[ids[row]] = warned
    if failed and on_error == "raise":
        raise _unreadable(folder, failed)
    if not data:
        raise _unreadable(folder, failed)
    target = _as_target([columns[row] for row in kept])
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        ids=[ids[row] for row in kept],
        failed=failed,
        notes=notes,
        path=str(folder),
    )


def _read_table(folder: Path) -> tuple[list[str], list[list[str]]]:
    """Give the ids, and the fields of each."""
    table = folder / _TABLE
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            rows = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CIFDirectoryError(
            f"{table} cannot be read ({error}); path must be a folder with a file "
            f"{_TABLE} of ids and properties beside the CIF files"
        ) from error
    rows = [(number, line) for number, line in rows if any(map(str.strip, line))]
    if not rows:
        raise CIFDirectoryError(
            f"{table} is empty; give a line with an id and a property for each crystal"
        )
    first, width = rows[0][0], len(rows[0][1]) - 1
    seen: dict[str, int] = {}
    for number, (field, *fields) in rows:
        name = field.strip()
        if len(fields) != width:
            raise CIFDirectoryError(
                f"{table} has {len(fields)} properties in line {number} ({name!r}), "
                f"and {width} in line {first}; give each crystal equally many"
            )
        if name in seen:
            raise CIFDirectoryError(
                f"{table} has {name!r} in lines {seen[name]} and {number}; keep one of "
                "them"
            )
        if not name or Path(name).name != name:
            raise CIFDirectoryError(
                f"{table} has {name!r} in line {number}, which is no name of a file in "
                "the folder; give the name of the CIF file, without its ending"
            )
        seen[name] = number
    return list(seen), [[field.strip() for field in line[1:]] for _, line in rows]


def _read_cif(file: Path) -> tuple[Structure | None, str, list[str]]:
    """Give a structure, or the reason why there is none, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            structure = Structure.from_file(file)
        except Exception as error:  # noqa: BLE001 (a bad file fails in any way)
            return None, f"{type(error).__name__}: {error}", []
    # Not what packages announce of their own future.
    told = [each for each in caught if issubclass(each.category, UserWarning)]
    notes = [str(each.message) for each in told]
    n_blocks = file.read_bytes().lower().count(b"\ndata_")
    if n_blocks > 1:
        notes.append(f"of {n_blocks} data blocks the first with a structure is taken")
    return structure, "", notes


def _unreadable(folder: Path, failed: dict[str, str]) -> CIFDirectoryError:
    listed = [f"  {name}.cif: {why}" for name, why in list(failed.items())[:_LISTED]]
    if len(failed) > _LISTED:
        listed.append(f"  and {len(failed) - _LISTED} more")
    return CIFDirectoryError(
        f"{len(failed)} of the files that {folder / _TABLE} names cannot be read:\n"
        + "\n".join(listed)
        + '\nRepair them, take them out of the table, or pass on_error="collect" to '
        "leave them out. (A header is no part of the table.)",
        failed,
    )


def _as_target(rows: list[list[str]]) -> NDArray[Any]:
    texts = np.array(rows, dtype=str)
    if texts.shape[1] == 1:
        texts = texts[:, 0]
    for kind in (np.int64, np.float64):
        try:
            return np.where(texts == "", "nan", texts).astype(kind)
        except (ValueError, OverflowError):
            continue
    return texts
