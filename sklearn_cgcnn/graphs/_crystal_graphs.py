"""The packed container for the graphs of many crystals."""

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sklearn_cgcnn.exceptions import GraphFormatError, GraphSettingsError
from sklearn_cgcnn.graphs._elements import MAX_ATOMIC_NUMBER
from sklearn_cgcnn.graphs._storage import read_folder, write_folder

FORMAT_VERSION = 1

# Every array of the container, with its type on disk and in memory. An edge costs
# 14 bytes and a site 13, and 4 more for each site it stands for. Distances are the only
# floating-point numbers, in double precision because rounding them would make a
# prediction depend on how the crystal is turned.
_DTYPES: dict[str, np.dtype[Any]] = {
    "atomic_numbers": np.dtype(np.uint8),
    "multiplicity": np.dtype(np.int32),
    "site_offsets": np.dtype(np.int64),
    "neighbors": np.dtype(np.int32),
    "distances": np.dtype(np.float64),
    "edge_weights": np.dtype(np.uint16),
    "edge_offsets": np.dtype(np.int64),
    "site_map": np.dtype(np.int32),
    "site_map_offsets": np.dtype(np.int64),
}


class CrystalGraphs:
    """Graphs of many crystals, packed into a few flat arrays.

    The sites of all crystals lie one after the other, and so do the edges of all
    sites: crystal ``i`` owns the sites ``site_offsets[i]:site_offsets[i + 1]``, and
    site ``s`` owns the edges ``edge_offsets[s]:edge_offsets[s + 1]``, of which it is
    the center. Nothing is padded, and no features are stored, only what they are
    computed from. An edge runs from a site to one periodic image of another; several
    edges may join the same two sites (Xie and Grossman 2018, Fig. 1).

    One site of the graph may stand for several equivalent sites of the crystal, and
    one edge for several equal ones: ``multiplicity`` and ``edge_weights`` count them,
    and ``site_map`` leads from the crystal's own sites to those of its graph.

    The container is made by :class:`~sklearn_cgcnn.CrystalGraphFeaturizer`. It behaves
    as a sequence of crystals, and as a column of shape ``(n_crystals, 1)`` wherever
    scikit-learn splits, selects or counts samples. It is not to be modified.

    Parameters
    ----------
    atomic_numbers : ndarray of shape (n_sites,), uint8
        Atomic number of each site.
    multiplicity : ndarray of shape (n_sites,), int32
        How many sites of the crystal's cell each site stands for.
    site_offsets : ndarray of shape (n_crystals + 1,), int64
        Where each crystal's sites begin; the last entry is ``n_sites``.
    neighbors : ndarray of shape (n_edges,), int32
        Where each edge ends, as a site's position within its own crystal.
    distances : ndarray of shape (n_edges,), float64
        Length of each edge in Å.
    edge_weights : ndarray of shape (n_edges,), uint16
        How many equal edges of its center each edge stands for.
    edge_offsets : ndarray of shape (n_sites + 1,), int64
        Where each site's edges begin; the last entry is ``n_edges``.
    site_map : ndarray of shape (n_original_sites,), int32
        For each site of the structures as given, the site of the graph that stands
        for it, as its position within its own crystal.
    site_map_offsets : ndarray of shape (n_crystals + 1,), int64
        Where each crystal's part of ``site_map`` begins.
    settings : mapping of str to bool, int, float, str or None
        The featurizer's parameters that shaped these graphs.

    Raises
    ------
    GraphFormatError
        If the lengths of the arrays contradict each other.

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
        self._check_lengths()

    # What it holds

    @property
    def shape(self) -> tuple[int, int]:
        """Seen as an array: one column of crystals."""
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
        """Both ends of every edge, as positions among the sites of all crystals.

        Returns
        -------
        ndarray of shape (2, n_edges), int64
            The centers, in ascending order, and the neighbors.
        """
        sites_per_crystal = np.diff(self.site_offsets)
        first_site = np.repeat(self.site_offsets[:-1], sites_per_crystal)
        centers = np.repeat(np.arange(self.n_sites), np.diff(self.edge_offsets))
        return np.stack([centers, self.neighbors + first_site[centers]])

    @property
    def nbytes(self) -> int:
        """Memory taken by the arrays, in bytes."""
        return sum(array.nbytes for array in self._arrays().values())

    def expand_sites(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give every site of the structures the value of the site that stands for it.

        Parameters
        ----------
        values : ndarray of shape (n_sites, ...)
            One value, or vector, for each site of the graphs.

        Returns
        -------
        ndarray of shape (n_original_sites, ...)
            In the order of the structures and of their sites;
            ``site_map_offsets`` says where each structure begins.

        Raises
        ------
        ValueError
            If there is not one value for each site of the graphs.
        """
        if len(values) != self.n_sites:
            raise ValueError(
                f"values has {len(values)} entries for {self.n_sites} sites; give one "
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
        return {name: getattr(self, name) for name in _DTYPES}

    # As a sequence, and as a column, of crystals

    def __len__(self) -> int:
        return len(self.site_offsets) - 1

    def __iter__(self) -> Iterator[Self]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, key: Any) -> Self:
        """Select crystals.

        Parameters
        ----------
        key : int, slice, sequence of int, or boolean mask
            Or a tuple ``(key, ...)`` or ``(key, slice(None))``, as scikit-learn
            indexes whatever has a shape.

        Returns
        -------
        CrystalGraphs
            Also for a single integer, then of length one. A slice of step one is a
            view, everything else a copy.
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
        """Give the crystals as an object array of shape ``(n_crystals, 1)``."""
        if dtype is not None and np.dtype(dtype) != object:
            raise TypeError(f"crystal graphs cannot become an array of {dtype}")
        if copy is False:
            raise ValueError("crystal graphs cannot become an array without a copy")
        column = np.empty(self.shape, dtype=object)
        for row, graph in enumerate(self):
            column[row, 0] = graph
        return column

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """Join several containers into one, in order.

        Parameters
        ----------
        parts : iterable of CrystalGraphs
            At least one, all made with the same settings.

        Returns
        -------
        CrystalGraphs

        Raises
        ------
        TypeError
            If one of the parts is something else.
        ValueError
            If there is nothing to join.
        GraphSettingsError
            If the parts were made with different settings.
        """
        parts = list(parts)
        for index, part in enumerate(parts):
            if not isinstance(part, CrystalGraphs):
                raise TypeError(
                    f"parts[{index}] is of type {type(part).__name__}, and not "
                    "CrystalGraphs; featurize structures with CrystalGraphFeaturizer"
                )
        if not parts:
            raise ValueError("parts is empty: there are no crystal graphs to join")
        for index, part in enumerate(parts):
            if part.settings != parts[0].settings:
                raise GraphSettingsError(
                    f"parts[{index}] was made with {part.settings}, parts[0] with "
                    f"{parts[0].settings}; featurize both with the same settings"
                )
        joined: dict[str, Any] = {
            name: (_join_offsets if name.endswith("_offsets") else np.concatenate)(
                [getattr(part, name) for part in parts]
            )
            for name in _DTYPES
        }
        return cls(**joined, settings=parts[0].settings)

    # On disk

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the graphs to a folder: an ``.npy`` file per array, and the settings.

        Parameters
        ----------
        path : str or path-like
            The folder to create.
        overwrite : bool, default=False
            Whether to replace graphs saved there before.

        Raises
        ------
        FileExistsError
            If `path` exists and `overwrite` is False, or `path` holds anything else
            than saved crystal graphs.
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
        """Read graphs written by :meth:`save`.

        Parameters
        ----------
        path : str or path-like
            The folder.
        mmap_mode : {"r", "c"} or None, default=None
            Leave the arrays on disk and read what is used: read-only, or with changes
            kept in memory, as in :func:`numpy.load`. Then only their lengths are
            checked; :meth:`check` reads and checks everything, as None does.

        Returns
        -------
        CrystalGraphs

        Raises
        ------
        FileNotFoundError
            If there is no such folder or it lacks a file.
        GraphFormatError
            If the files are of an unknown version or contradict each other.
        """
        header, arrays = read_folder(Path(path), _DTYPES, mmap_mode)
        if header.get("format_version") != FORMAT_VERSION:
            raise GraphFormatError(
                f"{path} is of format version {header.get('format_version')}, and this "
                f"release reads version {FORMAT_VERSION}; featurize again"
            )
        graphs = cls(**arrays, settings=header["settings"])
        if mmap_mode is None:
            graphs.check()
        return graphs

    # Invariants

    def check(self) -> None:
        """Check every invariant of the container.

        Raises
        ------
        GraphFormatError
            If offsets do not ascend, an edge ends or a site maps outside its crystal,
            an atomic number, count or distance is impossible.
        """
        self._check_lengths()
        for name in ("site_offsets", "edge_offsets", "site_map_offsets"):
            _require(bool((np.diff(getattr(self, name)) >= 0).all()), f"{name} ascend")
        sites_per_crystal = np.diff(self.site_offsets)
        crystal_of_site = np.repeat(np.arange(len(self)), sites_per_crystal)
        crystal_of_edge = np.repeat(crystal_of_site, np.diff(self.edge_offsets))
        crystal_of_map = np.repeat(np.arange(len(self)), np.diff(self.site_map_offsets))
        for name, owner in (
            ("neighbors", crystal_of_edge),
            ("site_map", crystal_of_map),
        ):
            local = getattr(self, name)
            inside = (local >= 0) & (local < sites_per_crystal[owner])
            _require(bool(inside.all()), f"{name} lie within their crystal")
        positive = np.isfinite(self.distances) & (self.distances > 0)
        _require(bool(positive.all()), "distances are positive and finite")
        for name in ("atomic_numbers", "multiplicity", "edge_weights"):
            _require(bool((getattr(self, name) > 0).all()), f"{name} are positive")
        heaviest = self.atomic_numbers.max(initial=0)
        _require(heaviest <= MAX_ATOMIC_NUMBER, "atomic_numbers are at most 103")
        counted = np.bincount(
            crystal_of_site, weights=self.multiplicity, minlength=len(self)
        )
        _require(
            np.array_equal(counted, np.diff(self.site_map_offsets)),
            "multiplicity adds up to the sites of each crystal",
        )

    def _check_lengths(self) -> None:
        for name, dtype in _DTYPES.items():
            array = getattr(self, name)
            _require(array.ndim == 1, f"{name} is one-dimensional")
            _require(array.dtype == dtype, f"{name} is of type {dtype}")
        _require(len(self.site_offsets) > 0, "site_offsets has an entry")
        _require(
            len(self.multiplicity) == self.n_sites, "multiplicity has n_sites entries"
        )
        for name in ("distances", "edge_weights"):
            _require(
                len(getattr(self, name)) == self.n_edges, f"{name} has n_edges entries"
            )
        for name, length, total in (
            ("site_offsets", len(self) + 1, self.n_sites),
            ("edge_offsets", self.n_sites + 1, self.n_edges),
            ("site_map_offsets", len(self) + 1, len(self.site_map)),
        ):
            offsets = getattr(self, name)
            spans = len(offsets) == length and offsets[0] == 0 and offsets[-1] == total
            _require(bool(spans), f"{name} spans what it divides")


def _require(holds: bool, invariant: str) -> None:
    if not holds:
        raise GraphFormatError(
            f"damaged crystal graphs: it does not hold that {invariant}"
        )


def _row_key(key: tuple[Any, ...]) -> Any:
    rest = [part for part in key[1:] if part is not Ellipsis and part != slice(None)]
    if not key or rest:
        raise IndexError(
            f"crystal graphs have a single column, indexed as graphs[rows]; got {key}"
        )
    return key[0]


def _take_ragged(
    offsets: NDArray[np.int64], rows: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the items that `rows` own, and the offsets of the selection."""
    counts = offsets[rows + 1] - offsets[rows]
    taken = np.concatenate([[0], np.cumsum(counts)])
    shift = np.repeat(offsets[rows] - taken[:-1], counts)
    return shift + np.arange(taken[-1]), taken


def _join_offsets(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    counts = np.concatenate([np.diff(part) for part in parts])
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
