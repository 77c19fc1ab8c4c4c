"""Work shared among processes, and among threads."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import TypeVar

from joblib import Parallel

Item = TypeVar("Item")
Result = TypeVar("Result")


def generator_of(n_jobs: int | None) -> Parallel:
    """Make a Parallel that yields what is done, or lists it where it cannot yield.

    Parameters
    ----------
    n_jobs : int or None
        Number of processes, as in joblib.

    Returns
    -------
    Parallel
    """
    try:
        return Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:  # joblib's multiprocessing backend
        return Parallel(n_jobs=n_jobs)


def map_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], n_threads: int
) -> list[Result]:
    """Apply a function to items, as many at once as there are threads.

    The next item is taken when a thread is free for it, unless one has failed. With few
    long items joblib's threads take a tenth more time.

    Parameters
    ----------
    function : callable
    items : iterable
    n_threads : int
        Number of threads, of which the calling one is the first.

    Returns
    -------
    list
        The results, in the order of the items.
    """
    numbered, taking, failed = enumerate(items), Lock(), Event()
    results: dict[int, Result] = {}

    def take() -> tuple[int, Item] | None:
        with taking:
            return None if failed.is_set() else next(numbered, None)

    def work() -> None:
        try:
            for number, item in iter(take, None):
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
