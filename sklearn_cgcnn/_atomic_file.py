"""Files that are written as a whole, or not at all."""

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile

# How the names of files end that are not complete yet.
_UNFINISHED = ".unfinished"


def write_atomically(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file beside its place, and move it there.

    After a kill or a power failure at any moment, there is the file before or the new
    one. If the disk is full, the file before remains.

    Parameters
    ----------
    path : Path
        The file, which is replaced if it exists.
    parts : iterable of bytes
        The contents.
    """
    with NamedTemporaryFile(
        dir=path.parent, prefix=f"{path.name}.", suffix=_UNFINISHED, delete=False
    ) as file:
        try:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left in a folder.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    for leftover in folder.glob(f"*{_UNFINISHED}"):
        leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a new name survive a power failure, where the system supports it.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
