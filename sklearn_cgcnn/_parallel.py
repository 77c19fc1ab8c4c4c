"""Work shared among processes."""

from joblib import Parallel


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
