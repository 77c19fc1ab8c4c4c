"""Work shared out among threads of Python."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def share(
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


def share_sum(
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
    first, *others = share(work, parts)
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
