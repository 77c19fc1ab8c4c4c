"""Load folders of CIF files in the layout of the original program."""

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

_TABLE_NAME = "id_prop.csv"
_MAX_REASONS = 10  # that an error message lists


@validate_params(
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
    """Load a folder of CIF files and a table of their properties.

    The folder has the layout that the program of the paper's authors uses. A file
    ``id_prop.csv`` without a header has one line per crystal, with its id and its
    property. A file ``<id>.cif`` contains the structure of each crystal. A line may
    list several properties, separated by commas. Properties are numbers or labels.

    Parameters
    ----------
    path : str or path-like
        The folder.
    on_error : {"raise", "collect"}, default="raise"
        What to do if files cannot be read. ``"raise"`` raises an error that names all
        of them with the reasons. ``"collect"`` leaves these crystals out, and returns
        the reasons in `failed`.
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
            Integers if all properties are integers, else real numbers (NaN for empty
            fields) if all are numbers, else labels (str). Two-dimensional if the table
            has several properties, and empty if it has none.
        ids : list of str, length n_samples
            The ids of the crystals.
        failed : dict of str to str
            Maps the id of each crystal that was left out to the reason.
        notes : dict of str to list of str
            Maps an id to the warnings of pymatgen while reading its file, for example
            about coordinates that it rounded or occupancies that it scaled.
        path : str
            The folder.
    (data, target) : tuple if ``return_X_y`` is True
        The structures and the target.

    Raises
    ------
    CIFDirectoryError
        If the table is missing or empty, has lines of different lengths, repeats an id,
        or has an id that cannot be a file name. Also if files are missing or cannot be
        read, and `on_error` is ``"raise"`` or no crystal is left.

    See Also
    --------
    sklearn_cgcnn.checkpoints.load_original_checkpoint : Load a model of that program.

    Examples
    --------
    >>> from sklearn_cgcnn.datasets import load_cif_directory
    >>> X, y = load_cif_directory("my_crystals", return_X_y=True)  # doctest: +SKIP
    """
    folder = Path(path)
    properties = _read_table(folder)
    ids = list(properties)
    structures, failed, notes = _read_structures(folder, ids, n_jobs, verbose)
    if failed and (on_error == "raise" or not structures):
        raise _unreadable_files_error(folder, failed)
    data = list(structures.values())
    target = _as_target([properties[id_] for id_ in structures])
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        ids=list(structures),
        failed=failed,
        notes=notes,
        path=str(folder),
    )


def _read_table(folder: Path) -> dict[str, list[str]]:
    """Return the property fields of each id, in the order of the table."""
    table = folder / _TABLE_NAME
    lines = _read_lines(table)
    if not lines:
        raise CIFDirectoryError(
            f"{table} is empty; write one line per crystal, with its id and property"
        )
    first_number, first_line = lines[0]
    line_numbers: dict[str, int] = {}
    for number, (id_, *fields) in lines:
        if len(fields) != len(first_line) - 1:
            raise CIFDirectoryError(
                f"{table} has {len(fields)} properties in line {number} ({id_!r}), but "
                f"{len(first_line) - 1} in line {first_number}; write the same number "
                "of properties for each crystal"
            )
        if id_ in line_numbers:
            raise CIFDirectoryError(
                f"{table} has the id {id_!r} in line {line_numbers[id_]} and again in "
                f"line {number}; delete one of them"
            )
        if not id_ or Path(id_).name != id_:
            raise CIFDirectoryError(
                f"{table} has the id {id_!r} in line {number}, but an id must be the "
                "name of a CIF file in this folder, without .cif; correct this line"
            )
        line_numbers[id_] = number
    return {id_: fields for _, (id_, *fields) in lines}


def _read_lines(table: Path) -> list[tuple[int, list[str]]]:
    """Return the number and the fields of each line that is not blank."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            lines = [(reader.line_num, [field.strip() for field in r]) for r in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CIFDirectoryError(
            f"{table} cannot be read ({error}); path must be a folder that contains a "
            f"file {_TABLE_NAME} of ids and properties beside the CIF files"
        ) from error
    return [(number, fields) for number, fields in lines if any(fields)]


def _read_structures(
    folder: Path, ids: list[str], n_jobs: int | None, verbose: int
) -> tuple[dict[str, Structure], dict[str, str], dict[str, list[str]]]:
    """Return structures, reasons of failures, and warnings, each by id."""
    structures, failed, notes = {}, {}, {}
    results = generator_of(n_jobs)(
        delayed(_read_cif)(folder / f"{id_}.cif") for id_ in ids
    )
    with progress_bar(len(ids), "reading", "file", verbose) as bar:
        for id_, (structure, reason, messages) in zip(ids, results, strict=True):
            bar.update()
            if structure is None:
                failed[id_] = reason
                continue
            structures[id_] = structure
            if messages:
                notes[id_] = messages
    return structures, failed, notes


def _read_cif(file: Path) -> tuple[Structure | None, str, list[str]]:
    """Return the structure or else the reason of the failure, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            structure = Structure.from_file(file)
        except Exception as error:  # noqa: BLE001 (a bad file can raise anything)
            return None, f"{type(error).__name__}: {error}", []
    # Only warnings about the file, which are UserWarnings. Deprecations are not.
    messages = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    n_blocks = file.read_bytes().lower().count(b"\ndata_")
    if n_blocks > 1:
        messages.append(
            f"of {n_blocks} data blocks, only the first one with a structure was read"
        )
    return structure, "", messages


def _unreadable_files_error(folder: Path, failed: dict[str, str]) -> CIFDirectoryError:
    reasons = [f"  {id_}.cif: {reason}" for id_, reason in failed.items()]
    listed = reasons[:_MAX_REASONS]
    if len(reasons) > _MAX_REASONS:
        listed.append(f"  and {len(reasons) - _MAX_REASONS} more")
    return CIFDirectoryError(
        f"{len(failed)} files listed in {folder / _TABLE_NAME} cannot be read:\n"
        + "\n".join(listed)
        + "\nRepair these files, delete their lines from the table, or pass on_error="
        '"collect" to leave them out. (The table must not have a header.)',
        failed,
    )


def _as_target(rows: list[list[str]]) -> NDArray[Any]:
    texts = np.array(rows, dtype=str)
    if texts.shape[1] == 1:
        texts = texts[:, 0]
    for dtype in (np.int64, np.float64):
        try:
            return np.where(texts == "", "nan", texts).astype(dtype)
        except (ValueError, OverflowError):
            continue
    return texts
