"""The packed container of the graphs of many crystals."""

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.graphs._invariants import DTYPES, check_lengths, check_values
from sklearn_cgcnn.graphs._settings import describe_differences
from sklearn_cgcnn.graphs._storage import read_arrays, read_header, write_folder
from sklearn_cgcnn.graphs._upgrades import FORMAT_VERSION, check_version, upgrade


class CrystalGraphs:
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

    Raises
    ------
    GraphFormatError
        If an array has another dtype, or the lengths of the arrays contradict each
        other.

    Examples
    --------
    >>> from sklearn_cgcnn import CrystalGraphFeaturizer
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures = make_ionic_crystals(10, random_state=0).data
    >>> graphs = CrystalGraphFeaturizer().transform(structures)
    >>> len(graphs), graphs.shape, len(graphs[2:5])
    (10, (10, 1), 3)
    """

    ndim = 2

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
        check_lengths(self._arrays())

    # Contents

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the container as an array: one column of crystals."""
        return (len(self), 1)

    @property
    def n_sites(self) -> int:
        """Number of sites of all crystals together."""
        return len(self.atomic_numbers)

    @property
    def n_edges(self) -> int:
        """Number of edges of all crystals together."""
        return len(self.neighbors)

    @property
    def edge_index(self) -> NDArray[np.int64]:
        """Center and neighbor of every edge, counted over the sites of all crystals.

        Returns
        -------
        ndarray of shape (2, n_edges), int64
            The centers in ascending order, and the neighbors.
        """
        sites_per_crystal = np.diff(self.site_offsets)
        first_site = np.repeat(self.site_offsets[:-1], sites_per_crystal)
        centers = np.repeat(np.arange(self.n_sites), np.diff(self.edge_offsets))
        return np.stack([centers, self.neighbors + first_site[centers]])

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
            ``site_map_offsets[i]``.

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

    def __repr__(self) -> str:
        return (
            f"CrystalGraphs(n_crystals={len(self)}, n_sites={self.n_sites}, "
            f"n_edges={self.n_edges}, settings={self.settings})"
        )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in DTYPES}

    # Behavior as a sequence, and as a column, of crystals

    def __len__(self) -> int:
        return len(self.site_offsets) - 1

    def __iter__(self) -> Iterator[Self]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, key: Any) -> Self:
        """Select crystals.

        Parameters
        ----------
        key : int, slice, sequence of int, or boolean mask
            Positions of the crystals. A tuple ``(key, ...)`` or ``(key, slice(None))``
            is accepted too, because scikit-learn indexes objects with a shape in this
            way.

        Returns
        -------
        CrystalGraphs
            The selected crystals, also if `key` is a single integer. The arrays are
            views if `key` is a slice of step one, and copies otherwise.
        """
        if isinstance(key, tuple):
            key = _row_key(key)
        if isinstance(key, slice) and key.step in (None, 1):
            return self._slice(*key.indices(len(self))[:2])
        rows = np.arange(len(self))[key]
        return self._take(np.atleast_1d(rows))

    def _slice(self, start: int, stop: int) -> Self:
        stop = max(start, stop)
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
        )

    def _take(self, rows: NDArray[np.intp]) -> Self:
        sites, site_offsets = _take_ragged(self.site_offsets, rows)
        edges, edge_offsets = _take_ragged(self.edge_offsets, sites)
        mapped, site_map_offsets = _take_ragged(self.site_map_offsets, rows)
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
        )

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """Return the crystals as an object array of shape ``(n_crystals, 1)``."""
        if dtype is not None and np.dtype(dtype) != object:
            raise TypeError(
                f"crystal graphs cannot become an array of dtype {dtype}; use "
                "dtype=object"
            )
        if copy is False:
            raise ValueError(
                "crystal graphs cannot become an array without a copy; pass copy=None"
            )
        column = np.empty(self.shape, dtype=object)
        for row, graph in enumerate(self):
            column[row, 0] = graph
        return column

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
        for index, part in enumerate(parts):
            if not isinstance(part, CrystalGraphs):
                raise TypeError(
                    f"parts[{index}] is of type {type(part).__name__}, expected "
                    "CrystalGraphs; featurize structures with CrystalGraphFeaturizer"
                )
        if not parts:
            raise ValueError("parts is empty; pass at least one CrystalGraphs")
        for index, part in enumerate(parts):
            if part.settings != parts[0].settings:
                differences = describe_differences(part.settings, parts[0].settings)
                raise GraphSettingsError(
                    f"parts[{index}] and parts[0] were made with different settings: "
                    f"{differences}; featurize both with the same settings"
                )
        joined: dict[str, Any] = {
            name: (_join_offsets if name.endswith("_offsets") else np.concatenate)(
                [getattr(part, name) for part in parts]
            )
            for name in DTYPES
        }
        return cls(**joined, settings=parts[0].settings)

    # Storage

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the graphs to a folder.

        The folder holds an ``.npy`` file for each array, and a JSON file with the
        settings.

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
        header = {"format_version": FORMAT_VERSION, "settings": self.settings}
        write_folder(Path(path), self._arrays(), header, overwrite=overwrite)

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
        path = Path(path)
        header = read_header(path)
        check_version(header, path)
        header, arrays = upgrade(header, read_arrays(path, mmap_mode), path)
        for name in DTYPES:
            if name not in arrays:
                raise FileNotFoundError(
                    f"{path / f'{name}.npy'} is missing; save the graphs again"
                )
        graphs = cls(
            **{name: arrays[name] for name in DTYPES}, settings=header["settings"]
        )
        if mmap_mode is None:
            graphs.check()
        return graphs

    def check(self) -> None:
        """Check every invariant of the container.

        Raises
        ------
        GraphFormatError
            If offsets do not ascend, if a neighbor or an entry of the site map lies
            outside its crystal, or if an atomic number, count or distance is
            impossible.
        """
        check_lengths(self._arrays())
        check_values(self._arrays())


def _row_key(key: tuple[Any, ...]) -> Any:
    rest = [part for part in key[1:] if part is not Ellipsis and part != slice(None)]
    if not key or rest:
        raise IndexError(
            "crystal graphs have a single column and are indexed as graphs[rows], got "
            f"{key}"
        )
    return key[0]


def _take_ragged(
    offsets: NDArray[np.int64], rows: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the items that `rows` own, and their new offsets."""
    counts = offsets[rows + 1] - offsets[rows]
    taken = np.concatenate([[0], np.cumsum(counts)])
    shift = np.repeat(offsets[rows] - taken[:-1], counts)
    return shift + np.arange(taken[-1]), taken


def _join_offsets(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    counts = np.concatenate([np.diff(part) for part in parts])
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
