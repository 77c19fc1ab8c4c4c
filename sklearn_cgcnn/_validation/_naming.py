"""Let errors about some crystals name them as the user does."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import StructureError


@contextmanager
def named_as_in(argument: str, rows: NDArray[np.intp] | None = None) -> Iterator[None]:
    """Let errors about some crystals of an argument name them by their positions in it.

    Parameters
    ----------
    argument : str
        Name of the argument, such as "X".
    rows : ndarray of int or None, default=None
        Positions of the crystals, which errors count from 0 and call X. None means that
        they are all crystals of the argument.
    """

    def position(row: int | str) -> int:
        return int(row) if rows is None else int(rows[int(row)])

    def rename(found: re.Match[str]) -> str:
        return f"{argument}[{position(found[1])}]" if found[1] else argument

    try:
        yield
    except (TypeError, ValueError) as error:
        message = re.sub(r"\bX\b(?:\[(\d+)\])?", rename, str(error))
        error.args = (message, *error.args[1:])
        if isinstance(error, StructureError):
            failed = error.failed.items()
            error.failed = {position(row): reason for row, reason in failed}
            if error.index is not None:
                error.index = position(error.index)
        raise
