"""The manifest of a folder of shards: which files belong to it, and their checksums."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from sklearn_cgcnn._atomic_file import write_atomically
from sklearn_cgcnn.exceptions import GraphFormatError

MANIFEST_NAME = "shards.json"

# Raise it when the manifest or the layout of the folder changes. The arrays inside a
# shard have a version of their own.
_VERSION = 1


@dataclass(frozen=True)
class Shard:
    """What the manifest says about one shard.

    Attributes
    ----------
    file : str
        Name of the file.
    n_crystals : int
        Number of crystals, including those that failed.
    n_failed : int
        Number of crystals that could not become graphs.
    elements : tuple of int
        Atomic numbers of all elements in the shard, in ascending order.
    longest_edge : float
        Length of the longest edge in Å. 0 if there are no edges.
    sha256 : str
        Checksum of the file.
    """

    file: str
    n_crystals: int
    n_failed: int
    elements: tuple[int, ...]
    longest_edge: float
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Which shards a folder has, in order.

    Attributes
    ----------
    settings : dict of str to JSON value
        How the graphs were made, as in :class:`CrystalGraphs`.
    shard_size : int
        Largest number of crystals in a shard.
    begins_at : int
        Number of crystals that were there before the last writing began.
    is_complete : bool
        Whether the last writing has ended.
    shards : tuple of Shard
        The shards.
    """

    settings: dict[str, Any]
    shard_size: int
    begins_at: int = 0
    is_complete: bool = False
    shards: tuple[Shard, ...] = ()

    @property
    def n_crystals(self) -> int:
        """Number of crystals in all shards."""
        return sum(shard.n_crystals for shard in self.shards)

    def add(self, shard: Shard) -> "Manifest":
        """Return a manifest with one more shard.

        Parameters
        ----------
        shard : Shard
            The shard.

        Returns
        -------
        Manifest
        """
        return replace(self, shards=(*self.shards, shard))

    def completed(self) -> "Manifest":
        """Return a manifest that says that the writing has ended.

        Returns
        -------
        Manifest
        """
        return replace(self, is_complete=True)

    def appending(self) -> "Manifest":
        """Return a manifest with which to begin to write further crystals.

        Returns
        -------
        Manifest
        """
        return replace(self, begins_at=self.n_crystals, is_complete=False)

    def first(self, n_shards: int) -> "Manifest":
        """Return a manifest of the first shards alone.

        Parameters
        ----------
        n_shards : int
            Number of shards.

        Returns
        -------
        Manifest
        """
        return replace(self, shards=self.shards[:n_shards])

    def identity(self) -> str:
        """Return a hash of the graphs in all shards.

        Returns
        -------
        str
        """
        return _sha256([shard.sha256 for shard in self.shards])

    def write(self, folder: Path) -> None:
        """Replace the manifest of a folder.

        Parameters
        ----------
        folder : Path
            The folder.
        """
        contents = self._contents()
        checksum = _sha256(contents)
        # Shards are separate lines, so that a person can read and compare them.
        shards = ",\n".join(json.dumps(shard) for shard in contents.pop("shards"))
        stored = json.dumps({**contents, "sha256": checksum})
        text = f'{stored[:-1]},\n"shards": [\n{shards}\n]}}\n'
        write_atomically(folder / MANIFEST_NAME, [text.encode()])

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a folder.

        Parameters
        ----------
        folder : Path
            The folder.

        Returns
        -------
        Manifest

        Raises
        ------
        FileNotFoundError
            If the folder does not exist, or has no manifest.
        GraphFormatError
            If the manifest is damaged, or has an unknown format version.
        """
        path = folder / MANIFEST_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} does not exist; pass the folder that "
                "CrystalGraphFeaturizer.transform_to_disk wrote"
            )
        try:
            stored = json.loads(path.read_bytes())
            version = stored.pop("format_version")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path) from error
        if version != _VERSION:
            raise GraphFormatError(
                f"{path} has format version {version}, but this release reads version "
                f"{_VERSION}; use a newer release, or featurize the structures "
                "again"
            )
        return cls._from_json(stored, path)

    @classmethod
    def _from_json(cls, stored: Mapping[str, Any], path: Path) -> Self:
        try:
            fields = dict(stored)
            checksum = fields.pop("sha256")
            shards = [
                Shard(**{**shard, "elements": tuple(shard["elements"])})
                for shard in fields.pop("shards")
            ]
            manifest = cls(**fields, shards=tuple(shards))
        except (KeyError, TypeError) as error:
            raise _damaged(path) from error
        if checksum != _sha256(manifest._contents()):
            raise _damaged(path)
        return manifest

    def _contents(self) -> dict[str, Any]:
        """Return what the file holds besides its checksum, which covers all of it."""
        return {"format_version": _VERSION, **asdict(self)}

    @staticmethod
    def exists(folder: Path) -> bool:
        """Return whether a folder has a manifest.

        Parameters
        ----------
        folder : Path
            The folder.

        Returns
        -------
        bool
        """
        return (folder / MANIFEST_NAME).is_file()


def _sha256(contents: Any) -> str:
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


def _damaged(path: Path) -> GraphFormatError:
    return GraphFormatError(
        f"{path} is damaged; restore it from a copy, or featurize the structures again"
    )
