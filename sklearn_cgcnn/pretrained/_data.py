"""Graphs and properties of the crystals that models are trained on."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import fetch_matminer, iter_packed_arrays
from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.pretrained._tasks import Task

# What the files call the arrays.
_NAMES = {
    "numbers": "atomic_numbers",
    "cell": "lattice",
    "scaled_positions": "frac_coords",
}


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
        Work folder, which keeps the graphs.

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
        entries = iter_packed_arrays(
            data / task.dataset / "structures.npz", names=_NAMES
        )
        structures = (entry.crystal for entry in entries)
    else:
        home = data / "matminer"
        bunch = fetch_matminer(task.dataset, target=task.column, data_home=home)
        structures, y = bunch.data, np.asarray(bunch.target, dtype=float)
    if not stored.exists():
        CrystalGraphFeaturizer(n_jobs=-1).transform(structures).save(stored)
    if task.is_logarithm:
        y = np.log10(y)
    return CrystalGraphs.load(stored), y
