"""From structures to the packed container of their graphs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
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
from sklearn_cgcnn.graphs._crystal_graphs import CrystalGraphs, without_graphs
from sklearn_cgcnn.graphs._equivalence import merge_equivalent_sites
from sklearn_cgcnn.graphs._failures import (
    Failure,
    formula_of,
    n_sites_of,
    structure_error,
)
from sklearn_cgcnn.graphs._neighbors import EDGE_RULES, EdgeRule, NeighborList
from sklearn_cgcnn.graphs._ragged import offsets_of
from sklearn_cgcnn.graphs._settings import graph_settings

# Crystals, and sites, that are processed together. There are enough of them to share
# the overhead of array operations, and few enough that their pairs of sites stay in the
# processor's cache.
_MAX_CRYSTALS = 128
_MAX_SITES = 4096

# If so many crystals failed, an error is raised without reading the next chunk.
_MAX_FAILURES = 100


def build_graphs(
    structures: Iterable[IStructure | Failure],
    rule: EdgeRule,
    *,
    merge_equivalent: bool = True,
    on_error: str = "raise",
    n_jobs: int | None = None,
    verbose: int = 0,
    first: int | None = None,
) -> CrystalGraphs:
    """Build the graphs of crystal structures.

    Parameters
    ----------
    structures : iterable of Structure or Failure
        The crystals. They are read one after another, so that those of an iterator
        need not be in memory together. A failure takes the place of a crystal that
        could not be read.
    rule : EdgeRule
        The rule that joins sites by edges.
    merge_equivalent : bool, default=True
        Whether to merge sites that a network cannot distinguish.
    on_error : {"raise", "collect"}, default="raise"
        What to do if structures cannot become graphs. "raise" raises an error that
        names all of them, and stops reading if a hundred have failed. "collect" returns
        graphs without sites for them, and the reasons as ``failed``.
    n_jobs : int or None, default=None
        Number of processes, as in joblib. None means one.
    verbose : int, default=0
        Whether to show a progress bar.
    first : int or None, default=None
        Position of the first structure, if these are a part of more: errors count
        from there, and all structures of the part may fail. None means that they are
        all.

    Returns
    -------
    CrystalGraphs
        One graph for each structure, in order.

    Raises
    ------
    StructureError
        If structures cannot become graphs, and `on_error` is "raise" or no structure
        of all can. The attribute ``index`` of the error is the position of the first of
        them, and ``failed`` maps the position of each to the reason.
    ValueError
        If there are no structures, or if your own rule returns an invalid neighbor
        list.
    """
    settings = graph_settings(rule, merge_equivalent)
    n_structures = len(structures) if isinstance(structures, Sized) else None
    chunks = _UntilError(
        _read_cells(chunk, rule.normalize_cells)
        for chunk in _split_into_chunks(structures)
    )
    is_small = n_structures is not None and n_structures <= _MAX_CRYSTALS
    in_parallel = effective_n_jobs(n_jobs) > 1 and not is_small
    finished = list[CrystalGraphs]()
    failures, n_done = dict[int, Failure](), first or 0
    with progress_bar(n_structures, "featurizing", "crystal", verbose) as bar:
        for part, failed in _build_chunks(chunks, rule, settings, n_jobs, in_parallel):
            if chunks.stopped:
                continue  # read ahead for the other processes
            finished.append(part)
            failures |= {n_done + row: each for row, each in failed.items()}
            n_done += len(part)
            chunks.stopped = on_error == "raise" and len(failures) >= _MAX_FAILURES
            bar.update(len(part))
    if chunks.error is not None:
        raise chunks.error
    if not finished:
        raise ValueError("X contains no crystals: it is empty; pass at least one")
    if on_error == "raise" or (first is None and len(failures) == n_done):
        is_last = first is None and not chunks.stopped
        _check_failures(failures, n_done, on_error, is_last)
    return CrystalGraphs.concatenate(finished)


def _check_failures(
    failures: Mapping[int, Failure], n_done: int, on_error: str, is_last: bool
) -> None:
    if not failures:
        return
    remedy = "Repair these crystals, or leave them out."
    if on_error == "raise":
        remedy = (
            'Repair these crystals, leave them out, or pass on_error="collect" to '
            "CrystalGraphFeaturizer to collect the reasons instead."
        )
    if not is_last:
        remedy = f"Crystals after X[{n_done - 1}] were not read. {remedy}"
    raise structure_error(failures, n_done, remedy)


# The graphs of a chunk, and what is wrong with those of its crystals that have none, by
# their position in the chunk.
_Built = tuple[CrystalGraphs, dict[int, Failure]]


def _build_chunks(
    chunks: Iterable[list[Cell | Failure]],
    rule: EdgeRule,
    settings: dict[str, Any],
    n_jobs: int | None,
    in_parallel: bool,
) -> Iterable[_Built]:
    """Return an iterable over the graphs of each chunk, which are built on demand."""
    if not in_parallel:
        return (_build_chunk(chunk, rule, settings) for chunk in chunks)
    parts: Iterable[_Built] = generator_of(n_jobs)(
        delayed(_build_chunk)(chunk, rule, settings) for chunk in chunks
    )
    return parts


class _UntilError:
    """Iterate until the first exception, and keep it instead of raising it.

    A worker pool reads its tasks in a thread of its own. There, an interrupt would be
    taken for the regular end of the tasks, and any other exception would end the pool.
    """

    def __init__(self, items: Iterable[list[Cell | Failure]]) -> None:
        self.items = items
        self.error: BaseException | None = None
        self.stopped = False  # whether to end before the next item

    def __iter__(self) -> Iterator[list[Cell | Failure]]:
        try:
            for item in self.items:
                yield item
                if self.stopped:
                    return
        except BaseException as error:  # noqa: BLE001
            self.error = error


def _split_into_chunks(
    structures: Iterable[IStructure | Failure],
) -> Iterator[list[IStructure | Failure]]:
    """Yield chunks of structures."""
    n_sites, chunk = 0, list[IStructure | Failure]()
    for structure in structures:
        if len(chunk) == _MAX_CRYSTALS or n_sites > _MAX_SITES:
            yield chunk
            n_sites, chunk = 0, []
        chunk.append(structure)
        n_sites += n_sites_of(structure)
    if chunk:
        yield chunk


def _read_cells(
    structures: Iterable[IStructure | Failure], normalize: bool
) -> list[Cell | Failure]:
    """Read the cell of each structure, or what is wrong with it."""
    cells = list[Cell | Failure]()
    for structure in structures:
        if isinstance(structure, Failure):
            cells.append(structure)
            continue
        try:
            cells.append(read_cell(structure, normalize=normalize))
        except StructureError as error:
            cells.append(Failure(str(error), formula_of(structure.composition)))
    return cells


def _build_chunk(
    cells: Sequence[Cell | Failure], rule: EdgeRule, settings: dict[str, Any]
) -> _Built:
    """Build the graphs of a chunk of cells, with empty ones for those that fail."""
    failed = {row: cell for row, cell in enumerate(cells) if isinstance(cell, Failure)}
    good = {row: cell for row, cell in enumerate(cells) if isinstance(cell, Cell)}
    parts, order = list[CrystalGraphs](), list[int]()
    groups = [list(good)] if good else []
    while groups:
        rows = groups.pop()
        try:
            parts.append(_build_together([good[row] for row in rows], rule, settings))
            order += rows
        except StructureError as error:
            if len(rows) > 1:
                # Halves are built again, until the crystals that fail are alone.
                groups += [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
            else:
                failed[rows[0]] = _failure(error, good[rows[0]])
    if not failed:
        return parts[0], {}
    parts.append(without_graphs([each.reason for each in failed.values()], settings))
    order += failed
    graphs = CrystalGraphs.concatenate(parts)[np.argsort(order)]
    return graphs, dict(sorted(failed.items()))


def _build_together(
    cells: Sequence[Cell], rule: EdgeRule, settings: dict[str, Any]
) -> CrystalGraphs:
    """Build the graphs of cells, of which none may fail."""
    edges = rule.find(cells)
    if type(rule) not in EDGE_RULES.values():
        _check_edges(cells, edges, rule, settings)
    pack = _pack_merged if settings["merge_equivalent"] else _pack
    return pack(cells, edges, settings)


def _failure(error: StructureError, cell: Cell) -> Failure:
    symbols = (Element.from_Z(z) for z in cell.atomic_numbers)
    return Failure(str(error), formula_of(Composition(Counter(symbols))))


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
        site_offsets=offsets_of(sites_per_crystal),
        neighbors=edges.neighbors,
        distances=edges.distances,
        edge_weights=np.ones(len(edges.neighbors), dtype=np.uint16),
        edge_offsets=offsets_of(edges.counts),
        site_map=np.concatenate(
            [np.arange(n, dtype=np.int32) for n in sites_per_crystal]
        ),
        site_map_offsets=offsets_of(sites_per_crystal),
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
        site_offsets=offsets_of(merged.sites_per_crystal),
        neighbors=merged.edges.neighbors,
        distances=merged.edges.distances,
        edge_weights=merged.edge_weights,
        edge_offsets=offsets_of(merged.edges.counts),
        site_map=merged.site_map,
        site_map_offsets=offsets_of(sites_per_crystal),
        settings=settings,
    )


def _sites(cells: Sequence[Cell]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the atomic numbers of all sites, and how many sites each crystal has."""
    atomic_numbers = np.concatenate([cell.atomic_numbers for cell in cells])
    return atomic_numbers, np.array([len(cell.atomic_numbers) for cell in cells])
