"""The default on few crystals, against models that learn from descriptors.

Run by ``tox run -e bench -- -k few``. ``FEW_SIZES`` and ``FEW_DRAWS`` say how many
crystals are drawn for training, and how often; ``FEW_PARAMS`` has parameters of the
network as JSON. Draws and test crystals come from training parts (`recipe_tasks`), so
that the recipe may be chosen by what this prints.
"""

import json
import os

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from finished_fits import asked_for
from recipe_tasks import TASKS, Tasks
from sklearn_cgcnn.metrics import mean_absolute_error

N_POOL, N_TEST = 1_200, 400


def describe(structures):
    """Return matminer's descriptors of composition (Magpie) and density."""
    from matminer.featurizers.composition import ElementProperty
    from matminer.featurizers.structure import DensityFeatures

    magpie = ElementProperty.from_preset("magpie", impute_nan=True)
    density = DensityFeatures()
    rows = [
        magpie.featurize(each.composition) + density.featurize(each)
        for each in structures
    ]
    return np.array(rows, dtype=float)


def prepared(model):
    """Return a pipeline that scales descriptors for a model."""
    return make_pipeline(SimpleImputer(), StandardScaler(), model)


def kernel_ridge():
    """Return a search over kernel ridge regressions."""
    grid = {"alpha": np.logspace(-4, 1, 6), "gamma": np.logspace(-4, -1, 7)}
    return GridSearchCV(
        KernelRidge(kernel="rbf"), grid, cv=5, scoring="neg_mean_absolute_error"
    )


DESCRIPTOR_MODELS = {
    "ridge": lambda: prepared(RidgeCV(np.logspace(-2, 5, 15))),
    "random forest": lambda: prepared(RandomForestRegressor(300, random_state=0)),
    "kernel ridge": lambda: prepared(kernel_ridge()),
}


def errors_of_draw(task, graphs, descriptors, y, train, test, params):
    """Return the error of each model, trained on the same crystals."""
    mean, scale = y[train].mean(), y[train].std()
    errors = {}
    for name, make in DESCRIPTOR_MODELS.items():
        model = make().fit(descriptors[train], (y[train] - mean) / scale)
        predicted = mean + scale * model.predict(descriptors[test])
        errors[name] = mean_absolute_error(y[test], predicted)
    network = task.make_model(**params).fit(graphs[train], y[train])
    errors["CGCNN"] = mean_absolute_error(y[test], network.predict(graphs[test]))
    return errors


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["bulk", "shear", "phonons", "perovskites", "formation"]
)
def test_few_crystals(data_folder, name):
    tasks = Tasks(data_folder)
    graphs, y, pool, test = tasks.validation_parts(name, 0)
    pool, test = pool[:N_POOL], test[:N_TEST]
    rows = np.concatenate([pool, test])
    structures = tasks.structures(name)
    described = describe([structures[row] for row in rows])
    descriptors = np.full((len(y), described.shape[1]), np.nan)
    descriptors[rows] = described
    task, params = TASKS[name], json.loads(os.environ.get("FEW_PARAMS", "{}"))
    print()
    for size in map(int, asked_for("FEW_SIZES", "50,500")):
        draws = []
        for seed in range(int(os.environ.get("FEW_DRAWS", "10"))):
            train = np.random.RandomState(seed).permutation(pool)[:size]
            own = {"random_state": seed, **params}
            draws.append(errors_of_draw(task, graphs, descriptors, y, train, test, own))
        for model in draws[0]:
            errors = np.array([draw[model] for draw in draws])
            spread = errors.std(ddof=1) / len(errors) ** 0.5
            print(
                f"{name:12s} {size:4d} crystals  {model:14s} "
                f"{errors.mean():.4g} ± {spread:.2g} {task.unit}"
            )
