"""Cross-validation and searches: on structures, on graphs, in a Pipeline."""

import pickle

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer

SMALL = {
    "n_site_channels": 8,
    "n_hidden_channels": 8,
    "max_epochs": 3,
    "random_state": 0,
}
GRID = {"n_conv_layers": [1, 2], "lr": [3e-3, 1e-2]}


def search(kind, structures):
    """A search over the same models, given the crystals in one form or another."""
    model = CGCNNRegressor(**SMALL)
    if kind == "structures":
        return GridSearchCV(model, GRID, cv=3, n_jobs=2), structures
    if kind == "graphs":
        graphs = CrystalGraphFeaturizer().transform(structures)
        return GridSearchCV(model, GRID, cv=3, n_jobs=2), graphs
    pipeline = Pipeline([("featurize", CrystalGraphFeaturizer()), ("model", model)])
    grid = {f"model__{name}": values for name, values in GRID.items()}
    return GridSearchCV(pipeline, grid, cv=3, n_jobs=2), structures


@pytest.fixture(scope="module")
def alone(ionic):
    """The same search by hand, without processes."""
    model = CGCNNRegressor(**SMALL)
    graphs = CrystalGraphFeaturizer().transform(ionic.data)
    return [
        cross_val_score(
            model.set_params(lr=lr, n_conv_layers=n), graphs, ionic.target, cv=3
        )
        for lr in GRID["lr"]
        for n in GRID["n_conv_layers"]
    ]


@pytest.mark.parametrize("kind", ["structures", "graphs", "pipeline"])
def test_grid_search(kind, ionic, alone):
    grid, X = search(kind, ionic.data)
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


def test_memory_mapped_graphs_in_workers(ionic, tmp_path):
    from sklearn_cgcnn.graphs import CrystalGraphs

    graphs = CrystalGraphFeaturizer().transform(ionic.data)
    graphs.save(tmp_path / "graphs")
    mapped = CrystalGraphs.load(tmp_path / "graphs", mmap_mode="r")
    model = CGCNNRegressor(**SMALL)
    np.testing.assert_array_equal(
        cross_val_score(model, mapped, ionic.target, cv=2, n_jobs=2),
        cross_val_score(model, graphs, ionic.target, cv=2),
    )
