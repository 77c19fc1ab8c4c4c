"""Progress bars on standard error."""

from typing import Any

from tqdm.auto import tqdm


def progress_bar(total: int | None, what: str, unit: str, verbose: int) -> "tqdm[Any]":
    """Make a progress bar, silent unless asked for.

    Parameters
    ----------
    total : int or None
        How many units there are to do, where it is known.
    what, unit : str
        What is being done, and to what.
    verbose : int
        Nothing is shown at 0.

    Returns
    -------
    tqdm
        To be used as a context manager and updated by units done.
    """
    return tqdm(total=total, desc=what, unit=unit, disable=not verbose)
