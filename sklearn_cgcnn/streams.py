"""Featurize and predict crystals that are read one after another."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from itertools import islice
from numbers import Integral
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from sklearn_cgcnn._advice import is_crystal
from sklearn_cgcnn._estimators import collect_graphs
from sklearn_cgcnn._messages import warn
from sklearn_cgcnn._progress import progress_bar
from sklearn_cgcnn._sklearn_compat import Interval, validate_params
from sklearn_cgcnn.datasets import CrystalEntry
from sklearn_cgcnn.graphs import AnyGraphs, CrystalGraphs
from sklearn_cgcnn.uncertainty._members import networks_of

__all__ = ["Prediction", "iter_predictions"]


class Prediction(NamedTuple):
    """The prediction for a crystal.

    Attributes
    ----------
    id : str
        Id of the entry, or else the position of the crystal, counted from 0.
    value : object
        A number or label, or an array if there are several. A tuple if the method
        returns several arrays, as with ``return_std=True``. None if there is none.
    reason : str
        Why there is no prediction, or an empty string.

    Examples
    --------
    Predictions are rows of a table:

    >>> import pandas as pd
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.streams import iter_predictions
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=1, random_state=0).fit(structures, energy)
    >>> table = pd.DataFrame(iter_predictions(model, structures))
    >>> table.shape, list(table.columns)
    ((20, 3), ['id', 'value', 'reason'])
    """

    id: str
    value: Any
    reason: str


@validate_params(
    {
        "estimator": "no_validation",
        "crystals": "no_validation",
        "method": [str],
        "chunk_size": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def iter_predictions(
    estimator: Any,
    crystals: Iterable[Any],
    *,
    method: str = "predict",
    chunk_size: int = 1024,
    n_jobs: int | None = None,
    verbose: int = 0,
    **params: Any,
) -> Iterator[Prediction]:
    """Predict crystals while they are read.

    The crystals are read, featurized and predicted in chunks, so that memory is bounded
    however many there are. A crystal that cannot be read, cannot become a graph, or has
    an element that the model has no features for, does not stop the others.

    Parameters
    ----------
    estimator : estimator
        Fitted: a regressor or a classifier of this package, an ensemble of them, or an
        estimator around one, such as a ConformalRegressor or a Pipeline that ends in
        one.
    crystals : iterable of CrystalEntry or Structure
        The crystals, such as an iterator of :mod:`sklearn_cgcnn.datasets`. Structures
        are pymatgen Structures or ASE Atoms.
    method : str, default="predict"
        Method of the estimator, such as ``"predict_proba"``.
    chunk_size : int, default=1024
        Number of crystals in memory at a time.
    n_jobs : int or None, default=None
        Number of processes that featurize, as in joblib. None means one.
    verbose : int, default=0
        Whether to show a progress bar.
    **params : dict
        Further arguments of the method, such as ``return_std=True``.

    Yields
    ------
    Prediction
        One for each crystal, in order.

    Raises
    ------
    TypeError
        If the estimator contains no regressor or classifier of this package, or if
        `crystals` is a single crystal, holds graphs, or is text or a path.

    Warns
    -----
    ExtrapolationWarning
        For each chunk with crystals that are unlike those of the training. Positions
        are counted from the first crystal of all.

    See Also
    --------
    sklearn_cgcnn.CrystalGraphFeaturizer.transform_to_disk : Featurize to a folder.

    Notes
    -----
    Values are those that the method returns for all crystals at once, except for
    rounding: the crystals are divided into other batches.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.streams import iter_predictions
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=2, random_state=0).fit(structures, energy)
    >>> for prediction in iter_predictions(model, iter([structures[0], "none"])):
    ...     print([prediction.id, prediction.value is None, prediction.reason[:14]])
    ['0', False, '']
    ['1', True, 'is of type str']
    """
    if is_crystal(crystals) or isinstance(crystals, AnyGraphs | str | bytes | PathLike):
        raise TypeError(
            f"crystals is of type {type(crystals).__name__}, but must be an iterable "
            "of crystals; pass a single one as [crystal], a folder to a reader such as "
            "datasets.iter_cif_directory, and graphs to the method of the estimator "
            "itself"
        )
    networks = networks_of(estimator)

    def predict(graphs: CrystalGraphs) -> Any:
        return getattr(estimator, method)(graphs, **params)

    def featurize(chunk: list[Any], first: int) -> CrystalGraphs:
        return collect_graphs(networks, chunk, first=first, n_jobs=n_jobs)

    return _predict_chunks(crystals, featurize, predict, chunk_size, verbose)


def _predict_chunks(
    crystals: Iterable[Any],
    featurize: Callable[[list[Any], int], CrystalGraphs],
    predict: Callable[[CrystalGraphs], Any],
    chunk_size: int,
    verbose: int,
) -> Iterator[Prediction]:
    total = len(crystals) if isinstance(crystals, Sized) else None
    remaining, first = iter(crystals), 0
    with progress_bar(total, "predicting", "crystal", verbose) as bar:
        while items := list(islice(remaining, chunk_size)):
            entries = [_as_entry(item, first + i) for i, item in enumerate(items)]
            graphs = featurize([entry.crystal for entry in entries], first)
            good = np.flatnonzero(~graphs.is_failed)
            with _counted_from(first, good):
                values = _rows(predict(graphs[good])) if len(good) else []
            by_row = dict(zip(good.tolist(), values, strict=True))
            for row, entry in enumerate(entries):
                reason = graphs.failed.get(row, "")
                yield Prediction(entry.id, by_row.get(row), reason)
            first += len(entries)
            bar.update(len(entries))


def _as_entry(item: Any, index: int) -> CrystalEntry:
    entry = (
        item if isinstance(item, CrystalEntry) else CrystalEntry(str(index), item, {})
    )
    if isinstance(entry.crystal, AnyGraphs):
        raise TypeError(
            f"crystals[{index}] is of type {type(entry.crystal).__name__}, but must be "
            "a structure; pass graphs to the method of the estimator itself"
        )
    return entry


def _rows(values: Any) -> list[Any]:
    """Return the value of each crystal."""
    if isinstance(values, tuple):
        return list(zip(*map(_rows, values), strict=True))
    if isinstance(values, list):  # of crystals, each with values of its own
        return values
    array = np.asarray(values)
    return array.tolist() if array.ndim == 1 else list(array)


@contextmanager
def _counted_from(first: int, rows: Any) -> Iterator[None]:
    """Let warnings name crystals by their position among all, not in a chunk."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        message = re.sub(
            r"\bX\[(\d+)\]",
            lambda match: f"X[{first + rows[int(match[1])]}]",
            str(warning.message),
        )
        warn(message, warning.category)
