"""Fetch datasets of crystal structures from matminer, and verify their hashes."""

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

# Columns that can contain the structures, in order of preference. If a dataset has the
# structures before and after a relaxation, its properties belong to the relaxed ones.
_STRUCTURE_COLUMNS = ("structure", "final_structure")


@validate_params(
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
    """Fetch a dataset of crystal structures from matminer.

    The datasets are those of the library matminer [1]_, which include the Matbench test
    set [2]_. The file is downloaded if it is missing, and used without network access
    otherwise. It is read only if it has the SHA-256 that matminer states.

    Parameters
    ----------
    name : str
        Name of a dataset with structures, for example ``"matbench_phonons"``.
        ``matminer.datasets.get_available_datasets()`` lists all names.
    target : str, list of str or None, default=None
        Numeric column, or columns, to predict. None selects the only numeric column,
        as in the datasets of Matbench.
    data_home : str, path-like or None, default=None
        Folder of the file ``<name>.json.gz``. None selects the folder that the
        environment variable ``MATMINER_DATA`` names or, if it is not set, matminer's
        own folder.
    download_if_missing : bool, default=True
        If False, raise an error if the file is missing.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.
    verbose : bool, default=True
        Whether to show the progress of a download.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes

        data : list of pymatgen.core.Structure, length n_samples
            The structures, in the order of the file.
        target : ndarray of shape (n_samples,) or (n_samples, n_targets)
            The targets, with NaN for missing values. Two-dimensional if `target` is a
            list.
        target_names : list of str
            Names of the target columns.
        frame : pandas.DataFrame with n_samples rows
            All columns except the structures, with the rows in the order of `data`.
        column_descriptions : dict
            Maps each column to its description by matminer.
        units : dict
            Maps each target to its description by matminer, which states the unit in
            words.
        DESCR : str
            Description of the dataset, with its reference.
        filename : str
            Path of the file.
    (data, target) : tuple if ``return_X_y`` is True
        The structures and the target.

    Raises
    ------
    ValueError
        If the dataset is unknown or has no structures, or `target` does not name
        numeric columns of it.
    DatasetUnavailableError
        If the file is missing, and the download failed or `download_if_missing` is
        False.
    DatasetIntegrityError
        If the file differs from the published one. It is not deleted.

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
    ValueError: name is 'matbench_phonon', but matminer has no such dataset. ...
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
            f"Similar names: {', '.join(matches)}."
            if matches
            else "matminer.datasets.get_available_datasets() lists the datasets."
        )
        raise ValueError(f"name is {name!r}, but matminer has no such dataset. {hint}")
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
    examples = ", ".join(_smallest_datasets_with_structures(5))
    raise ValueError(
        f"name is {name!r}, but this dataset has no structures, only the columns "
        f"{sorted(columns)}. Choose one with structures, such as {examples}."
    )


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
    """Download the published file to path, or raise an error and leave no file."""
    import pooch

    url = metadata["url"]
    remedy = (
        f"Save the file from {url} under this path, or set data_home or the "
        "environment variable MATMINER_DATA to the folder that contains it."
    )
    if not allowed:
        raise DatasetUnavailableError(
            f"{path} is missing, and download_if_missing is False. {remedy}"
        )
    try:
        # pooch downloads to a temporary file, and moves it to the path if its hash is
        # right. matminer's own download would save an error page as if it were the
        # data, and wait for minutes before it reports the error.
        pooch.retrieve(
            url,
            known_hash=f"sha256:{metadata['hash']}",
            fname=path.name,
            path=path.parent,
            progressbar=verbose,
        )
    except (OSError, ValueError) as error:  # ValueError: the hash differs
        raise DatasetUnavailableError(
            f"{path} is missing and could not be downloaded ({error}). {remedy}"
        ) from error


def _check_integrity(path: Path, metadata: Mapping[str, Any]) -> None:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != metadata["hash"]:
        raise DatasetIntegrityError(
            f"{path} differs from the published file: expected SHA-256 "
            f"{metadata['hash']}, got {actual}. Delete it, and fetch it again from "
            f"{metadata['url']}."
        )


def _choose_target(target: str | list[str] | None, frame: "pd.DataFrame") -> list[str]:
    candidates = [column for column in frame.columns if _is_numeric(frame[column])]
    if target is None:
        if len(candidates) != 1:
            raise ValueError(
                "target is None, which requires a dataset with exactly one numeric "
                f"column. Set it to one or more of {candidates}."
            )
        return candidates
    target_names = target if isinstance(target, list) else [target]
    unknown = [column for column in target_names if column not in candidates]
    if unknown or not target_names:
        raise ValueError(
            f"target must be one or more of the numeric columns {candidates}, "
            f"got {unknown or target_names}."
        )
    return list(target_names)


def _is_numeric(column: "pd.Series[Any]") -> bool:
    from pandas.api.types import infer_dtype

    # Infer the type from the values, because a column of numbers and None has the dtype
    # object.
    inferred = infer_dtype(column, skipna=True)
    return inferred in {"floating", "integer", "mixed-integer-float", "boolean"}


def _as_target(frame: "pd.DataFrame", target_names: list[str]) -> NDArray[Any]:
    columns = [
        # The conversion to float replaces None by NaN.
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
