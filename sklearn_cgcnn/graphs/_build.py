"""From structures to the packed container of their graphs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np
from joblib import delayed, effective_n_jobs
from numpy.typing import NDArray
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element
from pymatgen.core.structure import IStructure

from sklearn_cgcnn._parallel import generator_of
from sklearn_cgcnn._progress import progress_bar
from sklearn_cgcnn.exceptions import GraphFormatError, StructureError
from sklearn_cgcnn.graphs._cells import Cell, read_cell
from sklearn_cgcnn.graphs._crystal_graphs import CrystalGraphs
from sklearn_cgcnn.graphs._equivalence import merge_equivalent_sites
from sklearn_cgcnn.graphs._neighbors import EDGE_RULES, EdgeRule, NeighborList
from sklearn_cgcnn.graphs._settings import graph_settings

# Crystals, and sites, that are processed together. There are enough of them to share
# the overhead of array operations, and few enough that their pairs of sites stay in the
# processor's cache.
_MAX_CRYSTALS = 128
_MAX_SITES = 4096


def build_graphs(
    structures: Iterable[IStructure],
    rule: EdgeRule,
    *,
    merge_equivalent: bool = True,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> CrystalGraphs:
    """Build the graphs of crystal structures.

    Parameters
    ----------
    structures : iterable of Structure
        The crystals. They are read one after another, so that those of an iterator
        need not be in memory together.
    rule : EdgeRule
        The rule that joins sites by edges.
    merge_equivalent : bool, default=True
        Whether to merge sites that a network cannot distinguish.
    n_jobs : int or None, default=None
        Number of processes, as in joblib. None means one.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    CrystalGraphs
        One graph for each structure, in order.

    Raises
    ------
    StructureError
        If a structure cannot become a graph. The message begins with the position and
        the formula of the structure, the attribute ``index`` is its position.
    ValueError
        If there are no structures, or if your own rule returns an invalid neighbor
        list.
    """
    settings = graph_settings(rule, merge_equivalent)
    n_structures = len(structures) if isinstance(structures, Sized) else None
    chunks = _UntilError(
        (first, _read_cells(chunk, first, rule.normalize_cells))
        for first, chunk in _split_into_chunks(structures)
    )
    is_small = n_structures is not None and n_structures <= _MAX_CRYSTALS
    in_parallel = effective_n_jobs(n_jobs) > 1 and not is_small
    finished = []
    with progress_bar(n_structures, "featurizing", "crystal", verbose) as bar:
        for part in _build_chunks(chunks, rule, settings, n_jobs, in_parallel):
            finished.append(part)
            bar.update(len(part))
    if chunks.error is not None:
        raise chunks.error
    if not finished:
        raise ValueError("X contains no crystals: it is empty; pass at least one")
    return CrystalGraphs.concatenate(finished)


def _build_chunks(
    chunks: Iterable[tuple[int, list[Cell]]],
    rule: EdgeRule,
    settings: dict[str, Any],
    n_jobs: int | None,
    in_parallel: bool,
) -> Iterable[CrystalGraphs]:
    """Return an iterable over the graphs of each chunk, which are built on demand."""
    if not in_parallel:
        return (_build_chunk(*chunk, rule, settings) for chunk in chunks)
    parts: Iterable[CrystalGraphs] = generator_of(n_jobs)(
        delayed(_build_chunk)(*chunk, rule, settings) for chunk in chunks
    )
    return parts


class _UntilError:
    """Iterate until the first exception, and keep it instead of raising it.

    A worker pool reads its tasks in a thread of its own. There, an interrupt would be
    taken for the regular end of the tasks, and any other exception would end the pool.
    """

    def __init__(self, items: Iterable[tuple[int, list[Cell]]]) -> None:
        self.items = items
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[tuple[int, list[Cell]]]:
        try:
            yield from self.items
        except BaseException as error:  # noqa: BLE001
            self.error = error


def _split_into_chunks(
    structures: Iterable[IStructure],
) -> Iterator[tuple[int, list[IStructure]]]:
    """Yield chunks of structures, each with the position of its first structure."""
    first, n_sites, chunk = 0, 0, list[IStructure]()
    for structure in structures:
        if len(chunk) == _MAX_CRYSTALS or n_sites > _MAX_SITES:
            yield first, chunk
            first, n_sites, chunk = first + len(chunk), 0, []
        chunk.append(structure)
        n_sites += len(structure)
    if chunk:
        yield first, chunk


def _read_cells(
    structures: Sequence[IStructure], first: int, normalize: bool
) -> list[Cell]:
    """Read the cells of a chunk of structures that begins at X[first]."""
    cells = []
    for position, structure in enumerate(structures):
        try:
            cells.append(read_cell(structure, normalize=normalize))
        except StructureError as error:
            raise _locate_error(
                error, first + position, structure.composition
            ) from None
    return cells


def _build_chunk(
    first: int, cells: Sequence[Cell], rule: EdgeRule, settings: dict[str, Any]
) -> CrystalGraphs:
    """Build the graphs of a chunk of cells that begins at X[first]."""
    try:
        edges = rule.find(cells)
        if type(rule) not in EDGE_RULES.values():
            _check_edges(cells, edges, rule, settings)
        pack = _pack_merged if settings["merge_equivalent"] else _pack
        return pack(cells, edges, settings)
    except StructureError as error:
        if error.index is None:  # a user's own rule may not set it
            raise
        composition = _composition(cells[error.index])
        raise _locate_error(error, first + error.index, composition) from None


def _check_edges(
    cells: Sequence[Cell], edges: NeighborList, rule: EdgeRule, settings: dict[str, Any]
) -> None:
    """Check what a user's own rule returns."""
    rule.check_type(edges)
    try:
        _pack(cells, edges, settings).check()
    except GraphFormatError as error:
        raise ValueError(
            f"the edge rule {type(rule).__name__} returned an invalid NeighborList "
            f"({error}); it must have the number of edges of each site as counts "
            "(int64), the position of each neighbor in its own crystal as neighbors "
            "(int32), and positive, finite distances (float64) in Å"
        ) from error


