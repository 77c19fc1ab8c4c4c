"""Cross-validation and searches: on structures, on graphs, in a Pipeline."""

import pickle

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import SMALL
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.graphs import CrystalGraphs

GRID = {"n_conv_layers": [1, 2], "lr": [3e-3, 1e-2]}


def search(kind, structures, graphs):
    """A search over the same models, given the crystals in one form or another."""
    model = CGCNNRegressor(**SMALL)
    if kind == "structures":
        return GridSearchCV(model, GRID, cv=3, n_jobs=2), structures
    if kind == "graphs":
        return GridSearchCV(model, GRID, cv=3, n_jobs=2), graphs
    pipeline = Pipeline([("featurize", CrystalGraphFeaturizer()), ("model", model)])
    grid = {f"model__{name}": values for name, values in GRID.items()}
    return GridSearchCV(pipeline, grid, cv=3, n_jobs=2), structures


@pytest.fixture(scope="module")
def alone(ionic, graphs):
    """The same search by hand, without processes."""
    model = CGCNNRegressor(**SMALL)
    return [
        cross_val_score(
            model.set_params(lr=lr, n_conv_layers=n), graphs, ionic.target, cv=3
        )
        for lr in GRID["lr"]
        for n in GRID["n_conv_layers"]
    ]


@pytest.mark.parametrize("kind", ["structures", "graphs", "pipeline"])
def test_grid_search(kind, ionic, graphs, alone):
    grid, X = search(kind, ionic.data, graphs)
    grid.fit(X, ionic.target)
    found = [grid.cv_results_[f"split{k}_test_score"] for k in range(3)]
    np.testing.assert_allclose(np.transpose(found), alone, rtol=1e-12)
    best = pickle.loads(pickle.dumps(grid.best_estimator_))
    np.testing.assert_array_equal(best.predict(X), grid.predict(X))


def test_search_over_the_featurizer(ionic):
    grid = GridSearchCV(
        CGCNNRegressor(featurizer=CrystalGraphFeaturizer(), **SMALL),
        {"featurizer__max_neighbors": [4, 12], "edge_basis": ["gaussian", "one-hot"]},
        cv=2,
        error_score="raise",
    )
    grid.fit(ionic.data, ionic.target)
    best = grid.best_params_["featurizer__max_neighbors"]
    assert grid.best_estimator_.featurizer_.max_neighbors == best


def test_cross_validated_classifier_in_a_pipeline(ionic):
    pipeline = make_pipeline(CrystalGraphFeaturizer(), CGCNNClassifier(**SMALL))
    scores = cross_val_score(
        pipeline,
        ionic.data,
        ionic.prototype,
        cv=KFold(3, shuffle=True, random_state=0),
        scoring="neg_log_loss",
        error_score="raise",
    )
    assert np.isfinite(scores).all()


def test_memory_mapped_graphs_in_workers(ionic, graphs, tmp_path):
    graphs.save(tmp_path / "graphs")
    mapped = CrystalGraphs.load(tmp_path / "graphs", mmap_mode="r")
    model = CGCNNRegressor(**SMALL)
    np.testing.assert_array_equal(
        cross_val_score(model, mapped, ionic.target, cv=2, n_jobs=2),
        cross_val_score(model, graphs, ionic.target, cv=2),
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda model: BaggingRegressor(model, n_estimators=2, random_state=0),
        lambda model: AdaBoostRegressor(model, n_estimators=2, random_state=0),
        lambda model: VotingRegressor([("a", model), ("b", model)]),
        lambda model: StackingRegressor([("a", model), ("b", model)], cv=2),
        lambda model: TransformedTargetRegressor(model, transformer=StandardScaler()),
        lambda model: HalvingGridSearchCV(
            model, {"lr": [3e-3, 1e-2]}, cv=2, min_resources=20, random_state=0
        ),
        lambda model: RandomizedSearchCV(
            model, {"lr": [3e-3, 1e-2]}, n_iter=2, cv=2, random_state=0
        ),
    ],
    ids=[
        "bagging",
        "boosting",
        "voting",
        "stacking",
        "transformed target",
        "halving search",
        "random search",
    ],
)
def test_ensembles_and_searches_on_graphs(ionic, graphs, make):
    model = make(CGCNNRegressor(**SMALL)).fit(graphs, ionic.target)
    assert np.isfinite(model.predict(graphs[:5])).all()


def test_calibrated_probabilities(ionic, graphs):
    y = ionic.target < -8
    model = CalibratedClassifierCV(CGCNNClassifier(**SMALL), cv=2).fit(graphs, y)
    assert model.predict_proba(graphs).shape == (60, 2)
