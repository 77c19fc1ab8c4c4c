"""Read the CIF files of a folder, one after another."""

import os
from collections.abc import Iterator
from contextlib import closing
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from sklearn_cgcnn._sklearn_compat import Interval, StrOptions, validate_params
from sklearn_cgcnn.datasets._cif_files import iter_readings, list_folder
from sklearn_cgcnn.datasets._entries import CrystalEntry, checked
from sklearn_cgcnn.datasets._property_table import as_target
from sklearn_cgcnn.graphs import Failure


@validate_params(
    {
        "path": [str, os.PathLike],
        "on_error": [StrOptions({"raise", "collect"})],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def iter_cif_directory(
    path: str | os.PathLike[str],
    *,
    on_error: str = "raise",
    time_limit: float | None = 60.0,
    n_jobs: int | None = None,
) -> Iterator[CrystalEntry]:
    """Read the CIF files of a folder, one after another.

    The folder has the layout that :func:`load_cif_directory` describes. The processes
    that read files are ahead of the caller by at most 128 files each, so that memory is
    bounded.

    Parameters
    ----------
    path : str or path-like
        The folder.
    on_error : {"raise", "collect"}, default="raise"
        What to do about files that cannot be read. "raise" raises an error at the first
        of them, "collect" yields a Failure with the reason in their place.
    time_limit : float or None, default=60.0
        Seconds after which the reading of one file is given up, as for a file that
        cannot be read. None reads without a limit.
    n_jobs : int or None, default=None
        Number of processes that read files, as for :func:`load_cif_directory`.

    Yields
    ------
    CrystalEntry
        Id and crystal, in the order of the table or else of the names. The properties
        of the table are ``"property_0"`` and so on, each a number, or a str if it is
        none. What was unusual in the file is ``"notes"``.

    Raises
    ------
    StructureError
        If a file cannot be read, and `on_error` is "raise".
    CIFDirectoryError
        If the folder or its table cannot be read.

    See Also
    --------
    load_cif_directory : Read a folder into memory.

    Examples
    --------
    >>> from sklearn_cgcnn.datasets import iter_cif_directory
    >>> for entry in iter_cif_directory("my_crystals"):  # doctest: +SKIP
    ...     print(entry.id, entry.crystal.formula, entry.properties)
    """
    folder = Path(path)
    files, table = list_folder(folder)
    entries = _read(files, table, time_limit, n_jobs)
    return checked(entries, folder, on_error)


def _read(
    files: dict[str, Path],
    table: dict[str, list[str]],
    time_limit: float | None,
    n_jobs: int | None,
) -> Iterator[CrystalEntry]:
    with closing(iter_readings(list(files.values()), time_limit, n_jobs)) as readings:
        for id_, reading in zip(files, readings, strict=True):
            properties: dict[str, Any] = {
                f"property_{place}": _number_or_text(text)
                for place, text in enumerate(table[id_])
            }
            if reading.notes:
                properties["notes"] = reading.notes
            crystal = reading.structure or Failure(reading.reason)
            yield CrystalEntry(id_, crystal, properties)


def _number_or_text(text: str) -> Any:
    value: Any = as_target([[text]])
    return value[0].item()
