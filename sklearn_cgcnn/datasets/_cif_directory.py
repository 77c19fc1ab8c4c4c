"""Load folders of CIF files in the layout of the original program."""

import os
from contextlib import closing
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from sklearn_cgcnn._messages import listing, warn
from sklearn_cgcnn._progress import progress_bar
from sklearn_cgcnn._sklearn_compat import Interval, StrOptions, validate_params
from sklearn_cgcnn.datasets._cif import CIFReading
from sklearn_cgcnn.datasets._cif_files import iter_readings, list_folder
from sklearn_cgcnn.datasets._property_table import as_target
from sklearn_cgcnn.exceptions import CIFDirectoryError

_MAX_REASONS = 10  # that a message lists


@validate_params(
    {
        "path": [str, os.PathLike],
        "on_error": [StrOptions({"raise", "collect"})],
        "return_X_y": ["boolean"],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
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
    time_limit: float | None = 60.0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Any:
    """Load a folder of CIF files and a table of their properties.

    The folder has the layout that the program of the paper's authors uses. A file
    ``id_prop.csv`` without a header has one line per crystal, with its id and its
    property. A file ``<id>.cif`` contains the structure of each crystal. A line may
    list several properties, separated by commas, or none. A folder without this table
    is loaded too: all its CIF files, in the order of their names, without a target.

    Parameters
    ----------
    path : str or path-like
        The folder.
    on_error : {"raise", "collect"}, default="raise"
        What to do if files cannot be read. ``"raise"`` raises an error that names all
        of them with the reasons. ``"collect"`` leaves these crystals out, and returns
        the reasons in `failed`.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch. What the Bunch would
        contain in `failed` and `notes` is then emitted as one warning each.
    time_limit : float or None, default=60.0
        Seconds after which the reading of one file is given up, as for a file that
        cannot be read. None reads without a limit.
    n_jobs : int or None, default=None
        Number of processes that read files, as in joblib; -1 means one per processor.
        None means one for every 500 files, but no more than processors. Where joblib's
        context sets a number, None means that number, and in a process or thread that
        is itself one of several, it means one. Without a time limit, one means the
        current process.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes

        data : list of pymatgen.core.Structure, length n_samples
            The structures, in the order of the table.
        target : ndarray of shape (n_samples,) or (n_samples, n_targets), or None
            Integers if all properties are integers, else real numbers (NaN for empty
            fields) if all are numbers, else labels (str). Two-dimensional if the table
            has several properties. None if it has none, or if there is no table.
        ids : list of str, length n_samples
            The ids of the crystals.
        failed : dict of str to str
            Maps the id of each crystal that was left out to the reason.
        notes : dict of str to list of str
            Maps an id to what was unusual in its file, for example coordinates that
            pymatgen rounded, or sites that do not add up to the chemical formula.
        path : str
            The folder.
    (data, target) : tuple if ``return_X_y`` is True
        The structures and the target.

    Raises
    ------
    CIFDirectoryError
        If `path` is not a folder, or has neither a table nor CIF files. If the table
        cannot be read or is empty, has lines of different lengths, repeats an id, or
        has an id that cannot be a file name. If files are missing or cannot be read,
        and `on_error` is ``"raise"`` or no crystal is left.
    RuntimeError
        If the processes that read files cannot be started.

    See Also
    --------
    sklearn_cgcnn.checkpoints.load_original_checkpoint : Load a model of that program.

    Notes
    -----
    The crystal of a file is that of the first data block with a cell or atom sites.
    Blocks before it, for example with bibliographic data only, are skipped with a note,
    and further blocks are ignored with a note. If this block cannot be read, the file
    cannot be read. Blocks are found as the syntax of CIF says: ``data_`` in a comment,
    in quotes or in a text field begins none.

    pymatgen makes the structure, which is then compared with the file. The file cannot
    be read if a site was lost or changed on the way, for example because its symbol,
    such as ``OH``, is not that of an element. It cannot be read either if a coordinate,
    an occupancy, a length or an angle is not a number, or if the symmetry operations
    are unclear or do not form a group.

    Properties are numbers if they consist of ASCII digits with an optional sign,
    decimal point and exponent, such as ``+1`` or ``1e5``, or are ``nan``, ``inf`` or
    ``infinity``. Everything else is a label, for example ``2_1``, ``0x10``, or
    ``"1,5"`` in quotes. Without quotes, ``1,5`` is two properties.

    Examples
    --------
    >>> from sklearn_cgcnn.datasets import load_cif_directory
    >>> X, y = load_cif_directory("my_crystals", return_X_y=True)  # doctest: +SKIP
    """
    folder = Path(path)
    files, properties = list_folder(folder)
    readings = _read_files(files, time_limit, n_jobs, verbose)
    failed = {id_: r.reason for id_, r in readings.items() if r.structure is None}
    ids = [id_ for id_ in files if id_ not in failed]
    if failed and (on_error == "raise" or not ids):
        raise _unreadable_files_error(folder, failed)
    notes = {id_: readings[id_].notes for id_ in ids if readings[id_].notes}
    data = [readings[id_].structure for id_ in ids]
    target = as_target([properties[id_] for id_ in ids])
    if return_X_y:
        _warn(folder, failed, notes)
        return data, target
    return Bunch(
        data=data,
        target=target,
        ids=ids,
        failed=failed,
        notes=notes,
        path=str(folder),
    )


def _read_files(
    files: dict[str, Path], time_limit: float | None, n_jobs: int | None, verbose: int
) -> dict[str, CIFReading]:
    readings = {}
    with (
        closing(iter_readings(list(files.values()), time_limit, n_jobs)) as results,
        progress_bar(len(files), "reading", "file", verbose) as bar,
    ):
        for id_, reading in zip(files, results, strict=True):
            readings[id_] = reading
            bar.update()
    return readings


def _unreadable_files_error(folder: Path, failed: dict[str, str]) -> CIFDirectoryError:
    return CIFDirectoryError(
        f"{_listing(folder, failed, 'cannot be read')}\n"
        "Repair these files, remove them (and their lines in the table, if there is "
        'one), or pass on_error="collect" to leave them out. (The table must not have '
        "a header.)",
        failed,
    )


def _warn(folder: Path, failed: dict[str, str], notes: dict[str, list[str]]) -> None:
    """Emit a warning each for files that were left out, and for unusual files."""
    joined = {id_: "; ".join(messages) for id_, messages in notes.items()}
    for messages, what in (
        (failed, "could not be read and were left out"),
        (joined, "are unusual; check that they were read as you expect"),
    ):
        if messages:
            warn(_listing(folder, messages, what))


def _listing(folder: Path, messages: dict[str, str], what: str) -> str:
    header = f"{len(messages)} CIF files of {folder} {what}:"
    lines = [f"{id_}: {message}" for id_, message in messages.items()]
    return listing(header, lines, _MAX_REASONS)
