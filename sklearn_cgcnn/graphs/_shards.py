"""Graphs on disk, in as many files as it takes."""

from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import GraphFormatError
from sklearn_cgcnn.graphs._column import CrystalColumn
from sklearn_cgcnn.graphs._crystal_graphs import CrystalGraphs, without_graphs
from sklearn_cgcnn.graphs._manifest import Manifest, Shard
from sklearn_cgcnn.graphs._shard_folder import ShardFolder, Sizes

# Bytes of an edge, of a site, of an original site, and of the offsets of a crystal.
_EDGE_NBYTES, _SITE_NBYTES, _ORIGINAL_SITE_NBYTES, _CRYSTAL_NBYTES = 14, 13, 4, 16


class ShardedCrystalGraphs(CrystalColumn):
    """Crystal graphs in a folder, which may be larger than memory.

    :meth:`CrystalGraphFeaturizer.transform_to_disk
    <sklearn_cgcnn.CrystalGraphFeaturizer.transform_to_disk>` writes the folder.
    Estimators fit and predict from it, with at most `buffer_nbytes` of graphs in memory
    at a time.

    The object behaves as a sequence of crystals, and as a column of shape
    ``(n_crystals, 1)`` if scikit-learn splits, selects or counts samples. A selection
    is another object of this class, which reads nothing. A pickle holds the path and
    the rows that are selected, not the graphs. :meth:`to_memory` reads them.

    The object stands for the crystals that the folder had when it was opened. Crystals
    that are appended later are seen when it is opened again.

    Parameters
    ----------
    path : str or path-like
        The folder.
    buffer_nbytes : int, default=2**27
        Largest size of the graphs that are read at a time, in bytes. A training
        shuffles the crystals within a buffer, which should therefore hold several
        shards.

    Attributes
    ----------
    path : Path
        The folder.
    buffer_nbytes : int
        Largest size of the graphs that are read at a time.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or has no manifest.
    GraphFormatError
        If the manifest is damaged, or has an unknown format version. A shard is
        verified when it is first read. If it is damaged, the error names its file.

    See Also
    --------
    CrystalGraphs : Graphs in memory.

    Notes
    -----
    Each shard is a file in the safetensors format. ``shards.json`` lists them with
    their checksums (SHA-256). When a process first needs a file, it reads the whole
    file and compares it with the checksum. After that, it maps the file into memory.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_cgcnn import CrystalGraphFeaturizer
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures = make_ionic_crystals(10, random_state=0).data
    >>> with TemporaryDirectory() as folder:
    ...     path = f"{folder}/graphs"
    ...     graphs = CrystalGraphFeaturizer().transform_to_disk(structures, path)
    ...     len(graphs), graphs.shape, len(graphs[2:5]), graphs[[7, 1]].to_memory()
    (10, (10, 1), 3, CrystalGraphs(n_crystals=2, ...))
    """

    def __init__(
        self, path: str | PathLike[str], *, buffer_nbytes: int = 2**27
    ) -> None:
        if buffer_nbytes <= 0:
            raise ValueError(
                f"buffer_nbytes={buffer_nbytes} is not positive; pass the number of "
                "bytes of graphs to keep in memory, such as 2**27"
            )
        # Worker processes may have another working directory.
        self.path = Path(path).absolute()
        self.buffer_nbytes = buffer_nbytes
        self._folder = ShardFolder(self.path, Manifest.read(self.path))
        self._rows: range | NDArray[np.int64] = range(len(self._folder))
        # Marked after the graphs were made, by row of the folder.
        self._marked: Mapping[int, str] = {}

    # Contents

    @property
    def settings(self) -> dict[str, Any]:
        """How the graphs were made, as in :class:`CrystalGraphs`."""
        return self._folder.manifest.settings

    @property
    def is_complete(self) -> bool:
        """Whether the folder was complete when it was opened.

        False if its writing was interrupted, or has not ended.
        """
        return self._folder.manifest.is_complete

    @property
    def n_sites(self) -> int:
        """Number of sites of all crystals together."""
        return int(self.sizes().n_sites.sum())

    @property
    def n_edges(self) -> int:
        """Number of edges of all crystals together."""
        return int(self.sizes().n_edges.sum())

    @property
    def nbytes(self) -> int:
        """Size of the graphs in bytes, as they would be in memory."""
        return int(self.crystal_nbytes().sum())

    @property
    def failed(self) -> Mapping[int, str]:
        """The reason for each crystal that could not become a graph, by its position.

        Returns
        -------
        mapping of int to str
            Read-only, with ascending positions. These crystals have no sites.
        """
        reasons = dict[int, str]()
        for index, positions in self._by_shard(lambda shard: shard.n_failed > 0):
            reasons |= self._pick(self._folder.failed(index), positions)
        if self._marked:
            marked = self._pick(self._marked, np.arange(len(self)))
            reasons = {**marked, **reasons}
        return MappingProxyType(dict(sorted(reasons.items())))

    def sizes(self) -> Sizes:
        """Return how large the graphs are, as they were stored.

        Returns
        -------
        Sizes
            Number of sites, edges, and sites of the structure of each crystal.
        """
        return self._folder.sizes.take(self.rows())

    def crystal_nbytes(self) -> NDArray[np.int64]:
        """Return how many bytes each graph takes in memory.

        Returns
        -------
        ndarray of shape (n_crystals,), int64
        """
        sizes = self.sizes()
        nbytes: NDArray[np.int64] = (
            _EDGE_NBYTES * sizes.n_edges
            + _SITE_NBYTES * sizes.n_sites
            + _ORIGINAL_SITE_NBYTES * sizes.n_original_sites
            + _CRYSTAL_NBYTES
        )
        return nbytes

    def rows(self) -> NDArray[np.int64]:
        """Return where the crystals lie in the folder.

        Returns
        -------
        ndarray of shape (n_crystals,), int64
            Numbers from 0, in the order in which the crystals were written.
        """
        if isinstance(self._rows, range):
            # Faster than to convert a range, which numpy takes for a list.
            return np.arange(self._rows.start, self._rows.stop, self._rows.step)
        return self._rows

    def identity(self) -> str:
        """Return a hash that differs if the folder holds other graphs.

        Returns
        -------
        str
        """
        return self._folder.manifest.identity()

    def check(self) -> None:
        """Read all files of the folder, and compare them with their checksums.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        GraphFormatError
            If a file is damaged.
        """
        self._folder.verify()

    def with_failed(self, failed: Mapping[int, str]) -> Self:
        """Return graphs in which further crystals are marked as failed.

        Parameters
        ----------
        failed : mapping of int to str
            The reason for each crystal to mark, by its position.

        Returns
        -------
        ShardedCrystalGraphs
            The files stay as they are.

        Raises
        ------
        IndexError
            If a position does not exist.
        """
        self._check_positions(failed)
        if not failed:
            return self
        rows = self.rows()
        marked = {int(rows[position]): reason for position, reason in failed.items()}
        marked_graphs = self._select(self._rows)
        marked_graphs._marked = {**marked, **self._marked}
        return marked_graphs

    def __repr__(self) -> str:
        state = "" if self.is_complete else "is_complete=False, "
        return (
            f"ShardedCrystalGraphs({str(self.path)!r}, n_crystals={len(self)}, {state}"
            f"settings={self.settings})"
        )

    # Reading

    def to_memory(self) -> CrystalGraphs:
        """Read the graphs into memory.

        Returns
        -------
        CrystalGraphs
            One graph for each crystal, in order.
        """
        order, parts = list[NDArray[np.intp]](), list[CrystalGraphs]()
        for positions, part in self.chunks():
            order.append(positions)
            parts.append(part)
        if not parts:
            return without_graphs([], self.settings)
        joined = CrystalGraphs.concatenate(parts)
        positions = np.concatenate(order)
        if (np.diff(positions) > 0).all():
            return joined
        return joined[np.argsort(positions)]

    def chunks(
        self, is_needed: Callable[[Shard], bool] | None = None
    ) -> Iterator[tuple[NDArray[np.intp], CrystalGraphs]]:
        """Read the graphs shard by shard.

        Parameters
        ----------
        is_needed : callable or None, default=None
            Called with what the manifest says about a shard. Returns whether to read
            it. None reads all shards that hold crystals of this selection.

        Yields
        ------
        positions : ndarray of shape (n_crystals,), int
            Positions of the crystals in this selection.
        graphs : CrystalGraphs
            Their graphs. If they are all those of a shard, the arrays stay on disk.
        """
        rows, offsets = self.rows(), self._folder.offsets
        for index, positions in self._by_shard(is_needed):
            graphs = self._folder.read(index)
            local = rows[positions] - offsets[index]
            if not np.array_equal(local, np.arange(len(graphs))):
                graphs = graphs[local]
            marked = {
                place: self._marked[row]
                for place, row in enumerate(rows[positions].tolist())
                if row in self._marked
            }
            yield positions, graphs.with_failed(marked)

    def reading_order(self) -> NDArray[np.intp] | None:
        """Return the order in which the crystals are best read.

        Returns
        -------
        ndarray of shape (n_crystals,), int, or None
            Positions of the crystals in the order of the files. None if they lie in
            this order already, or fit into one buffer.
        """
        rows = self.rows()
        if self.fits_into_buffer() or (np.diff(rows) >= 0).all():
            return None
        return np.argsort(rows, kind="stable")

    def fits_into_buffer(self) -> bool:
        """Return whether all graphs fit into one buffer.

        Returns
        -------
        bool
        """
        return self.nbytes <= self.buffer_nbytes

    def positions_by_shard(self) -> list[NDArray[np.intp]]:
        """Return the positions of the crystals that each shard holds.

        Returns
        -------
        list of ndarray of int
            One array for each shard of which a crystal is selected.
        """
        return [positions for _, positions in self._by_shard()]

    def _by_shard(
        self, is_needed: Callable[[Shard], bool] | None = None
    ) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Yield shards with the positions of their crystals, in the order of rows."""
        rows = self.rows()
        order = np.argsort(rows, kind="stable")
        ends = np.searchsorted(rows[order], self._folder.offsets)
        for index, shard in enumerate(self._folder.shards):
            positions = order[ends[index] : ends[index + 1]]
            if len(positions) and (is_needed is None or is_needed(shard)):
                yield index, positions

    def _pick(
        self, reasons: Mapping[int, str], positions: NDArray[np.intp]
    ) -> dict[int, str]:
        """Return the reasons of rows by the positions at which they are selected."""
        if not reasons:
            return {}
        rows = self.rows()[positions]
        chosen = np.isin(rows, list(reasons))
        pairs = zip(positions[chosen].tolist(), rows[chosen].tolist(), strict=True)
        return {position: reasons[row] for position, row in pairs}

    # Selection

    def __len__(self) -> int:
        return len(self._rows)

    def _slice(self, start: int, stop: int) -> Self:
        return self._select(self._rows[start:stop])

    def _take(self, rows: NDArray[np.intp]) -> Self:
        return self._select(self.rows()[rows])

    def _select(self, rows: range | NDArray[np.int64]) -> Self:
        selection = object.__new__(type(self))
        selection.__dict__.update(self.__dict__, _rows=rows)
        return selection

    def __sizeof__(self) -> int:
        # What a pickle holds: dask sends what is large only once.
        return super().__sizeof__() + int(getattr(self._rows, "nbytes", 0))

    def __getstate__(self) -> dict[str, Any]:
        # The folder stays where it is: a pickle holds how to find the same crystals.
        return {
            "path": str(self.path),
            "buffer_nbytes": self.buffer_nbytes,
            "n_shards": len(self._folder.shards),
            "identity": self.identity(),
            "rows": self._rows,
            "marked": dict(self._marked),
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.path = Path(state["path"])
        self.buffer_nbytes = state["buffer_nbytes"]
        # Shards may have been appended since.
        manifest = Manifest.read(self.path).first(state["n_shards"])
        if manifest.identity() != state["identity"]:
            raise GraphFormatError(
                f"{self.path} holds other graphs than when this object was pickled; "
                "open the folder anew"
            )
        self._folder = ShardFolder(self.path, manifest)
        self._rows, self._marked = state["rows"], state["marked"]


#: Graphs of crystals, in memory or on disk.
AnyGraphs: TypeAlias = CrystalGraphs | ShardedCrystalGraphs


def in_memory(graphs: AnyGraphs) -> CrystalGraphs:
    """Return graphs in memory.

    Parameters
    ----------
    graphs : CrystalGraphs or ShardedCrystalGraphs
        Graphs in memory are returned unchanged.

    Returns
    -------
    CrystalGraphs
    """
    return graphs if isinstance(graphs, CrystalGraphs) else graphs.to_memory()


def chunks_of(
    graphs: AnyGraphs, is_needed: Callable[[Shard], bool] | None = None
) -> Iterator[tuple[NDArray[np.intp], CrystalGraphs]]:
    """Yield graphs part by part: those in memory at once, those on disk by shard.

    Parameters
    ----------
    graphs : CrystalGraphs or ShardedCrystalGraphs
        The crystals.
    is_needed : callable or None, default=None
        As in :meth:`ShardedCrystalGraphs.chunks`.

    Yields
    ------
    positions : ndarray of shape (n_crystals,), int
    part : CrystalGraphs
    """
    if isinstance(graphs, CrystalGraphs):
        yield np.arange(len(graphs)), graphs
    else:
        yield from graphs.chunks(is_needed)
