"""How a network is executed: precision, compiled loops and threads."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

import torch

from sklearn_cgcnn._ops._precision import tf32_matmul
from sklearn_cgcnn._ops._threads import (
    compiled_loops,
    map_in_threads,
    n_loop_threads,
    one_blas_thread,
    one_torch_thread,
)

Item = TypeVar("Item")
Result = TypeVar("Result")


@cache
def _has_numba() -> bool:
    """Return whether Numba can be imported."""
    try:
        _numba_module("backend")
    except ImportError:
        return False
    return True


def can_compile(device: torch.device) -> bool:
    """Return whether loops over edges can be compiled for a device.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    bool
        Compiling needs Numba for a CPU, and only torch for a CUDA GPU. It is not
        supported for other devices.
    """
    return device.type == "cuda" or (device.type == "cpu" and _has_numba())


def _numba_module(name: str) -> Any:
    """Import a module of the Numba back end. The first import takes a while."""
    return import_module(f"sklearn_cgcnn._ops._numba_{name}")


@contextmanager
def execution(
    device: torch.device, *, compile: bool, matmul_precision: str, has_fused_sums: bool
) -> Iterator[None]:
    """Set up compiled loops and TF32 for the code within a ``with`` statement.

    Parameters
    ----------
    device : torch.device
        The device that the network runs on.
    compile : bool
        Whether to sum over the edges in compiled loops. It has no effect where
        `can_compile` returns False.
    matmul_precision : {"float32", "tf32", "bfloat16"}
        Precision of matrix products. Only "tf32", on a CUDA GPU, has an effect here;
        see `autocast` for "bfloat16".
    has_fused_sums : bool
        Whether the network has sums that compiled loops can compute. If not, `compile`
        has no effect.
    """
    with ExitStack() as stack:
        if matmul_precision == "tf32" and device.type == "cuda":
            stack.enter_context(tf32_matmul())
        if compile and has_fused_sums and can_compile(device):
            n_threads = 1
            if device.type == "cpu":
                n_threads = stack.enter_context(one_torch_thread())
                stack.enter_context(one_blas_thread())
                _numba_module("backend").prepare_loops()
                stack.callback(_numba_module("buffers").free_buffers)
            stack.enter_context(compiled_loops(n_threads))
        yield


def autocast(
    device: torch.device, matmul_precision: str
) -> AbstractContextManager[object]:
    """Return a context manager that rounds the factors of products to bfloat16.

    Parameters
    ----------
    device : torch.device
    matmul_precision : {"float32", "tf32", "bfloat16"}
        With anything but "bfloat16" the context manager has no effect.

    Returns
    -------
    context manager
    """
    if matmul_precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def map_concurrently(
    function: Callable[[Item], Result], items: Iterable[Item], n_items: int
) -> list[Result]:
    """Apply a function to items without gradients, in as many threads as loops have.

    Without compiled loops one item follows another in the calling thread, since the
    operations of torch have threads themselves. Otherwise the threads of the loops are
    divided evenly among the items that are processed at the same time: threads that
    work on separate items do not have to wait for each other.

    Parameters
    ----------
    function : callable
        Called with one item, with gradients disabled.
    items : iterable
    n_items : int
        Number of items.

    Returns
    -------
    list
        The results, in the order of the items.
    """
    n_threads = n_loop_threads.get()
    n_at_once = max(min(n_threads or 1, n_items), 1)
    n_threads_each = n_threads and n_threads // n_at_once

    def apply(item: Item) -> Result:
        # Both settings belong to a Python thread, so each thread needs them.
        with torch.no_grad(), compiled_loops(n_threads_each):
            return function(item)

    return map_in_threads(apply, items, n_at_once)
