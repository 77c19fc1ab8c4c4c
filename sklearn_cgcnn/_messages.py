"""Parts of messages that several modules write."""

import inspect
import warnings
from collections.abc import Sequence
from types import FrameType

# Their frames may lie between a line of the user's program and a warning.
_BETWEEN = {
    "contextlib",
    "copy",
    "joblib",
    "pickle",
    "sklearn",
    "sklearn_cgcnn",
    "skops",
    "skorch",
    "torch",
}


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's program that called the package.

    Parameters
    ----------
    message : str
        What to say.
    category : type, default=UserWarning
        Kind of the warning.
    """
    level, frame = 0, inspect.currentframe()
    while frame is not None and _package_of(frame) in _BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level + 1)


def _package_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def listing(header: str, lines: Sequence[str], limit: int) -> str:
    """Return a header with indented lines below it.

    Parameters
    ----------
    header : str
        The first line.
    lines : sequence of str
        What is listed.
    limit : int
        Largest number of lines that are listed. The others are only counted.

    Returns
    -------
    str
    """
    n_more = len(lines) - limit
    last = [f"and {n_more} more"] if n_more > 0 else []
    return "\n  ".join([header, *lines[:limit], *last])
