"""Compiled loops: the same estimator, computed in another way."""

import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from helpers import EQ_5, PARTS, TWO_LAYERS, outputs
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._ops import (
    _execution,
    _numba_layer_loops,
    _numba_loops,
    _numba_update_loops,
)
from sklearn_cgcnn._ops._threads import n_loop_threads, one_torch_thread
from sklearn_cgcnn._training import PackedDataset, _compilation, _net
from sklearn_cgcnn._training._compilation import is_worth_compiling
from sklearn_cgcnn.exceptions import TrainingDivergedError
from sklearn_cgcnn.inspection import site_contributions

pytestmark = pytest.mark.usefixtures("any_edges_for_threads")


@pytest.fixture(params=[1, 2])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def model(estimator_class):
    return estimator_class(**TWO_LAYERS)


@pytest.mark.parametrize("part", PARTS)
def test_compiled_it_learns_and_predicts_the_same(
    model, target, graphs, n_threads, part
):
    model.set_params(**PARTS[part])
    expected = clone(model).fit(graphs, target)
    compiled = clone(model).set_params(compile=True).fit(graphs, target)
    assert torch.get_num_threads() == n_threads
    found = [outputs(each, graphs) for each in (compiled, expected)]
    # In twelve steps last digits grow, though not by much.
    np.testing.assert_allclose(*found, rtol=0, atol=2e-3 * np.std(found[1]))
    np.testing.assert_allclose(
        compiled.loss_curve_, expected.loss_curve_, rtol=1e-3, atol=1e-5
    )
    # With the same weights there are none to grow.
    compiled.net_.compiled = False
    np.testing.assert_allclose(
        outputs(compiled, graphs), found[0], rtol=0, atol=1e-5 * np.std(found[0])
    )


# Those that threads share.
LOOPS = [
    (_numba_loops, "sum_messages"),
    (_numba_loops, "sum_gradients"),
    (_numba_layer_loops, "sum_covariances"),
    (_numba_layer_loops, "term_gradients"),
    (_numba_update_loops, "update_sites"),
    (_numba_update_loops, "update_sites_backward"),
]


@pytest.fixture
def ran(monkeypatch):
    """Names of the loops that have run, and the threads that they ran in."""
    found = set()

    def watch(module, name, loop):
        def run(*args):
            found.add((name, threading.get_ident()))
            loop(*args)

        monkeypatch.setattr(module, name, run)

    for module, name in LOOPS:
        watch(module, name, getattr(module, name))
    return found


@pytest.mark.parametrize(
    ("params", "others"), [({}, _numba_layer_loops), (EQ_5, _numba_update_loops)]
)
def test_loops_are_what_ran(graphs, ionic, n_threads, ran, params, others):
    model = CGCNNRegressor(**TWO_LAYERS, **params)
    model.fit(graphs, ionic.target).predict(graphs)
    assert not ran
    model.set_params(compile=True).fit(graphs, ionic.target)
    for module, loop in LOOPS:
        n_found = len([name for name, _ in ran if name == loop])
        assert n_found >= n_threads if module is not others else not n_found


@pytest.mark.parametrize("part", ["Eq. 4", "other activation"])
def test_where_there_are_no_loops_torch_keeps_its_threads(
    graphs, ionic, part, n_threads, seen
):
    model = CGCNNRegressor(compile=True, **TWO_LAYERS).set_params(**PARTS[part])
    model.fit(graphs, ionic.target).predict(graphs)
    assert {each[1:] for each in seen} == {(n_threads, None)}


def test_on_a_gpu_no_batch_is_taken_by_a_thread_of_its_own(graphs, ionic, n_threads):
    net = CGCNNRegressor(compile=True, **TWO_LAYERS).fit(graphs, ionic.target).net_
    net.device = "cuda"
    with net._execution(PackedDataset(graphs)):
        assert n_loop_threads.get() == 1
        assert torch.get_num_threads() == n_threads
    assert n_loop_threads.get() is None


