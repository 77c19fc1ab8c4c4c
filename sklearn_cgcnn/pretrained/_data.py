"""Graphs and properties of the crystals that models are trained on."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import fetch_matminer
from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.pretrained._tasks import Task


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
