"""Train the models that come with the package: ``tox run -e pretrain``.

The data are read from the folder of the environment variable ``SKLEARN_CGCNN_DATA``.
Graphs and trained networks are kept in a folder of work, so that a run can be stopped
and continued; models that the package has are not trained again.
"""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Structure
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import fetch_matminer
from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.metrics import crystal_groups
from sklearn_cgcnn.model_files import save_model
from sklearn_cgcnn.pretrained._catalog import FOLDER, HASHES
from sklearn_cgcnn.pretrained._tasks import TASKS, Task
from sklearn_cgcnn.pretrained._textbook_crystals import textbook_crystals
from sklearn_cgcnn.uncertainty import ConformalRegressor, SpreadRegressor

_TRAINING_SHARE, _N_REFERENCES = 0.9, 1_000
_LEVEL, _N_SPLITS = 0.9, 20
_SAME_LENGTH = 0.04


def main() -> None:
    """Train the models that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(TASKS), help="models to train")
    parser.add_argument("--work", type=Path, required=True, help="folder of work")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["SKLEARN_CGCNN_DATA"])
    for name in options.names:
        if (FOLDER / f"{name}.safetensors").exists():
            print(f"{name}: the package has it")  # noqa: T201
            continue
        print(name, flush=True)  # noqa: T201
        store(name, *trained(name, data, options.work))


def trained(name: str, data: Path, work: Path) -> tuple[Any, dict[str, Any]]:
    """Return a model and its card.

    Parameters
    ----------
    name : str
        Name of the model.
    data : Path
        Folder of the data.
    work : Path
        Folder of work.

    Returns
    -------
    model : estimator
    card : dict of str to JSON value
    """
    task = TASKS[name]
    graphs, y = read(task, data, work)
    rows = np.random.RandomState(0).permutation(np.flatnonzero(np.isfinite(y)))
    train, others = np.split(rows, [int(_TRAINING_SHARE * len(rows))])
    target = y.astype(bool) if task.is_class else y
    path = work / f"{name}.joblib"
    if not path.exists():
        network = CGCNNClassifier if task.is_class else CGCNNRegressor
        start = time.perf_counter()
        fitted = network(random_state=0).fit(graphs[train], target[train])
        joblib.dump({"model": fitted, "seconds": time.perf_counter() - start}, path)
    kept = joblib.load(path)
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
        "elements": _symbols(graphs[train]),
        "textbook crystals in the training set": _textbook_crystals_in(graphs[train]),
        "limits": "Crystals of inorganic compounds as in the data. Molecules and "
        "surfaces are extrapolations, and so are elements that are not listed.",
    }
    if task.is_class:
        return kept["model"], {
            **card,
            **_test_classes(kept["model"], graphs, y, others),
        }
    return _calibrated(kept["model"], graphs, y, train, others, card)


def _calibrated(
    network: Any,
    graphs: CrystalGraphs,
    y: NDArray[np.float64],
    train: NDArray[np.intp],
    others: NDArray[np.intp],
    card: dict[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """Return a model that predicts intervals, and its card with test results."""
    learn, rest = np.array_split(others, 2)
    spread = SpreadRegressor(FrozenEstimator(network), n_references=_N_REFERENCES)
    spread.fit(graphs[train], y[train], graphs[learn], y[learn])
    frozen = FrozenEstimator(spread)
    model = ConformalRegressor(frozen).fit(graphs[rest], y[rest])
    errors = np.abs(network.predict(graphs[others]) - y[others])
    coverage = []
    for seed in range(_N_SPLITS):
        order = np.random.RandomState(seed).permutation(rest)
        calibration, test = np.array_split(order, 2)
        some = ConformalRegressor(frozen).fit(graphs[calibration], y[calibration])
        low, high = some.predict_interval(graphs[test], _LEVEL).T
        coverage.append(np.mean((low <= y[test]) & (y[test] <= high)))
    mean = y[train].mean()
    return model, {
        **card,
        "mean absolute error": _rounded(errors.mean()),
        "median absolute error": _rounded(np.median(errors)),
        "mean absolute deviation of the property": _rounded(
            np.abs(y[others] - mean).mean()
        ),
        "coverage of 90 % intervals": round(float(np.mean(coverage)), 3),
    }


def _test_classes(
    model: Any, graphs: CrystalGraphs, y: NDArray[np.float64], rows: NDArray[np.intp]
) -> dict[str, Any]:
    """Return the area under the ROC curve, and the expected calibration error."""
    probabilities = model.predict_proba(graphs[rows])[:, 1]
    truth = y[rows]
    bins = np.array_split(np.argsort(probabilities), 15)
    gaps = [abs(probabilities[each].mean() - truth[each].mean()) for each in bins]
    sizes = [len(each) for each in bins]
    return {
        "area under the ROC curve": _rounded(roc_auc_score(truth, probabilities)),
        "accuracy": _rounded(np.mean((probabilities > 0.5) == truth)),
        "calibration error": _rounded(np.average(gaps, weights=sizes)),
    }


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
    path = FOLDER / f"{name}.safetensors"
    references = [each for each in textbook_crystals().values() if _knows(card, each)]
    save_model(model, path, card=card, reference=references)
    hashes = {
        file.stem: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(FOLDER.glob("*.safetensors"))
    }
    (FOLDER / HASHES).write_text(json.dumps(hashes, indent=1) + "\n")


def _knows(card: dict[str, Any], structure: Structure) -> bool:
    return set(structure.symbol_set) <= set(card["elements"])


def read(
    task: Task, data: Path, work: Path
) -> tuple[CrystalGraphs, NDArray[np.float64]]:
    """Return graphs and values of a task. Values that are unknown are NaN.

    Parameters
    ----------
    task : Task
        The task.
    data : Path
        Folder of the data.
    work : Path
        Folder of work.

    Returns
    -------
    graphs : CrystalGraphs
    y : ndarray of shape (n_crystals,)
    """
    stored = work / f"{task.dataset}.graphs"
    if (data / task.dataset).is_dir():
        table = pd.read_csv(data / task.dataset / "labels.csv.gz")
        y = table[task.column].to_numpy(dtype=float)
        if task.subset is not None:
            y = np.where(table[task.subset].astype(bool), y, np.nan)
        structures = None if stored.exists() else _unpacked(data / task.dataset)
    else:
        home = data / "matminer"
        bunch = fetch_matminer(task.dataset, target=task.column, data_home=home)
        structures, y = bunch.data, np.asarray(bunch.target, dtype=float)
    if not stored.exists():
        CrystalGraphFeaturizer(n_jobs=-1).transform(structures).save(stored)
    if task.is_logarithm:
        y = np.log10(y)
    return CrystalGraphs.load(stored), y


def _unpacked(folder: Path) -> list[Structure]:
    """Return the crystals of a file of arrays."""
    arrays = dict(np.load(folder / "structures.npz"))
    ends = np.cumsum(arrays["n_sites"], dtype=np.int64)[:-1]
    return [
        Structure(Lattice(lattice), numbers.tolist(), positions)
        for lattice, numbers, positions in zip(
            arrays["lattice"],
            np.split(arrays["atomic_numbers"], ends),
            np.split(arrays["frac_coords"], ends),
            strict=True,
        )
    ]


def _symbols(graphs: CrystalGraphs) -> list[str]:
    numbers = np.unique(graphs.atomic_numbers).tolist()
    return [Element.from_Z(number).symbol for number in numbers]


def _textbook_crystals_in(graphs: CrystalGraphs) -> list[str]:
    """Return the names of textbook crystals that are among others.

    These are crystals with the same formula and as many sites in the primitive cell,
    whose neighbors are as far away within 4 %, which is more than the error of DFT.
    """
    crystals = textbook_crystals()
    wanted = CrystalGraphFeaturizer().transform(list(crystals.values()))
    formulas = crystal_groups(graphs)
    lengths, own_lengths = map(_mean_log_lengths, (graphs, wanted))
    sites, own_sites = (np.diff(each.site_map_offsets) for each in (graphs, wanted))
    found = []
    for place, name in enumerate(crystals):
        is_equal = formulas == crystal_groups(wanted)[place]
        is_equal &= sites == own_sites[place]
        is_equal &= np.abs(lengths - own_lengths[place]) < _SAME_LENGTH
        if is_equal.any():
            found.append(name)
    return found


def _mean_log_lengths(graphs: CrystalGraphs) -> NDArray[np.float64]:
    centers = graphs.edge_index[0]
    owners = np.repeat(np.arange(len(graphs)), np.diff(graphs.site_offsets))[centers]
    counts = graphs.edge_weights * graphs.multiplicity[centers].astype(float)
    sums = np.bincount(owners, counts * np.log(graphs.distances), len(graphs))
    means: NDArray[np.float64] = sums / np.bincount(owners, counts, len(graphs))
    return means


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
