"""Tasks that the training recipe is chosen on, and the parts that test it at the end.

Every task has official parts, which are used once, to state how well the recipe does.
To choose the recipe, crystals for validation are taken from the first training part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from finished_fits import kept_in_file
from real_crystals import load_structures
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import fetch_matminer
from sklearn_cgcnn.metrics import mean_absolute_error


@dataclass(frozen=True)
class Task:
    """A property to learn.

    Attributes
    ----------
    dataset : str
        A folder with crystals, or the name of a dataset of matminer.
    target : str
        Name of the property in the dataset.
    unit : str
        Unit of the error.
    transform : callable, default=numpy.asarray
        Applied to the values.
    subset : str or None, default=None
        Label that is true for the crystals of the task. None takes all.
    is_classification : bool, default=False
        Whether the values are classes.
    """

    dataset: str
    target: str
    unit: str
    transform: Callable = np.asarray
    subset: str | None = None
    is_classification: bool = False

    @property
    def has_official_folds(self):
        """Whether Matbench gives five folds, instead of a single split."""
        return self.dataset not in {"materials_project", "elastic"}

    def make_model(self, **params):
        """Create an estimator."""
        kind = CGCNNClassifier if self.is_classification else CGCNNRegressor
        return kind(**params)

    def error(self, model, graphs, y):
        """Mean absolute error, or one minus the area under the ROC curve."""
        if self.is_classification:
            return 1 - roc_auc_score(y, model.predict_proba(graphs)[:, 1])
        return mean_absolute_error(y, model.predict(graphs))


ELEMENTARY = "materials_project"
TASKS = {
    "formation": Task(ELEMENTARY, "formation_energy_per_atom", "eV/atom"),
    "absolute": Task(ELEMENTARY, "energy_per_atom", "eV/atom"),
    "fermi": Task(ELEMENTARY, "efermi", "eV"),
    "gap": Task(ELEMENTARY, "band_gap", "eV", subset="in_band_gap_set"),
    "metal": Task(ELEMENTARY, "is_metal", "1 - AUC", is_classification=True),
    "bulk": Task("elastic", "K_VRH_GPa", "log10(GPa)", np.log10),
    "shear": Task("elastic", "G_VRH_GPa", "log10(GPa)", np.log10),
    "poisson": Task("elastic", "poisson_ratio", ""),
    "perovskites": Task("perovskites", "e_form", "eV/cell"),
    "phonons": Task("matbench_phonons", "last phdos peak", "1/cm"),
    "jdft2d": Task("jarvis_dft_2d", "exfoliation_en", "meV/atom"),
}


class Tasks:
    """Tasks with their crystals. Each dataset is read and featurized once.

    Parameters
    ----------
    folder : Path
        Where the datasets are.
    cache : Path or None, default=None
        Folder that graphs are kept in.
    limit : int or None, default=None
        Number of crystals that are used of each dataset, to try out what takes long.
        None uses all.
    """

    def __init__(self, folder, *, cache=None, limit=None):
        self._folder, self._cache, self._limit = folder, cache, limit
        self._graphs = {}

    def data(self, name, featurizer=None):
        """Return graphs, values, and the official parts as (train, test) positions."""
        task = TASKS[name]
        y = self._values(task.dataset, task.target)
        known = np.isfinite(y)
        if task.has_official_folds:
            rows = np.flatnonzero(known)
            folds = KFold(5, shuffle=True, random_state=18012019)
            parts = [(rows[train], rows[test]) for train, test in folds.split(rows)]
        else:
            order = np.random.RandomState(0).permutation(len(y))
            n_train = 22_042 if task.dataset == ELEMENTARY else int(0.75 * len(y))
            parts = [(order[:n_train], order[n_train:])]
        if task.subset is not None:
            known &= self._values(task.dataset, task.subset).astype(bool)
        known[self._limit :] &= self._limit is None
        parts = [tuple(part[known[part]] for part in both) for both in parts]
        values = np.full(len(y), np.nan)
        values[known] = task.transform(y[known])
        return self._graphs_of(task, featurizer), values, parts

    def _graphs_of(self, task, featurizer):
        """Return the graphs of a dataset, from memory or from the cache if possible."""
        featurizer = featurizer or CrystalGraphFeaturizer(n_jobs=-1)
        settings = joblib.hash({**featurizer.get_params(), "n_jobs": None})
        key = f"{task.dataset} {self._limit or 'all'} {settings[:8]}"
        if key not in self._graphs:
            path = None if self._cache is None else self._cache / f"{key}.joblib"
            self._graphs[key] = kept_in_file(
                path,
                lambda: featurizer.transform(
                    self._structures(task.dataset, task.target)[: self._limit]
                ),
            )
        return self._graphs[key]

    def validation_parts(self, name, seed, size=None, featurizer=None):
        """Return graphs, values, and positions to train on and to validate with.

        At most `size` crystals are for training. None means no limit. In a small set,
        each seed validates with another fifth. In a large set, all seeds validate with
        the same sixth, and differ in the network alone.
        """
        graphs, y, ((train, _), *_) = self.data(name, featurizer)
        train = np.random.RandomState(1).permutation(train)
        if len(train) > 5_000:
            n_kept = len(train) * 5 // 6
            return graphs, y, train[:n_kept][:size], train[n_kept:]
        kept, held_out = list(KFold(5).split(train))[seed % 5]
        return graphs, y, train[kept][:size], train[held_out]

    def structures(self, name):
        """Return the structures of a task, in the order of its values."""
        return self._structures(TASKS[name].dataset, TASKS[name].target)

    def _is_folder(self, dataset):
        return (self._folder / dataset).is_dir()

    def _structures(self, dataset, target):
        if not self._is_folder(dataset):
            return self._fetch(dataset, target).data
        return load_structures(self._folder / dataset)

    def _values(self, dataset, label):
        if not self._is_folder(dataset):
            return np.asarray(self._fetch(dataset, label).target, dtype=float)
        labels = pd.read_csv(self._folder / dataset / "labels.csv.gz")
        return labels[label].to_numpy(dtype=float)

    def _fetch(self, dataset, target):
        home = self._folder / "matminer"
        return fetch_matminer(dataset, target=target, data_home=home)
