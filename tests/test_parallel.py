import multiprocessing

import joblib
import pytest

from sklearn_cgcnn import _parallel
from sklearn_cgcnn._parallel import n_processes_for


@pytest.fixture(autouse=True)
def _eight_processors(monkeypatch):
    monkeypatch.setattr(_parallel, "cpu_count", lambda: 8)


@pytest.mark.parametrize(
    ("n_items", "expected"), [(0, 1), (1, 1), (199, 1), (200, 2), (750, 7), (9999, 8)]
)
def test_processes_that_pay(n_items, expected):
    assert n_processes_for(None, n_items, 100) == expected


def test_a_number_is_taken_as_it_is():
    assert n_processes_for(1, 9999, 100) == 1
    assert n_processes_for(3, 9999, 100) == 3
    assert n_processes_for(3, 2, 100) == 2
    assert n_processes_for(-1, 9999, 100) == joblib.cpu_count()


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_a_context_of_joblib_is_followed(n_jobs):
    with joblib.parallel_config("loky", n_jobs=n_jobs):
        assert n_processes_for(None, 9999, 100) == n_jobs


def test_one_of_several_workers_starts_no_others():
    results = joblib.Parallel(n_jobs=2, backend="threading")(
        joblib.delayed(n_processes_for)(None, 9999, 100) for _ in range(2)
    )
    assert results == [1, 1]


def test_a_child_of_multiprocessing_starts_no_others(monkeypatch):
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "a process")
    assert n_processes_for(None, 9999, 100) == 1
