"""Train the models that come with the package: ``tox run -e pretrain``.

The data are read from the folder of the environment variable ``SKLEARN_CGCNN_DATA``.
Graphs and trained networks are kept in a work folder, so that a run can be stopped and
continued; models that the package has are not trained again. With ``--cards``, they get
a new card: cross-validation is added where it is due.
"""

import argparse
import gzip
import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from sklearn.frozen import FrozenEstimator

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn.exceptions import ExtrapolationWarning
from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.metrics import crystal_groups
from sklearn_cgcnn.model_files import save_model
from sklearn_cgcnn.model_files._files import RESERVED_KEYS
from sklearn_cgcnn.pretrained._catalog import (
    FOLDER,
    FORMULAS,
    HASHES,
    MODEL,
    load,
)
from sklearn_cgcnn.pretrained._catalog import card as card_of
from sklearn_cgcnn.pretrained._contents import symbols, textbook_crystals_in
from sklearn_cgcnn.pretrained._data import read
from sklearn_cgcnn.pretrained._evaluation import (
    FOLDS,
    cross_validated,
    mean_coverage,
    scores,
    scores_of_classes,
)
from sklearn_cgcnn.pretrained._tasks import TASKS
from sklearn_cgcnn.pretrained._textbook_crystals import textbook_crystals
from sklearn_cgcnn.uncertainty import ConformalRegressor, SpreadRegressor

_TRAINING_SHARE, _N_REFERENCES = 0.9, 1_000


def main() -> None:
    """Train the models that are missing, or renew cards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(TASKS), help="models to train")
    parser.add_argument("--work", type=Path, required=True, help="work folder")
    parser.add_argument("--cards", action="store_true", help="renew cards")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    # Crystals with elements that were not trained on count in the errors of a card.
    warnings.simplefilter("ignore", ExtrapolationWarning)
    data = Path(os.environ["SKLEARN_CGCNN_DATA"])
    for name in options.names:
        make(name, data, options.work, renew_card=options.cards)


def make(name: str, data: Path, work: Path, *, renew_card: bool) -> None:
    """Make the files of a model that the package does not have.

    Parameters
    ----------
    name : str
        Name of the model.
    data : Path
        Folder of the data.
    work : Path
        Work folder.
    renew_card : bool
        Whether to make a new card for a model that the package has.
    """
    print(name, flush=True)  # noqa: T201
    is_there = (FOLDER / f"{name}{MODEL}").exists()
    if renew_card or not is_there:
        if is_there:
            model, card = load(name), card_of(name)
        else:
            model, card = trained(name, data, work)
        card["limits"] = TASKS[name].limits
        if TASKS[name].is_cross_validated:
            card |= tested_by_folds(name, data, work)
        store(name, model, card)
    if not is_there or not (FOLDER / f"{name}{FORMULAS}").exists():
        graphs, y = read(TASKS[name], data, work)
        store_formulas(name, crystal_groups(graphs[split(y)[0]]))


def trained(name: str, data: Path, work: Path) -> tuple[Any, dict[str, Any]]:
    """Return a model and its card.

    Parameters
    ----------
    name : str
        Name of the model.
    data : Path
        Folder of the data.
    work : Path
        Work folder.

    Returns
    -------
    model : estimator
    card : dict of str to JSON value
    """
    task = TASKS[name]
    graphs, y = read(task, data, work)
    train, others = split(y)
    kept = _kept(
        work / f"{name}.joblib",
        partial(_fitted, graphs[train], y[train], is_class=task.is_class),
    )
    card = {
        "property": task.meaning,
        "unit": task.unit,
        "data": task.source,
        "data license": task.license,
        "training crystals": len(train),
        "test crystals": len(others),
        "split": "90 % of the crystals, at random, to train; the others to test and to "
        "calibrate",
        "training time in seconds": round(kept["seconds"]),
        "elements": symbols(graphs[train]),
        "textbook crystals in the training set": textbook_crystals_in(graphs[train]),
    }
    network = kept["model"]
    if task.is_class:
        probabilities = network.predict_proba(graphs[others])[:, 1]
        return network, {**card, **scores_of_classes(y[others], probabilities)}
    learn, rest = np.array_split(others, 2)
    spread = _with_spread(network, graphs, y, train, learn)
    model = ConformalRegressor(spread).fit(graphs[rest], y[rest])
    return model, {
        **card,
        **scores(y[others], network.predict(graphs[others]), y[train].mean()),
        "coverage of 90 % intervals": mean_coverage(spread, graphs[rest], y[rest]),
    }


def split(y: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the positions of the crystals to train on, and of the others.

    Parameters
    ----------
    y : ndarray of shape (n_crystals,)
        Values. Crystals with unknown ones are left out.

    Returns
    -------
    train, others : ndarray of int
    """
    rows = np.random.RandomState(0).permutation(np.flatnonzero(np.isfinite(y)))
    train, others = np.split(rows, [int(_TRAINING_SHARE * len(rows))])
    return train, others