def test_fits_at_the_same_time_get_the_same_threads():
    """And leave to torch what it had."""
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(1) as pool, one_torch_thread() as here:
            inside = one_torch_thread()
            there = pool.submit(inside.__enter__).result()
            assert (here, there) == (2, 2)
            pool.submit(inside.__exit__, None, None, None).result()
            assert pool.submit(torch.get_num_threads).result() == 2
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_contributions_of_sites(graphs, ionic, n_threads):
    model = CGCNNRegressor(readout="site", compile=True, **TWO_LAYERS)
    model.fit(graphs, ionic.target)
    means = [each.mean() for each in site_contributions(model, graphs)]
    np.testing.assert_allclose(means, model.predict(graphs), rtol=1e-5)


@pytest.fixture
def seen(monkeypatch):
    """The thread that inferred, torch's threads then, and those for loops."""
    found, infer = [], _net.CrystalNet.infer

    def look(*args):
        found.append(
            (threading.get_ident(), torch.get_num_threads(), n_loop_threads.get())
        )
        time.sleep(0.001)  # so that no thread takes all
        return infer(*args)

    monkeypatch.setattr(_net.CrystalNet, "infer", look)
    return found


def test_threads_take_a_batch_each(graphs, ionic, n_threads, monkeypatch, seen):
    model = CGCNNRegressor(compile=True, **TWO_LAYERS).fit(graphs, ionic.target)
    assert {each[1:] for each in seen} == {(1, n_threads)}
    seen.clear()
    expected = model.predict(graphs)  # in a single batch
    assert {each[1:] for each in seen} == {(1, n_threads)}
    seen.clear()
    monkeypatch.setitem(_net._MAX_EDGES, "cpu", 50)
    np.testing.assert_allclose(model.predict(graphs), expected, rtol=1e-5)
    assert {each[1:] for each in seen} == {(1, 1)}
    assert len({each[0] for each in seen}) == n_threads
    assert torch.get_num_threads() == n_threads
    assert torch.is_grad_enabled()


class PredictEachEpoch(Callback):
    def on_epoch_end(self, net, dataset_train, **kwargs):
        net.predict_batches(dataset_train)


def test_predictions_within_a_training_change_nothing(
    graphs, ionic, n_threads, monkeypatch, seen
):
    monkeypatch.setitem(_net._MAX_EDGES, "cpu", 50)
    model = CGCNNRegressor(compile=True, callbacks=[PredictEachEpoch()], **TWO_LAYERS)
    model.fit(graphs, ionic.target)
    assert {each[1:] for each in seen} == {(1, n_threads), (1, 1)}
    assert seen[-1][1:] == (1, n_threads)
    assert torch.get_num_threads() == n_threads


@pytest.mark.usefixtures("n_threads")
def test_the_same_again(graphs, ionic):
    """Bit by bit, with the same number of threads."""
    model = CGCNNRegressor(compile=True, **TWO_LAYERS)
    first = clone(model).fit(graphs, ionic.target).predict(graphs)
    again = clone(model).fit(graphs, ionic.target).predict(graphs)
    np.testing.assert_array_equal(first, again)


def test_a_failure_gives_the_threads_back(graphs, ionic):
    torch.set_num_threads(2)
    try:
        diverging = CGCNNRegressor(**TWO_LAYERS, compile=True, optimizer="sgd", lr=1e30)
        with pytest.raises(TrainingDivergedError):
            diverging.fit(graphs, ionic.target)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_in_a_search_with_processes(graphs, ionic):
    search = GridSearchCV(
        CGCNNRegressor(compile=True, **TWO_LAYERS), {"lr": [1e-3, 1e-2]}, cv=2, n_jobs=2
    )
    here = clone(search).set_params(n_jobs=None).fit(graphs, ionic.target)
    there = search.fit(graphs, ionic.target)
    scores = [each.cv_results_["mean_test_score"] for each in (here, there)]
    np.testing.assert_allclose(*scores, rtol=1e-3)


@pytest.fixture
def without_numba(monkeypatch):
    monkeypatch.setattr(_execution, "_has_numba", lambda: False)


@pytest.mark.usefixtures("without_numba")
def test_without_numba_the_remedy_is_named(model, target, graphs):
    before = outputs(model.fit(graphs, target), graphs)
    model.set_params(compile=True)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ImportError, match=r'compile=True.*pip install.*="auto"'):
            method(graphs, target)
    np.testing.assert_array_equal(outputs(model, graphs), before)


