"""Work shared among threads."""

import time

import pytest

from sklearn_cgcnn._parallel import map_in_threads


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_map_in_threads_keeps_the_order(n_threads):
    assert map_in_threads(lambda x: x * x, range(50), n_threads) == [
        x * x for x in range(50)
    ]
    assert map_in_threads(str, [], n_threads) == []


@pytest.mark.parametrize("n_threads", [1, 3])
def test_map_in_threads_takes_no_item_before_its_time(n_threads):
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
