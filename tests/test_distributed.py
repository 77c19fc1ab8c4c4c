"""On a dask cluster of two processes: the results of one, also if a worker is lost."""

from functools import partial

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from helpers import SMALL, assert_same_weights
from lost_workers import GRID, kill_at, splits_of
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.distributed import recoverable
from sklearn_cgcnn.graphs import AnyGraphs
from sklearn_cgcnn.streams import iter_predictions

dask = pytest.importorskip("dask", reason="dask is not installed")
distributed = pytest.importorskip("distributed", reason="distributed is not installed")


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            processes=True,
            n_workers=2,
            threads_per_worker=1,
            resources={"GPU": 1},
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield recoverable(client)


@pytest.fixture
def on_cluster(client):
    """The context in which joblib uses the cluster."""
    return partial(joblib.parallel_config, "dask", client=client)


@pytest.fixture(scope="module")
def stored(ionic, tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "graphs"
    return CrystalGraphFeaturizer().transform_to_disk(ionic.data, path, shard_size=20)


@pytest.fixture(scope="module")
def serial(ionic, graphs):
    """The search in this process."""
    return GridSearchCV(CGCNNRegressor(**SMALL), GRID, cv=3).fit(graphs, ionic.target)


def test_a_search_sends_its_graphs_once(
    on_cluster, client, serial, ionic, graphs, monkeypatch
):
    sent, submit = [], client.submit

    def recorded(function, *args, tasks=(), **kwargs):
        sent.extend([*args, *(each for task in tasks for each in task[1])])
        return submit(function, *args, **kwargs, **({"tasks": tasks} if tasks else {}))

    monkeypatch.setattr(client, "submit", recorded)
    search = GridSearchCV(CGCNNRegressor(**SMALL), GRID, cv=3)
    # As workers with a GPU are asked for: see the documentation.
    with on_cluster(resources={"GPU": 1}):
        search.fit(graphs, ionic.target)
    assert sum(isinstance(each, AnyGraphs) for each in sent) == 1
    assert splits_of(search) == splits_of(serial)
    assert_same_weights(search.best_estimator_, serial.best_estimator_)


def test_cross_validation(on_cluster, ionic, graphs, stored):
    model = CGCNNRegressor(**SMALL)
    pipeline = make_pipeline(CrystalGraphFeaturizer(n_jobs=1), model)
    expected = cross_val_score(model, graphs, ionic.target, cv=3)
    with on_cluster():
        for each, X in ((model, stored), (pipeline, ionic.data)):
            found = cross_val_score(each, X, ionic.target, cv=3)
            np.testing.assert_array_equal(found, expected)


def test_featurization(on_cluster, ionic, tmp_path):
    structures = ionic.data * 3
    expected = CrystalGraphFeaturizer().transform(structures)
    with on_cluster():
        graphs = CrystalGraphFeaturizer().transform(structures)
        on_disk = CrystalGraphFeaturizer().transform_to_disk(
            iter(structures), tmp_path / "graphs", shard_size=150
        )
    assert joblib.hash(graphs) == joblib.hash(expected)
    assert joblib.hash(on_disk.to_memory()) == joblib.hash(expected)


def test_predictions(on_cluster, client, ionic, graphs, stored):
    import dask.bag

    model = CGCNNRegressor(**SMALL).fit(graphs, ionic.target)
    expected = model.predict(graphs)

    def predict(crystals, model):
        return [each.value for each in iter_predictions(model, crystals)]

    shared = dask.delayed(model)
    bag = dask.bag.from_sequence(ionic.data, npartitions=3)
    found = client.compute(bag.map_partitions(predict, model=shared)).result()
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    found = np.empty(len(stored))
    positions = stored.positions_by_shard()
    parts = [shared.predict(stored[each]) for each in positions]
    for rows, part in zip(positions, dask.compute(*parts), strict=True):
        found[rows] = part
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    with on_cluster():
        found = [each.value for each in iter_predictions(model, iter(ionic.data))]
    np.testing.assert_array_equal(found, expected)


def test_a_lost_worker(on_cluster, serial, ionic, graphs, tmp_path):
    model = CGCNNRegressor(**SMALL, callbacks=[kill_at(4, tmp_path)])
    search = GridSearchCV(model, GRID, cv=3, refit=False)
    with on_cluster():
        search.fit(graphs, ionic.target)
    assert len(list(tmp_path.iterdir())) > 9  # one of nine fits began twice
    assert splits_of(search) == splits_of(serial)
