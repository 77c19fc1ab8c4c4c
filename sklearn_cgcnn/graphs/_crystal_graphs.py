"""The packed container of the graphs of many crystals."""

from collections.abc import Iterable, Mapping, Sequence
from operator import index
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.graphs._column import CrystalColumn
from sklearn_cgcnn.graphs._invariants import (
    DTYPES,
    check_failed,
    check_lengths,
    check_positions,
    check_values,
)
from sklearn_cgcnn.graphs._ragged import join_offsets, offsets_of, take_ragged
from sklearn_cgcnn.graphs._settings import describe_differences
from sklearn_cgcnn.graphs._storage import read_graphs, write_graphs


class CrystalGraphs(CrystalColumn):
    """Store the graphs of many crystals, packed into a few flat arrays.

    The sites of all crystals lie one after another, and so do the edges of all sites.
    Crystal ``i`` owns the sites ``site_offsets[i]:site_offsets[i + 1]``. Site ``s`` is
    the center of the edges ``edge_offsets[s]:edge_offsets[s + 1]``. Nothing is padded.
    The container stores no features, only the values that they are computed from. An
    edge joins a site to one periodic image of another site, so that several edges may
    join the same two sites (Xie and Grossman 2018, Fig. 1).

    One site of the graph may stand for several equivalent sites of the crystal, and
    one edge for several equal edges. ``multiplicity`` and ``edge_weights`` count them.
    ``site_map`` maps the original sites of the crystal to the sites of its graph.

    A crystal that could not become a graph keeps its place, so that the others stay
    aligned with their targets. It is listed in ``failed``, and has neither sites nor
    edges.

    :class:`~sklearn_cgcnn.CrystalGraphFeaturizer` makes this container. It behaves as a
    sequence of crystals, and as a column of shape ``(n_crystals, 1)`` if scikit-learn
    splits, selects or counts samples. Do not modify it.

    Parameters
    ----------
    atomic_numbers : ndarray of shape (n_sites,), uint8
        Atomic number of each site.
    multiplicity : ndarray of shape (n_sites,), int32
        Number of original sites of the crystal that each site stands for.
    site_offsets : ndarray of shape (n_crystals + 1,), int64
        Where the sites of each crystal begin; the last entry is ``n_sites``.
    neighbors : ndarray of shape (n_edges,), int32
        Neighbor site of each edge, as its position within its own crystal.
    distances : ndarray of shape (n_edges,), float64
        Length of each edge in Å.
    edge_weights : ndarray of shape (n_edges,), uint16
        Number of equal edges of its center that each edge stands for.
    edge_offsets : ndarray of shape (n_sites + 1,), int64
        Where the edges of each site begin; the last entry is ``n_edges``.
    site_map : ndarray of shape (n_original_sites,), int32
        For each original site of the structures, the site of the graph that stands
        for it, as its position within its own crystal.
    site_map_offsets : ndarray of shape (n_crystals + 1,), int64
        Where each crystal's part of ``site_map`` begins; the last entry is
        ``n_original_sites``.
    settings : mapping of str to JSON value
        How the graphs were made: the edge rule and its parameters as
        ``"connectivity"``, and ``"merge_equivalent"``.
        :meth:`CrystalGraphFeaturizer.from_settings
        <sklearn_cgcnn.CrystalGraphFeaturizer.from_settings>` makes a featurizer of
        them.
    failed : mapping of int to str or None, default=None
        The reason for each crystal that could not become a graph, by its position.
        None means that there are no such crystals.

    Raises
    ------
    GraphFormatError
        If an array has another dtype, if the lengths of the arrays contradict each
        other, or if `failed` names positions that do not exist.

    Examples
    --------
    >>> from sklearn_cgcnn import CrystalGraphFeaturizer
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures = make_ionic_crystals(10, random_state=0).data
    >>> graphs = CrystalGraphFeaturizer().transform(structures)
    >>> len(graphs), graphs.shape, len(graphs[2:5])
    (10, (10, 1), 3)
    """

    def __init__(
        self,
        *,
        atomic_numbers: NDArray[np.uint8],
        multiplicity: NDArray[np.int32],
        site_offsets: NDArray[np.int64],
        neighbors: NDArray[np.int32],
        distances: NDArray[np.float64],
        edge_weights: NDArray[np.uint16],
        edge_offsets: NDArray[np.int64],
        site_map: NDArray[np.int32],
        site_map_offsets: NDArray[np.int64],
        settings: Mapping[str, Any],
        failed: Mapping[int, str] | None = None,
    ) -> None:
        self.atomic_numbers = atomic_numbers
        self.multiplicity = multiplicity
        self.site_offsets = site_offsets
        self.neighbors = neighbors
        self.distances = distances
        self.edge_weights = edge_weights
        self.edge_offsets = edge_offsets
        self.site_map = site_map
        self.site_map_offsets = site_map_offsets
        self.settings = dict(settings)
        # A read-only view cannot be pickled: the property makes it.
        reasons = sorted((failed or {}).items())
        self._failed = {index(row): reason for row, reason in reasons}
        check_lengths(self._arrays())
        check_positions(self._failed, len(self))

    # Contents

    @property
    def n_sites(self) -> int:
        """Number of sites of all crystals together."""
        return len(self.atomic_numbers)

    @property
    def n_edges(self) -> int:
        """Number of edges of all crystals together."""
        return len(self.neighbors)

    @property
    def crystal_index(self) -> NDArray[np.int64]:
        """Position of the crystal of each site, as an array of shape (n_sites,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.site_offsets))

    @property
    def edge_index(self) -> NDArray[np.int64]:
        """Center and neighbor of every edge, counted over the sites of all crystals.

        Returns
        -------
        ndarray of shape (2, n_edges), int64
            The centers in ascending order, and the neighbors.
        """
        first_site = self.site_offsets[self.crystal_index]
        centers = np.repeat(np.arange(self.n_sites), np.diff(self.edge_offsets))
        return np.stack([centers, self.neighbors + first_site[centers]])

    @property
    def failed(self) -> Mapping[int, str]:
        """The reason for each crystal that could not become a graph, by its position.

        Returns
        -------
        mapping of int to str
            Read-only, with ascending positions. These crystals have no sites.
        """
        return MappingProxyType(self._failed)

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        return sum(array.nbytes for array in self._arrays().values())

    def expand_sites(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values for the original sites, given those of the graphs' sites.

        Parameters
        ----------
        values : ndarray of shape (n_sites, ...)
            One value, or array, for each site of the graphs.

        Returns
        -------
        ndarray of shape (n_original_sites, ...)
            For each original site, a copy of the value of the site that stands for it,
            which is not divided by the multiplicity. The order is that of the
            structures and of their sites. The values of structure ``i`` begin at
            ``site_map_offsets[i]``. A crystal that failed has no values.

        Raises
        ------
        ValueError
            If the number of values differs from the number of sites of the graphs.
        """
        if len(values) != self.n_sites:
            raise ValueError(
                f"values has {len(values)} entries for {self.n_sites} sites; pass one "
                "for each site of these graphs, in order"
            )
        per_crystal = np.diff(self.site_map_offsets)
        return values[self.site_map + np.repeat(self.site_offsets[:-1], per_crystal)]

    def with_failed(self, failed: Mapping[int, str]) -> Self:
        """Return graphs in which further crystals are marked as failed.

        Parameters
        ----------
        failed : mapping of int to str
            The reason for each crystal to mark, by its position. A crystal that is
            marked already keeps its reason.

        Returns
        -------
        CrystalGraphs
            A copy in which these crystals have neither sites nor edges, or this
            container if `failed` is empty.

        Raises
        ------
        IndexError
            If a position does not exist.
        """
        self._check_positions(failed)
        if not failed:
            return self
        reasons = {**failed, **self._failed}
        kept = np.setdiff1d(np.arange(len(self)), list(reasons))
        arrays: dict[str, Any] = self[kept]._arrays()
        for name in ("site_offsets", "site_map_offsets"):
            counts = np.zeros(len(self), dtype=np.int64)
            counts[kept] = np.diff(arrays[name])
            arrays[name] = offsets_of(counts)
        return type(self)(**arrays, settings=self.settings, failed=reasons)

    def __repr__(self) -> str:
        failed = f"n_failed={len(self._failed)}, " if self._failed else ""
        return (
            f"CrystalGraphs(n_crystals={len(self)}, {failed}n_sites={self.n_sites}, "
            f"n_edges={self.n_edges}, settings={self.settings})"
        )

    def __sizeof__(self) -> int:
        # dask sends what is small with every task, and what is large only once.
        return super().__sizeof__() + self.nbytes

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in DTYPES}

    # Selection

    def __len__(self) -> int:
        return len(self.site_offsets) - 1

    def _slice(self, start: int, stop: int) -> Self:
        sites = slice(*self.site_offsets[[start, stop]].tolist())
        edges = slice(*self.edge_offsets[[sites.start, sites.stop]].tolist())
        mapped = slice(*self.site_map_offsets[[start, stop]].tolist())
        return type(self)(
            atomic_numbers=self.atomic_numbers[sites],
            multiplicity=self.multiplicity[sites],
            site_offsets=self.site_offsets[start : stop + 1] - sites.start,
            neighbors=self.neighbors[edges],
            distances=self.distances[edges],
            edge_weights=self.edge_weights[edges],
            edge_offsets=self.edge_offsets[sites.start : sites.stop + 1] - edges.start,
            site_map=self.site_map[mapped],
            site_map_offsets=self.site_map_offsets[start : stop + 1] - mapped.start,
            settings=self.settings,
            failed=self._failed_among(range(start, stop)),
        )

    def _take(self, rows: NDArray[np.intp]) -> Self:
        sites, site_offsets = take_ragged(self.site_offsets, rows)
        edges, edge_offsets = take_ragged(self.edge_offsets, sites)
        mapped, site_map_offsets = take_ragged(self.site_map_offsets, rows)
        return type(self)(
            atomic_numbers=self.atomic_numbers[sites],
            multiplicity=self.multiplicity[sites],
            site_offsets=site_offsets,
            neighbors=self.neighbors[edges],
            distances=self.distances[edges],
            edge_weights=self.edge_weights[edges],
            edge_offsets=edge_offsets,
            site_map=self.site_map[mapped],
            site_map_offsets=site_map_offsets,
            settings=self.settings,
            failed=self._failed_among(rows.tolist()),
        )

    def _failed_among(self, rows: Sequence[int]) -> dict[int, str]:
        """Return the reasons of the failed ones among `rows`, by their place there."""
        if not self._failed:
            return {}
        return {
            place: self._failed[row]
            for place, row in enumerate(rows)
            if row in self._failed
        }

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """Join several containers into one.

        Parameters
        ----------
        parts : iterable of CrystalGraphs
            At least one container, all made with the same settings.

        Returns
        -------
        CrystalGraphs
            The crystals of all parts, in order.

        Raises
        ------
        TypeError
            If one of the parts is not a CrystalGraphs.
        ValueError
            If there are no parts.
        GraphSettingsError
            If the parts were made with different settings.
        """
        parts = list(parts)
        for place, part in enumerate(parts):
            if not isinstance(part, CrystalGraphs):
                raise TypeError(
                    f"parts[{place}] is of type {type(part).__name__}, expected "
                    "CrystalGraphs; featurize structures with CrystalGraphFeaturizer"
                )
        if not parts:
            raise ValueError("parts is empty; pass at least one CrystalGraphs")
        for place, part in enumerate(parts):
            if part.settings != parts[0].settings:
                differences = describe_differences(part.settings, parts[0].settings)
                raise GraphSettingsError(
                    f"parts[{place}] and parts[0] were made with different settings: "
                    f"{differences}; featurize both with the same settings"
                )
        joined: dict[str, Any] = {
            name: (join_offsets if name.endswith("_offsets") else np.concatenate)(
                [getattr(part, name) for part in parts]
            )
            for name in DTYPES
        }
        failed: dict[int, str] = {}
        n_before = 0
        for part in parts:
            failed |= {n_before + row: reason for row, reason in part.failed.items()}
            n_before += len(part)
        return cls(**joined, settings=parts[0].settings, failed=failed)

    # Storage

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the graphs to a folder.

        The folder holds an ``.npy`` file for each array, and a JSON file with the
        settings and the reasons of failed crystals.

        Parameters
        ----------
        path : str or path-like
            The folder to create.
        overwrite : bool, default=False
            Whether to replace graphs that were saved there before.

        Raises
        ------
        FileExistsError
            If `path` exists and `overwrite` is False, or if `path` is something other
            than a folder of saved graphs.
        """
        contents = {"settings": self.settings, "failed": self._failed}
        write_graphs(Path(path), self._arrays(), contents, overwrite=overwrite)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        *,
        mmap_mode: Literal["r", "c"] | None = None,
    ) -> Self:
        """Read graphs that :meth:`save` wrote.

        Parameters
        ----------
        path : str or path-like
            The folder.
        mmap_mode : {"r", "c"} or None, default=None
            None reads and checks all arrays. "r" and "c" leave them on disk, and read
            the parts that are used: "r" makes the arrays read-only, "c" keeps changes
            in memory, as in :func:`numpy.load`. Then only the lengths of the arrays are
            checked; call :meth:`check` to read and check everything.

        Returns
        -------
        CrystalGraphs

        Raises
        ------
        FileNotFoundError
            If the folder does not exist, or lacks a file.
        GraphFormatError
            If the format version is unknown, or the files contradict each other.
        """
        graphs = cls(**read_graphs(Path(path), mmap_mode))
        if mmap_mode is None:
            graphs.check()
        return graphs

    def check(self) -> None:
        """Check every invariant of the container.

        Raises
        ------
        GraphFormatError
            If offsets do not ascend, if a neighbor or an entry of the site map lies
            outside its crystal, if an atomic number, count or distance is impossible,
            or if the crystals without sites are not those that failed.
        """
        check_lengths(self._arrays())
        check_values(self._arrays())
        check_failed(self._failed, self.site_offsets)


def without_graphs(
    reasons: Sequence[str], settings: Mapping[str, Any]
) -> CrystalGraphs:
    """Return a container of crystals that all failed.

    Parameters
    ----------
    reasons : sequence of str
        The reason for each crystal. May be empty.
    settings : mapping of str to JSON value
        Settings of graphs, as in :class:`CrystalGraphs`.

    Returns
    -------
    CrystalGraphs
    """
    lengths = dict.fromkeys(DTYPES, 0) | {"edge_offsets": 1}
    lengths |= dict.fromkeys(("site_offsets", "site_map_offsets"), len(reasons) + 1)
    arrays: dict[str, Any] = {
        name: np.zeros(lengths[name], dtype) for name, dtype in DTYPES.items()
    }
    return CrystalGraphs(**arrays, settings=settings, failed=dict(enumerate(reasons)))
