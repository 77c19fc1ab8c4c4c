"""Parts of messages that several modules write."""

from collections.abc import Sequence


def listing(header: str, lines: Sequence[str], limit: int) -> str:
    """Return a header with indented lines below it.

    Parameters
    ----------
    header : str
        The first line.
    lines : sequence of str
        What is listed.
    limit : int
        Largest number of lines. Of further ones only their number is given.

    Returns
    -------
    str
    """
    n_more = len(lines) - limit
    last = [f"and {n_more} more"] if n_more > 0 else []
    return "\n  ".join([header, *lines[:limit], *last])
