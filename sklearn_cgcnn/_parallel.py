"""Work that is divided among processes."""

from joblib import Parallel


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