def _pack(
    cells: Sequence[Cell], edges: NeighborList, settings: dict[str, Any]
) -> CrystalGraphs:
    atomic_numbers, sites_per_crystal = _sites(cells)
    return CrystalGraphs(
        atomic_numbers=atomic_numbers,
        multiplicity=np.ones(len(atomic_numbers), dtype=np.int32),
        site_offsets=_offsets(sites_per_crystal),
        neighbors=edges.neighbors,
        distances=edges.distances,
        edge_weights=np.ones(len(edges.neighbors), dtype=np.uint16),
        edge_offsets=_offsets(edges.counts),
        site_map=np.concatenate(
            [np.arange(n, dtype=np.int32) for n in sites_per_crystal]
        ),
        site_map_offsets=_offsets(sites_per_crystal),
        settings=settings,
    )


def _pack_merged(
    cells: Sequence[Cell], edges: NeighborList, settings: dict[str, Any]
) -> CrystalGraphs:
    atomic_numbers, sites_per_crystal = _sites(cells)
    merged = merge_equivalent_sites(atomic_numbers, sites_per_crystal, edges)
    return CrystalGraphs(
        atomic_numbers=atomic_numbers[merged.representatives],
        multiplicity=merged.multiplicity,
        site_offsets=_offsets(merged.n_sites),
        neighbors=merged.edges.neighbors,
        distances=merged.edges.distances,
        edge_weights=merged.edge_weights,
        edge_offsets=_offsets(merged.edges.counts),
        site_map=merged.site_map,
        site_map_offsets=_offsets(sites_per_crystal),
        settings=settings,
    )


def _sites(cells: Sequence[Cell]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the atomic numbers of all sites, and how many sites each crystal has."""
    atomic_numbers = np.concatenate([cell.atomic_numbers for cell in cells])
    return atomic_numbers, np.array([len(cell.atomic_numbers) for cell in cells])


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)])


def _composition(cell: Cell) -> Composition:
    return Composition(Counter(Element.from_Z(z) for z in cell.atomic_numbers))


def _locate_error(
    error: StructureError, index: int, composition: Composition
) -> StructureError:
    """Return the error with position and formula of the structure in its message."""
    # Composition.formula would warn about elements without an electronegativity.
    formula = " ".join(f"{species}{n:g}" for species, n in composition.items())
    return StructureError(f"X[{index}] ({formula}): {error}", index=index)
