"""Compiled loops on disk, checked before they are loaded.

Numba checks nothing that it loads from its own cache. If a file is damaged, loading it
raises one of many exceptions, ends the process, or gives loops that compute something
else. This module stores a checksum with each compiled loop instead. It is the only one
that uses private names of Numba.
"""

import pickle
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import llvmlite
import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps


def store_on_disk(loop: Any) -> Any:
    """Store what a loop is compiled to on disk, and load it in other processes.

    A file that cannot be read, or is not what was stored, is ignored. The loop is then
    compiled again and the file replaced. If nothing can be stored, because a folder is
    read-only or a disk is full, each process compiles the loop.

    Parameters
    ----------
    loop : function
        Returned by ``numba.njit``, and not compiled yet.

    Returns
    -------
    function
        The same loop.
    """
    # With NUMBA_DISABLE_JIT, njit returns the function that it was given.
    if hasattr(loop, "py_func"):
        # Numba raises a RuntimeError if it finds no folder that it can write to.
        with suppress(RuntimeError, OSError):
            loop._cache = _CheckedCache(loop.py_func)
    return loop


class _CheckedCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a loop, on checked files, whose failures have no effect."""

    def __init__(self, py_func: Any) -> None:
        super().__init__(py_func)
        # Loops call functions of other modules, which Numba does not look at.
        own = Path(py_func.__code__.co_filename)
        files = [own, *sorted(own.parent.glob("_numba_*.py"))]
        stamp = [(each.stat().st_mtime, each.stat().st_size) for each in files]
        self._cache_file = _CheckedFiles(
            Path(self.cache_path),
            self._impl.filename_base,
            (numba.__version__, llvmlite.__version__, *stamp),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001 (another build of Numba can raise anything)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


class _CheckedFiles:
    """One file for each key: a checksum, followed by the pickled data of the key.

    Numba numbers its files and keeps their numbers in an index. Two processes that
    write at the same time can give the same number to two keys. Here the name of a file
    follows from its key, so there is no index.
    """

    def __init__(self, folder: Path, prefix: str, origin: tuple[Any, ...]) -> None:
        self._folder, self._prefix, self._origin = folder, prefix, origin

    def load(self, key: Any) -> Any:
        """Return the data of a key, or None if there is no intact file of it."""
        try:
            stored = self._path(key).read_bytes()
        except OSError:
            return None
        size = sha256().digest_size
        checksum, data = stored[:size], stored[size:]
        # Not even unpickling is safe before this comparison.
        return pickle.loads(data) if checksum == self._checksum(key, data) else None

    def save(self, key: Any, data: Any) -> None:
        """Write the data of a key, replacing its file at once."""
        pickled, path = dumps(data), self._path(key)
        temporary = path.with_name(f"{path.name}.tmp.{uuid4().hex[:16]}")
        try:
            temporary.write_bytes(self._checksum(key, pickled) + pickled)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def flush(self) -> None:
        """Remove the files of all keys."""
        for path in self._folder.glob(f"{self._prefix}.*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path:
        """Return the path of the file of a key."""
        name = sha256(repr(key).encode()).hexdigest()[:16]
        return self._folder / f"{self._prefix}.{name}.nbc"

    def _checksum(self, key: Any, data: bytes) -> bytes:
        """Compute a checksum of data and of everything that they belong to."""
        # Loops that differ only in a constant have the same key.
        checksum = sha256(repr((self._prefix, self._origin, key)).encode())
        checksum.update(data)
        return checksum.digest()
