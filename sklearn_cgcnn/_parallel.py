"""Work that is divided among processes."""

import multiprocessing

from joblib import Parallel, cpu_count, effective_n_jobs
from joblib.parallel import get_active_backend


def generator_of(n_jobs: int | None) -> Parallel:
    """Create a joblib Parallel that yields results in order, as they are ready.

    Parameters
    ----------
    n_jobs : int or None
        Number of processes, as in joblib.

    Returns
    -------
    Parallel
        Calling it returns a generator, or a list if joblib's backend has no generators.
    """
    try:
        return Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:  # joblib's multiprocessing backend has no generators
        return Parallel(n_jobs=n_jobs)


def n_processes_for(n_jobs: int | None, n_items: int, items_per_process: int) -> int:
    """Return the number of processes among which to divide work.

    Parameters
    ----------
    n_jobs : int or None
        Number of processes, as in joblib. None means one per processor, but no more
        than pay. It means one in a process or thread that is itself one of several, and
        what joblib's context says, if there is one.
    n_items : int
        Number of items of work.
    items_per_process : int
        Number of items for which the start of a process pays.

    Returns
    -------
    int
        At least 1.
    """
    if n_jobs is None and _is_free_to_choose():
        return max(1, min(int(cpu_count()), n_items // items_per_process))
    return max(1, min(int(effective_n_jobs(n_jobs)), n_items))


def _is_free_to_choose() -> bool:
    """Whether neither the user nor a caller has divided the work already."""
    backend, chosen = get_active_backend()
    is_outermost = (
        not backend.nesting_level and multiprocessing.parent_process() is None
    )
    return chosen is None and is_outermost
