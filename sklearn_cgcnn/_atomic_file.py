"""Files that are written as a whole, or not at all."""

import glob
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

# Suffix of the names of files that are not complete yet.
_UNFINISHED = ".unfinished"


def write_atomically(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file beside its place, and move it there.

    A kill or a power failure at any moment leaves either the previous file or the new
    one. If the disk is full, the previous file remains.

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
            Path(file.name).chmod(0o666 & ~_umask())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)


def _umask() -> int:
    """Return the permissions that this process takes from new files."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def remove_unfinished(folder: Path, name: str = "", *, older_than: float = 0) -> None:
    """Remove what a killed process left in a folder.

    Parameters
    ----------
    folder : Path
        The folder.
    name : str, default=""
        Beginning of the names of the files to remove.
    older_than : float, default=0
        Seconds after which no other process can be writing a file any more.
    """
    for leftover in folder.glob(f"{glob.escape(name)}*{_UNFINISHED}"):
        # Another process may complete its file meanwhile.
        with suppress(FileNotFoundError):
            age = time.time() - leftover.stat().st_mtime
            if not older_than or age > older_than:
                leftover.unlink()


def _sync_folder(folder: Path) -> None:
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
