"""An opened folder of shards, and what has been read of it."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import GraphFormatError
from sklearn_cgcnn.graphs._crystal_graphs import CrystalGraphs
from sklearn_cgcnn.graphs._manifest import Manifest, Shard
from sklearn_cgcnn.graphs._ragged import offsets_of
from sklearn_cgcnn.graphs._shard_file import read_shard, verify_shard


class Sizes(NamedTuple):
    """How large the graphs of crystals are.

    Attributes
    ----------
    n_sites, n_edges, n_original_sites : ndarray of shape (n_crystals,), int64
        Number of sites and edges of each graph, and of sites of the structure.
    """

    n_sites: NDArray[np.int64]
    n_edges: NDArray[np.int64]
    n_original_sites: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> "Sizes":
        """Return the sizes of some crystals.

        Parameters
        ----------
        rows : ndarray of shape (n_rows,), int64
            Their positions.

        Returns
        -------
        Sizes
        """
        return Sizes(*(each[rows] for each in self))


class ShardFolder:
    """The shards that a folder had when it was opened.

    Parameters
    ----------
    path : Path
        The folder.
    manifest : Manifest
        Its manifest.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        counts = [shard.n_crystals for shard in manifest.shards]
        #: Where the rows of each shard begin; the last entry is the number of crystals.
        self.offsets = offsets_of(np.array(counts, dtype=np.int64))
        self._failed = dict[int, dict[int, str]]()

    @property
    def shards(self) -> tuple[Shard, ...]:
        """What the manifest says about each shard."""
        return self.manifest.shards

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def read(self, index: int) -> CrystalGraphs:
        """Map a shard into memory, verified when this process first reads it.

        Parameters
        ----------
        index : int
            Position of the shard.

        Returns
        -------
        CrystalGraphs
            Its arrays stay on disk. Nothing remembers it, so that the memory is free
            again when the caller has finished with it.
        """
        shard = self.shards[index]
        graphs = CrystalGraphs(**read_shard(self.path / shard.file, shard.sha256))
        if len(graphs) != shard.n_crystals or graphs.settings != self.manifest.settings:
            raise GraphFormatError(
                f"{self.path / shard.file} does not belong to the folder; restore it "
                "from a copy, or featurize the structures again"
            )
        return graphs

    def verify(self) -> None:
        """Read all files again, and compare them with their checksums."""
        for shard in self.shards:
            verify_shard(self.path / shard.file, shard.sha256, again=True)

    @cached_property
    def sizes(self) -> Sizes:
        """How large the graphs of all crystals are. This reads every shard."""
        parts = [_sizes_of(self.read(index)) for index in range(len(self.shards))]
        parts.append(Sizes(*np.zeros((3, 0), dtype=np.int64)))
        return Sizes(*map(np.concatenate, zip(*parts, strict=True)))

    def failed(self, index: int) -> dict[int, str]:
        """Return the reasons of the crystals of a shard that failed.

        Parameters
        ----------
        index : int
            Position of the shard.

        Returns
        -------
        dict of int to str
            By row of the folder.
        """
        if not self.shards[index].n_failed:
            return {}
        if index not in self._failed:
            first = int(self.offsets[index])
            reasons = self.read(index).failed.items()
            self._failed[index] = {first + row: reason for row, reason in reasons}
        return self._failed[index]


def _sizes_of(graphs: CrystalGraphs) -> Sizes:
    edge_ends = graphs.edge_offsets[graphs.site_offsets]
    ends = (graphs.site_offsets, edge_ends, graphs.site_map_offsets)
    return Sizes(*map(np.diff, ends))