def test_without_numba_a_model_predicts(model, target, graphs, request):
    model.set_params(compile=True).fit(graphs, target)
    expected = outputs(model, graphs)
    stored = pickle.dumps(model)
    request.getfixturevalue("without_numba")
    for each in (model, pickle.loads(stored)):
        np.testing.assert_allclose(outputs(each, graphs), expected, rtol=1e-4)


def test_a_pickle_stays_compiled(graphs, ionic):
    model = CGCNNRegressor(compile=True, **TWO_LAYERS).fit(graphs, ionic.target)
    twin = pickle.loads(pickle.dumps(model))
    assert twin.net_.compiled
    np.testing.assert_array_equal(twin.predict(graphs), model.predict(graphs))


def test_a_child_process_has_threads_of_its_own():
    script = """
import multiprocessing, torch
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._ops import _numba_edges
from sklearn_cgcnn.datasets import make_ionic_crystals

torch.set_num_threads(2)
_numba_edges._LEAST_EDGES_A_THREAD = 1
X, y = make_ionic_crystals(8, random_state=0, return_X_y=True)
model = CGCNNRegressor(compile=True, max_epochs=2, random_state=0).fit(X, y)
with multiprocessing.get_context("fork").Pool(1) as pool:
    there = pool.apply_async(model.predict, (X,)).get(timeout=60)
assert abs(there - model.predict(X)).max() < 1e-4
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_partial_fit_changes_over(graphs, ionic):
    """To compile or not may be chosen anew for each epoch."""
    model = CGCNNRegressor(**TWO_LAYERS).partial_fit(graphs, ionic.target)
    for compiled in (True, False):
        model.set_params(compile=compiled).partial_fit(graphs, ionic.target)
        assert model.net_.compiled == compiled
    assert model.n_iter_ == 3


@pytest.fixture
def for_any_work(monkeypatch):
    monkeypatch.setattr(_compilation, "_LEAST_SAVED", 0)


@pytest.mark.usefixtures("for_any_work")
def test_auto_is_what_it_chooses(model, target, graphs):
    found = outputs(clone(model).fit(graphs, target), graphs)
    expected = outputs(model.set_params(compile=True).fit(graphs, target), graphs)
    np.testing.assert_array_equal(found, expected)
    eager = outputs(model.set_params(compile=False).fit(graphs, target), graphs)
    assert (found != eager).any()


def test_auto_does_not_compile_for_little_work(model, target, graphs):
    found = outputs(clone(model).fit(graphs, target), graphs)
    expected = outputs(model.set_params(compile=False).fit(graphs, target), graphs)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("for_any_work", "without_numba")
def test_auto_needs_no_numba(model, target, graphs):
    test_auto_does_not_compile_for_little_work(model, target, graphs)


def test_auto_does_not_compile_where_nothing_gains(graphs, ionic):
    model = CGCNNRegressor(conv="shared", **TWO_LAYERS)
    with mock.patch.object(_net, "is_worth_compiling") as asked:
        model.fit(graphs, ionic.target)
    asked.assert_not_called()


@pytest.mark.parametrize(
    ("n_epochs", "n_steps", "expected"),
    [(1, 10, False), (300, 10, True), (1, 3000, True), (0, 3000, False)],
)
def test_work_decides(graphs, n_epochs, n_steps, expected):
    dataset = PackedDataset(graphs)
    cpu = torch.device("cpu")
    assert is_worth_compiling(dataset, cpu, n_epochs, n_steps) is expected
    gpu = torch.device("cuda")
    assert not is_worth_compiling(dataset, gpu, n_epochs, n_steps)


def test_many_edges_are_worth_it(graphs):
    dataset, cpu = PackedDataset(graphs), torch.device("cpu")
    assert not is_worth_compiling(dataset, cpu, 0, 0)
    dataset.sizes = dataset.sizes * (10**7 // dataset.n_edges)
    assert is_worth_compiling(dataset, cpu, 0, 0)
    assert is_worth_compiling(dataset, cpu, 1, 1)
