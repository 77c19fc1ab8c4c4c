"""Buffers that are used again."""

import gc
import threading

import numpy as np
import pytest
import torch

from sklearn_cgcnn._ops import _numba_buffers, execution
from sklearn_cgcnn._ops._numba_buffers import Buffer, free_buffers


@pytest.fixture(autouse=True)
def nothing_held():
    gc.collect()
    free_buffers()
    yield
    free_buffers()


def address(buffer):
    return buffer.array.__array_interface__["data"][0]


def test_memory_is_used_again_after_the_last_reference():
    first = Buffer(1000, 300)
    where = address(first)
    del first
    second = Buffer(900, 300)
    assert second.array.shape == (900, 300)
    assert address(second) == where


def test_the_smallest_that_suffices_is_taken():
    small, large = Buffer(1000, 300), Buffer(9000, 300)
    where = address(small)
    del small, large
    assert address(Buffer(10, 300)) == where


def test_no_two_buffers_share_memory():
    buffers = [Buffer(n, 7) for n in (0, 1, 50_000, 3, 0, 50_000)]
    for number, buffer in enumerate(buffers):
        buffer.array[:] = number
    for number, buffer in enumerate(buffers):
        assert (buffer.array == number).all()


def test_threads_do_not_share_memory():
    failures = []

    def work(number):
        for n_rows in np.random.RandomState(number).randint(1, 5000, 200):
            buffer = Buffer(int(n_rows), 100)
            buffer.array[:] = number
            if not (buffer.array == number).all():
                failures.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_little_is_held(monkeypatch):
    monkeypatch.setattr(_numba_buffers, "_MAX_HELD", 10**6)
    Buffer(10**6, 1)
    assert _numba_buffers._held == []


def test_nothing_is_held_after_a_run():
    options = {"compile": True, "matmul_precision": "float32", "has_fused_sums": True}
    with execution(torch.device("cpu"), **options):
        Buffer(10, 10)
        assert len(_numba_buffers._held) == 1
    assert _numba_buffers._held == []
