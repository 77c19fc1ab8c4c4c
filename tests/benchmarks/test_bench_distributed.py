"""Searches on a dask cluster of which a worker is killed, and what they send.

Run by ``tox run -e bench -- -k distributed``. In each search, a worker kills itself
when a random one of the fits begins. The scores must be those of one process.
"""

import cloudpickle
import distributed
import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from helpers import SMALL
from lost_workers import GRID, kill_at, splits_of
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.distributed import recoverable

N_KILLS = 5
CRYSTALS = make_ionic_crystals(600, random_state=0)


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        processes=True, n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster


def unchanged(client):
    return client


def search_with(callbacks):
    model = CGCNNRegressor(**SMALL, callbacks=callbacks)
    return GridSearchCV(model, GRID, cv=3, refit=False)


@pytest.mark.parametrize("prepare", [recoverable, unchanged])
def test_distributed_searches_lose_a_worker(cluster, prepare, tmp_path):
    graphs = CrystalGraphFeaturizer().transform(CRYSTALS.data)
    expected = splits_of(search_with(None).fit(graphs, CRYSTALS.target))
    rng, outcomes = np.random.RandomState(0), []
    for number in rng.randint(9, size=N_KILLS).tolist():
        folder = tmp_path / str(len(outcomes))
        folder.mkdir()
        search = search_with([kill_at(number, folder)])
        with distributed.Client(cluster) as client:
            client.wait_for_workers(2)
            try:
                with joblib.parallel_config("dask", client=prepare(client)):
                    search.fit(graphs, CRYSTALS.target)
            except Exception as error:  # noqa: BLE001
                outcomes.append(type(error).__name__)
            else:
                outcomes.append(splits_of(search) == expected)
    print(f"\n{prepare.__name__}: equal to one process, or the error: {outcomes}")
    assert prepare is not recoverable or outcomes == [True] * N_KILLS


def test_distributed_tasks_are_small(cluster, monkeypatch):
    graphs = CrystalGraphFeaturizer().transform(CRYSTALS.data)
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2)  # with a single one, joblib computes here
        sizes, submit = [], recoverable(client).submit

        def recorded(*args, tasks=None, **kwargs):
            if tasks is None:
                return submit(*args, **kwargs)
            sent = [[*each[1], *each[2].values()] for each in tasks]
            inline = [
                [x for x in each if not isinstance(x, distributed.Future)]
                for each in sent
            ]
            sizes.append(len(cloudpickle.dumps(inline)))
            return submit(*args, tasks=tasks, **kwargs)

        monkeypatch.setattr(client, "submit", recorded)
        with joblib.parallel_config("dask", client=client):
            search_with(None).fit(graphs, CRYSTALS.target)
    print(
        f"\na task has {max(sizes)} bytes beside the data that tasks share, of which "
        f"the graphs have {len(cloudpickle.dumps(graphs))}"
    )
