"""Threads of Python, among which compiled loops share out their work."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import pairwise
from threading import Lock, local
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

#: How many threads compiled loops are to take; None for operations of torch instead.
loop_threads: ContextVar[int | None] = ContextVar("loop_threads", default=None)


@contextmanager
def compiled_loops(n_threads: int | None) -> Iterator[None]:
    """Sum over edges in compiled loops, as far as this thread of Python computes.

    Parameters
    ----------
    n_threads : int or None
        Number of threads for them. None for operations of torch instead.
    """
    token = loop_threads.set(n_threads)
    try:
        yield
    finally:
        loop_threads.reset(token)


class _TorchThreads:
    """How many threads torch had before anyone asked it to make do with one."""

    lock = Lock()
    n_users = 0
    before = 1
    # torch keeps the number for each thread of Python.
    of_thread = local()


@contextmanager
def one_torch_thread() -> Iterator[int]:
    """Have torch's operations take one thread.

    The others do not rest between two operations, but wait in a loop for the next one,
    on the cores that other threads need.

    Yields
    ------
    int
        How many they had.
    """
    if getattr(_TorchThreads.of_thread, "is_one", False):
        yield _TorchThreads.before
        return
    with _TorchThreads.lock:
        if not _TorchThreads.n_users:
            _TorchThreads.before = torch.get_num_threads()
        _TorchThreads.n_users += 1
        before = _TorchThreads.before
    torch.set_num_threads(1)
    _TorchThreads.of_thread.is_one = True
    try:
        yield before
    finally:
        _TorchThreads.of_thread.is_one = False
        torch.set_num_threads(before)
        with _TorchThreads.lock:
            _TorchThreads.n_users -= 1


def run_parts(
    work: Callable[[int, int], Result], parts: Sequence[tuple[int, int]]
) -> list[Result]:
    """Do work on parts at the same time, without gradients.

    Parameters
    ----------
    work : callable
        Takes where a part starts and stops.
    parts : sequence of tuple of int and int
        One for each thread, the first of which is the calling one.

    Returns
    -------
    list
        The results, in the order of the parts.
    """

    def run(start: int, stop: int) -> Result:
        with torch.no_grad():  # which torch keeps for each thread
            return work(start, stop)

    first, *others = parts
    tasks = [_pool(os.getpid()).submit(run, *part) for part in others]
    return [run(*first), *(task.result() for task in tasks)]


def sum_parts(
    work: Callable[[int, int], Tensor], parts: Sequence[tuple[int, int]]
) -> Tensor:
    """Do work on parts at the same time, without gradients, and add up the results.

    Parameters
    ----------
    work : callable
        Takes where a part starts and stops.
    parts : sequence of tuple of int and int
        One for each thread.

    Returns
    -------
    Tensor
    """
    first, *others = run_parts(work, parts)
    for other in others:
        first += other
    return first


def even_parts(n_rows: int, n_parts: int) -> list[tuple[int, int]]:
    """Divide rows evenly.

    Parameters
    ----------
    n_rows, n_parts : int

    Returns
    -------
    list of tuple of int and int
        Where each part starts and stops.
    """
    return list(pairwise(n_rows * part // n_parts for part in range(n_parts + 1)))


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Keep threads for a process: after a fork those of its parent are not there."""
    return ThreadPoolExecutor(os.cpu_count())
