"""Python threads that share the work of compiled loops."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import pairwise
from threading import Event, Lock, local
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Number of threads for compiled loops. None selects operations of torch instead.
n_loop_threads: ContextVar[int | None] = ContextVar("n_loop_threads", default=None)


@contextmanager
def compiled_loops(n_threads: int | None) -> Iterator[None]:
    """Sum over edges in compiled loops, in the calling Python thread.

    Parameters
    ----------
    n_threads : int or None
        Number of threads for the loops. None selects operations of torch instead.
    """
    token = n_loop_threads.set(n_threads)
    try:
        yield
    finally:
        n_loop_threads.reset(token)


class _TorchThreads:
    """Number of torch's threads before the first user reduced it to one."""

    lock = Lock()
    n_users = 0
    before = 1
    # torch keeps the number separately for each Python thread.
    per_thread = local()


@contextmanager
def one_torch_thread() -> Iterator[int]:
    """Restrict the operations of torch to one thread.

    Its other threads do not sleep between two operations. They wait in a busy loop, and
    occupy the cores that the threads of compiled loops need.

    Yields
    ------
    int
        The number of threads that torch had before.
    """
    if getattr(_TorchThreads.per_thread, "is_restricted", False):
        yield _TorchThreads.before
        return
    with _TorchThreads.lock:
        if not _TorchThreads.n_users:
            _TorchThreads.before = torch.get_num_threads()
        _TorchThreads.n_users += 1
        before = _TorchThreads.before
    torch.set_num_threads(1)
    _TorchThreads.per_thread.is_restricted = True
    try:
        yield before
    finally:
        _TorchThreads.per_thread.is_restricted = False
        torch.set_num_threads(before)
        with _TorchThreads.lock:
            _TorchThreads.n_users -= 1


class _BlasThreads:
    """The limit that the first user set, while there are users."""

    lock = Lock()
    n_users = 0
    limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Restrict matrix products of NumPy to the thread that computes them.

    Other threads of NumPy's library would occupy the cores that the threads of compiled
    loops need. The restriction is that of the whole process.
    """
    with _BlasThreads.lock:
        if not _BlasThreads.n_users:
            _BlasThreads.limit = _blas_libraries().limit(limits=1, user_api="blas")
        _BlasThreads.n_users += 1
    try:
        yield
    finally:
        with _BlasThreads.lock:
            _BlasThreads.n_users -= 1
            if not _BlasThreads.n_users:
                _BlasThreads.limit.restore_original_limits()


@cache
def _blas_libraries() -> ThreadpoolController:
    """Return the libraries of the process, NumPy's among them."""
    return ThreadpoolController()


def run_over_ranges(
    work: Callable[[int, int], Result], ranges: Sequence[tuple[int, int]]
) -> list[Result]:
    """Process several ranges at the same time, without gradients.

    Parameters
    ----------
    work : callable
        Called with the start and the stop of each range.
    ranges : sequence of tuple of int and int
        One for each thread. The calling thread processes the first one.

    Returns
    -------
    list
        The results, in the order of the ranges.
    """

    def run(start: int, stop: int) -> Result:
        if not torch.is_grad_enabled():
            return work(start, stop)
        with torch.no_grad():  # a setting that torch keeps for each thread
            return work(start, stop)

    first, *others = ranges
    if not others:
        return [run(*first)]
    tasks = [_pool(os.getpid()).submit(run, *each) for each in others]
    return [run(*first), *(task.result() for task in tasks)]


def sum_over_ranges(
    work: Callable[[int, int], Tensor], ranges: Sequence[tuple[int, int]]
) -> Tensor:
    """Process several ranges at the same time, without gradients, and sum the results.

    Parameters
    ----------
    work : callable
        Called with the start and the stop of each range. Returns a tensor that may be
        changed in place.
    ranges : sequence of tuple of int and int
        One for each thread.

    Returns
    -------
    Tensor
    """
    total, *others = run_over_ranges(work, ranges)
    for other in others:
        total += other
    return total


def split_evenly(n_rows: int, n_ranges: int) -> list[tuple[int, int]]:
    """Split rows into ranges of about the same length.

    Parameters
    ----------
    n_rows, n_ranges : int

    Returns
    -------
    list of tuple of int and int
        Start and stop of each range.
    """
    return list(pairwise(n_rows * each // n_ranges for each in range(n_ranges + 1)))


@cache
def _pool(process_id: int) -> ThreadPoolExecutor:
    """Return the threads of a process.

    A forked process needs its own: the threads of its parent do not exist in it.
    """
    return ThreadPoolExecutor(os.cpu_count())


def map_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], n_threads: int
) -> list[Result]:
    """Apply a function to items in several threads.

    A thread takes the next item when it is free, unless a call has failed. With few
    long calls this takes about a tenth less time than the threads of joblib.

    Parameters
    ----------
    function : callable
        Called with one item.
    items : iterable
        Consumed as the threads become free.
    n_threads : int
        Number of threads, including the calling one.

    Returns
    -------
    list
        The results, in the order of the items.
    """
    numbered, lock, failed = enumerate(items), Lock(), Event()
    results: dict[int, Result] = {}

    def take_next() -> tuple[int, Item] | None:
        with lock:
            return None if failed.is_set() else next(numbered, None)

    def work() -> None:
        try:
            for number, item in iter(take_next, None):
                results[number] = function(item)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(max(n_threads - 1, 1)) as pool:
        others = [pool.submit(work) for _ in range(n_threads - 1)]
        work()
        for other in others:
            other.result()
    return [results[number] for number in sorted(results)]
