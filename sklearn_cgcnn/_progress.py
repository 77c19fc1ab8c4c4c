"""Progress bars on standard error."""

from typing import Any

from tqdm.auto import tqdm


def progress_bar(
    total: int | None, description: str, unit: str, verbose: int
) -> "tqdm[Any]":
    """Create a progress bar, which is shown only if `verbose` is not 0.

    Parameters
    ----------
    total : int or None
        Expected number of units. None means that it is unknown.
    description : str
        Label of the bar, such as ``"training"``.
    unit : str
        Name of one unit, such as ``"epoch"``.
    verbose : int
        0 hides the bar.

    Returns
    -------
    tqdm
        To be used as a context manager. Call its `update` after each unit.
    """
    return tqdm(total=total, desc=description, unit=unit, disable=not verbose)
