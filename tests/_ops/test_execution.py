"""How a network is executed: precision, compiled loops and threads."""

import threading
import time
from types import SimpleNamespace

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_cgcnn._ops import (
    _execution,
    autocast,
    autocast_dtype,
    can_compile,
    execution,
    map_concurrently,
)
from sklearn_cgcnn._ops._threads import compiled_loops, n_loop_threads

CPU, CUDA, META = (torch.device(each) for each in ("cpu", "cuda", "meta"))


@pytest.fixture(autouse=True)
def two_torch_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[True, False])
def has_numba(request, monkeypatch):
    monkeypatch.setattr(_execution, "_has_numba", lambda: request.param)
    return request.param


def test_devices_that_loops_can_be_compiled_for(has_numba):
    assert can_compile(CPU) == has_numba
    assert can_compile(CUDA)
    assert not can_compile(META)


@pytest.mark.parametrize(
    ("device", "compile", "has_fused_sums", "torch_threads", "loop_threads"),
    [
        (CPU, False, True, 2, None),
        (CPU, True, True, 1, 2),
        (CPU, True, False, 2, None),
        (CUDA, True, True, 2, 1),
        (META, True, True, 2, None),
    ],
)
def test_threads(device, compile, has_fused_sums, torch_threads, loop_threads):
    with execution(
        device,
        compile=compile,
        matmul_precision="float32",
        has_fused_sums=has_fused_sums,
    ):
        assert torch.get_num_threads() == torch_threads
        assert n_loop_threads.get() == loop_threads
    assert torch.get_num_threads() == 2
    assert n_loop_threads.get() is None


def test_matrix_products_in_loops_take_one_thread():
    options = {"compile": True, "matmul_precision": "float32", "has_fused_sums": True}

    def n_threads():
        found = threadpool_info()
        return {each["num_threads"] for each in found if each["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        with execution(CPU, **options), execution(CPU, **options):
            assert n_threads() == {1}
        assert n_threads() == {2}


def test_without_numba_nothing_is_compiled(has_numba):
    with execution(CPU, compile=True, matmul_precision="float32", has_fused_sums=True):
        assert (n_loop_threads.get() is None) == (not has_numba)


@pytest.mark.parametrize(
    ("device", "matmul_precision", "is_tf32"),
    [(CUDA, "tf32", True), (CPU, "tf32", False), (CUDA, "float32", False)],
)
def test_tf32_is_for_cuda(device, matmul_precision, is_tf32, monkeypatch):
    switch = SimpleNamespace(fp32_precision="none", allow_tf32=False)
    monkeypatch.setattr(torch.backends.cuda, "matmul", switch)
    before = vars(switch).copy()
    with execution(
        device, compile=False, matmul_precision=matmul_precision, has_fused_sums=True
    ):
        assert (vars(switch) != before) == is_tf32
    assert vars(switch) == before


@pytest.mark.parametrize(
    ("matmul_precision", "dtype"),
    [("float32", None), ("tf32", None), ("bfloat16", torch.bfloat16)],
)
def test_autocast(matmul_precision, dtype):
    a = torch.ones(2, 2)
    with autocast(CPU, matmul_precision):
        assert autocast_dtype(a) == dtype
        assert (a @ a).dtype == (dtype or torch.float32)
    assert autocast_dtype(a) is None


@pytest.mark.parametrize(
    ("n_threads", "n_items", "n_at_once", "n_threads_each"),
    [(None, 6, 1, None), (1, 6, 1, 1), (2, 6, 2, 1), (5, 2, 2, 2), (3, 0, 1, None)],
)
def test_map_concurrently_divides_the_threads(
    n_threads, n_items, n_at_once, n_threads_each
):
    calls = []

    def work(item):
        calls.append((threading.get_ident(), n_loop_threads.get()))
        assert not torch.is_grad_enabled()
        time.sleep(0.01)  # so that no thread takes all items
        return item**2

    with compiled_loops(n_threads):
        results = map_concurrently(work, iter(range(n_items)), n_items)
        assert n_loop_threads.get() == n_threads
    assert results == [item**2 for item in range(n_items)]
    assert torch.is_grad_enabled()
    if n_items:
        assert {each[1] for each in calls} == {n_threads_each}
        assert len({each[0] for each in calls}) == n_at_once
