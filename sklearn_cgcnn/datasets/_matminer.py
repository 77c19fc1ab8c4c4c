"""Datasets of crystal structures from matminer, checked against their hashes."""

import hashlib
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sklearn_cgcnn._sklearn_compat import validate_params
from sklearn_cgcnn.exceptions import DatasetIntegrityError, DatasetUnavailableError

if TYPE_CHECKING:
    import pandas as pd

# The column the structures are in, in order of preference: where a dataset has both
# ends of a relaxation, the properties belong to the relaxed end.
_STRUCTURE_COLUMNS = ("structure", "final_structure")


@validate_params(  # type: ignore[untyped-decorator]
    {
        "name": [str],
        "target": [str, list, None],
        "data_home": [str, os.PathLike, None],
        "download_if_missing": ["boolean"],
        "return_X_y": ["boolean"],
        "verbose": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def fetch_matminer(
    name: str,
    *,
    target: str | list[str] | None = None,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    verbose: bool = True,
) -> Any:
    """Fetch one of matminer's datasets of crystal structures.

    They are those of the library matminer [1]_, the Matbench test set [2]_ among them.
    A file already there is used without a network, a missing one is downloaded.
    Either is read only if its SHA-256 is the one that matminer states.

    Parameters
    ----------
    name : str
        Name of a dataset, one of ``matminer.datasets.get_available_datasets()``
        that holds structures, for example ``"matbench_phonons"``.
    target : str, list of str or None, default=None
        Numeric column to predict, or several. None takes the only one there is,
        as in the datasets of Matbench.
    data_home : str, path-like or None, default=None
        Folder of the file ``<name>.json.gz``. None takes the environment variable
        ``MATMINER_DATA``, and failing that matminer's own folder.
    download_if_missing : bool, default=True
        If False, raise an error where the file is missing.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.
    verbose : bool, default=True
        Show the progress of a download.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes

        data : list of pymatgen.core.Structure, length n_samples
            The structures, in the order of the file.
        target : ndarray of shape (n_samples,) or (n_samples, n_targets)
            The target, NaN where the dataset has none; two-dimensional if
            `target` is a list.
        target_names : list of str
            Columns the target was taken from.
        frame : pandas.DataFrame with n_samples rows
            Every column but the structures, row by row with `data`.
        column_descriptions : dict
            What matminer says of each column.
        units : dict
            What matminer says of each target: it states units in prose.
        DESCR : str
            Description of the dataset, with its reference.
        filename : str
            Path of the file.
    (data, target) : tuple if ``return_X_y`` is True
        The structures and the target.

    Raises
    ------
    ValueError
        If the dataset is unknown or holds no structures, or `target` does not
        name numeric columns of it.
    DatasetUnavailableError
        If the file is missing and is not, or cannot be, downloaded.
    DatasetIntegrityError
        If the file is not the one that was published. It is left as it is.

    References
    ----------
    .. [1] L. Ward et al., "Matminer: An open source toolkit for materials data
       mining", Computational Materials Science 152, 60-69 (2018).
    .. [2] A. Dunn et al., "Benchmarking materials property prediction methods: the
       Matbench test set and Automatminer reference algorithm", npj Computational
       Materials 6, 138 (2020).

    Examples
    --------
    >>> from sklearn_cgcnn.datasets import fetch_matminer
    >>> X, y = fetch_matminer("matbench_phonons", return_X_y=True)  # doctest: +SKIP
    >>> fetch_matminer("matbench_phonon")
    Traceback (most recent call last):
    ...
    ValueError: matminer has no dataset 'matbench_phonon'. Close to it: ...
    """
    from matminer.datasets import load_dataset

    metadata = _read_metadata(name)
    structure_column = _find_structure_column(name, metadata)
    path = _find_data_home(data_home) / f"{name}.{metadata['file_type']}"
    if not path.exists():
        _download(path, metadata, allowed=download_if_missing, verbose=verbose)
    _check_integrity(path, metadata)

    frame = load_dataset(name, data_home=str(path.parent), download_if_missing=False)
    data = frame.pop(structure_column).tolist()
    target_names = _choose_target(target, frame)
    y = _as_target(frame, target_names)
    if not isinstance(target, list):
        y = y[:, 0]
    if return_X_y:
        return data, y
    columns = metadata["columns"]
    return Bunch(
        data=data,
        target=y,
        target_names=target_names,
        frame=frame,
        column_descriptions=dict(columns),
        units={column: columns.get(column, "") for column in target_names},
        DESCR=_describe(name, metadata),
        filename=str(path),
    )


def _read_metadata(name: str) -> dict[str, Any]:
    from matminer.datasets import get_available_datasets
    from matminer.datasets.dataset_retrieval import get_dataset_attribute

    known = get_available_datasets(print_format=None)
    if name not in known:
        matches = get_close_matches(name, known)
        hint = (
            f"Close to it: {', '.join(matches)}."
            if matches
            else "matminer.datasets.get_available_datasets() lists those there are."
        )
        raise ValueError(f"matminer has no dataset {name!r}. {hint}")
    keys = (
        "columns",
        "description",
        "file_type",
        "hash",
        "num_entries",
        "reference",
        "url",
    )
    return {key: get_dataset_attribute(name, key) for key in keys}


def _find_structure_column(name: str, metadata: Mapping[str, Any]) -> str:
    columns = metadata["columns"]
    for column in _STRUCTURE_COLUMNS:
        if column in columns:
            return column
    msg = (
        f"The dataset {name!r} holds no structures, only the columns "
        f"{sorted(columns)}. Among those that hold structures are "
        f"{', '.join(_smallest_datasets_with_structures(5))}."
    )
    raise ValueError(msg)


def _smallest_datasets_with_structures(n_datasets: int) -> list[str]:
    from matminer.datasets import get_available_datasets
    from matminer.datasets.dataset_retrieval import get_dataset_columns

    by_size = get_available_datasets(print_format=None, sort_method="num_entries")
    with_structures = [
        name
        for name in reversed(by_size)
        if not set(_STRUCTURE_COLUMNS).isdisjoint(get_dataset_columns(name))
    ]
    return with_structures[:n_datasets]


def _find_data_home(data_home: str | os.PathLike[str] | None) -> Path:
    import matminer.datasets

    if data_home is None:
        data_home = os.environ.get("MATMINER_DATA")
    if data_home is None:
        data_home = Path(matminer.datasets.__file__).parent
    return Path(data_home).expanduser()


def _download(
    path: Path, metadata: Mapping[str, Any], *, allowed: bool, verbose: bool
) -> None:
    """Put the published file at path, or leave nothing there and raise."""
    import pooch

    url = metadata["url"]
    remedy = (
        f"Put the file from {url} there, or say where it is with data_home or the "
        "environment variable MATMINER_DATA."
    )
    if not allowed:
        msg = f"{path} is missing, and download_if_missing is False. {remedy}"
        raise DatasetUnavailableError(msg)
    try:
        # pooch downloads beside the path and moves the file there if the hash is
        # right. matminer's own download takes an error page for the data, and
        # sleeps for minutes before it says so.
        pooch.retrieve(
            url,
            known_hash=f"sha256:{metadata['hash']}",
            fname=path.name,
            path=path.parent,
            progressbar=verbose,
        )
    except (OSError, ValueError) as error:  # network, disk; HTTP body with another hash
        msg = f"{path} is missing and could not be downloaded ({error}). {remedy}"
        raise DatasetUnavailableError(msg) from error


def _check_integrity(path: Path, metadata: Mapping[str, Any]) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != metadata["hash"]:
        msg = (
            f"{path} is not the file that was published: expected SHA-256 "
            f"{metadata['hash']}, found {found}. Delete it and fetch it again from "
            f"{metadata['url']}."
        )
        raise DatasetIntegrityError(msg)


def _choose_target(target: str | list[str] | None, frame: "pd.DataFrame") -> list[str]:
    candidates = [column for column in frame.columns if _is_numeric(frame[column])]
    if target is None:
        if len(candidates) != 1:
            msg = (
                f"target must be given where there is not just one numeric column, "
                f"got None. Numeric columns: {candidates}."
            )
            raise ValueError(msg)
        return candidates
    target_names = target if isinstance(target, list) else [target]
    unknown = [column for column in target_names if column not in candidates]
    if unknown or not target_names:
        msg = (
            f"target must be one or more of the numeric columns {candidates}, "
            f"got {unknown or target_names}."
        )
        raise ValueError(msg)
    return list(target_names)


def _is_numeric(column: "pd.Series[Any]") -> bool:
    from pandas.api.types import infer_dtype

    # By content: a column of numbers in which some are None has no numeric dtype.
    kind = infer_dtype(column, skipna=True)
    return kind in {"floating", "integer", "mixed-integer-float", "boolean"}


def _as_target(frame: "pd.DataFrame", target_names: list[str]) -> NDArray[Any]:
    columns = [
        # None becomes NaN.
        frame[name].astype(float) if frame[name].dtype == object else frame[name]
        for name in target_names
    ]
    return np.column_stack([column.to_numpy() for column in columns])


def _describe(name: str, metadata: Mapping[str, Any]) -> str:
    columns = "\n".join(
        f"- `{column}`: {text}" for column, text in sorted(metadata["columns"].items())
    )
    return f"""\
{name}
{"=" * len(name)}

{metadata["description"]}

Entries: {metadata["num_entries"]}

Columns:

{columns}

Reference: {metadata["reference"]}

Address: {metadata["url"]}
"""