def tested_by_folds(name: str, data: Path, work: Path) -> dict[str, Any]:
    """Return what cross-validation adds to a card.

    Parameters
    ----------
    name : str
        Name of the model.
    data : Path
        Folder of the data.
    work : Path
        Work folder, which keeps each network.

    Returns
    -------
    dict of str to JSON value
    """
    graphs, y = read(TASKS[name], data, work)
    rows = np.flatnonzero(np.isfinite(y))
    predictions, coverage = np.full(len(y), np.nan), []
    for fold, (train, others) in enumerate(FOLDS.split(rows)):
        train, others = rows[train], rows[others]
        path = work / f"{name} fold {fold}.joblib"
        network = _kept(path, partial(_fitted, graphs[train], y[train]))["model"]
        predictions[others] = network.predict(graphs[others])
        learn, rest = np.array_split(others, 2)
        spread = _with_spread(network, graphs, y, train, learn)
        coverage.append(mean_coverage(spread, graphs[rest], y[rest]))
    return cross_validated(y[rows], predictions[rows], coverage)


def _fitted(
    graphs: CrystalGraphs, y: NDArray[np.float64], *, is_class: bool = False
) -> dict[str, Any]:
    network = CGCNNClassifier if is_class else CGCNNRegressor
    start = time.perf_counter()
    model = network(random_state=0).fit(graphs, y.astype(bool) if is_class else y)
    return {"model": model, "seconds": time.perf_counter() - start}


def _kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a file holds, or make it and store it there."""
    if not path.exists():
        joblib.dump(make(), path)
    kept: dict[str, Any] = joblib.load(path)
    return kept


def _with_spread(
    network: Any,
    graphs: CrystalGraphs,
    y: NDArray[np.float64],
    train: NDArray[np.intp],
    learn: NDArray[np.intp],
) -> FrozenEstimator:
    """Return a network that predicts spreads, learned from some crystals."""
    spread = SpreadRegressor(FrozenEstimator(network), n_references=_N_REFERENCES)
    return FrozenEstimator(spread.fit(graphs[train], y[train], graphs[learn], y[learn]))


def store(name: str, model: Any, card: dict[str, Any]) -> None:
    """Write a model into the package, and its hash into the list.

    Parameters
    ----------
    name : str
        Name of the model.
    model : estimator
        Fitted.
    card : dict of str to JSON value
        Its card.
    """
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}{MODEL}"
    references = [each for each in textbook_crystals().values() if _knows(card, each)]
    own = {key: value for key, value in card.items() if key not in RESERVED_KEYS}
    save_model(model, path, card=own, reference=references)
    _store_hashes()


def store_formulas(name: str, formulas: NDArray[np.str_]) -> None:
    """Write the formulas of training crystals into the package.

    Parameters
    ----------
    name : str
        Name of the model.
    formulas : ndarray of str
        The formula of each crystal.
    """
    text = "\n".join(np.unique(formulas).tolist())
    # Without a time, so that the same formulas give the same file.
    (FOLDER / f"{name}{FORMULAS}").write_bytes(gzip.compress(text.encode(), mtime=0))
    _store_hashes()


def _store_hashes() -> None:
    hashes = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(FOLDER.iterdir())
        if file.name.endswith((MODEL, FORMULAS))
    }
    (FOLDER / HASHES).write_text(json.dumps(hashes, indent=1) + "\n")


def _knows(card: dict[str, Any], structure: Structure) -> bool:
    return set(structure.symbol_set) <= set(card["elements"])


if __name__ == "__main__":
    main()
