"""Work that is divided among threads."""

import time

import pytest
import torch

from sklearn_cgcnn._ops._threads import (
    map_in_threads,
    run_over_ranges,
    split_evenly,
    sum_over_ranges,
)


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_map_in_threads_keeps_the_order(n_threads):
    assert map_in_threads(lambda x: x * x, range(50), n_threads) == [
        x * x for x in range(50)
    ]
    assert map_in_threads(str, [], n_threads) == []


@pytest.mark.parametrize("n_threads", [1, 3])
def test_map_in_threads_takes_an_item_only_when_a_thread_is_free(n_threads):
    taken, done, most = [], [], []

    def items():
        for x in range(20):
            taken.append(x)
            yield x

    def work(x):
        most.append(len(taken) - len(done))
        done.append(x)

    map_in_threads(work, items(), n_threads)
    assert len(done) == 20
    assert max(most) <= n_threads


@pytest.mark.parametrize("n_threads", [1, 3])
def test_map_in_threads_raises_what_was_raised(n_threads):
    with pytest.raises(ZeroDivisionError):
        map_in_threads(lambda x: 1 / x, [2, 1, 0, 1], n_threads)


def test_map_in_threads_stops_at_a_failure():
    done = []

    def work(x):
        if x == 0:
            raise ZeroDivisionError
        time.sleep(0.01)
        done.append(x)

    with pytest.raises(ZeroDivisionError):
        map_in_threads(work, range(100), 2)
    assert len(done) < 50


@pytest.mark.parametrize(("n_rows", "n_ranges"), [(10, 1), (10, 3), (2, 5), (0, 2)])
def test_split_evenly(n_rows, n_ranges):
    ranges = split_evenly(n_rows, n_ranges)
    assert [row for each in ranges for row in range(*each)] == list(range(n_rows))
    lengths = [stop - start for start, stop in ranges]
    assert len(lengths) == n_ranges
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("n_ranges", [1, 2, 5])
def test_ranges_are_processed_without_gradients_and_in_order(n_ranges):
    def work(start, stop):
        assert not torch.is_grad_enabled()
        return torch.arange(start, stop).sum()[None]

    ranges = split_evenly(20, n_ranges)
    results = run_over_ranges(work, ranges)
    assert [int(each) for each in results] == [sum(range(*each)) for each in ranges]
    assert sum_over_ranges(work, ranges).tolist() == [190]
    assert torch.is_grad_enabled()
