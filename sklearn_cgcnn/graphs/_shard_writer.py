"""From structures to graphs on disk, shard by shard."""

from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core.structure import IStructure

from sklearn_cgcnn._atomic_file import remove_unfinished
from sklearn_cgcnn._progress import progress_bar
from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.graphs._build import build_graphs
from sklearn_cgcnn.graphs._crystal_graphs import CrystalGraphs
from sklearn_cgcnn.graphs._failures import Failure, n_sites_of
from sklearn_cgcnn.graphs._invariants import DTYPES
from sklearn_cgcnn.graphs._manifest import MANIFEST_NAME, Manifest, Shard
from sklearn_cgcnn.graphs._neighbors import EdgeRule
from sklearn_cgcnn.graphs._settings import describe_differences, graph_settings
from sklearn_cgcnn.graphs._shard_file import write_shard
from sklearn_cgcnn.graphs._shards import ShardedCrystalGraphs

# A shard ends early after so many sites, so that large crystals do not fill the memory.
_MAX_SITES = 2**18


def write_shards(
    structures: Iterable[IStructure | Failure],
    rule: EdgeRule,
    path: Path,
    *,
    if_exists: str = "raise",
    shard_size: int = 2048,
    merge_equivalent: bool = True,
    on_error: str = "raise",
    n_jobs: int | None = None,
    verbose: int = 0,
) -> ShardedCrystalGraphs:
    """Build the graphs of crystal structures on disk.

    A shard depends on nothing but its own structures, and is complete before the
    manifest lists it. An interrupted writing therefore resumes at the next shard, and
    ends with the same files as an undisturbed one.

    Parameters
    ----------
    structures : iterable of Structure or Failure
        The crystals. They are read one after another.
    rule : EdgeRule
        The rule that joins sites by edges.
    path : Path
        The folder. It is created if it does not exist.
    if_exists : {"raise", "resume", "append"}, default="raise"
        What to do if `path` exists.
    shard_size : int, default=2048
        Largest number of crystals in a shard. A folder keeps the one that it began
        with.
    merge_equivalent : bool, default=True
        As in :func:`build_graphs`, like the parameters that follow.
    on_error : {"raise", "collect"}, default="raise"
        What to do if structures cannot become graphs. All of them may fail.
    n_jobs : int or None, default=None
        Number of processes.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    ShardedCrystalGraphs
        All graphs of the folder.

    Raises
    ------
    FileExistsError
        If `path` exists, and `if_exists` is "raise" or it is no folder of shards.
    GraphSettingsError
        If the graphs of the folder were made with other settings.
    StructureError
        If structures cannot become graphs, and `on_error` is "raise".
    ValueError
        If there are no structures, if others were written before the interrupt, or if
        crystals are to be appended to an incomplete folder.
    """
    manifest = _begin(
        path, graph_settings(rule, merge_equivalent), shard_size, if_exists
    )
    total = len(structures) if isinstance(structures, Sized) else None
    remaining = iter(structures)
    with progress_bar(total, "featurizing", "crystal", verbose) as bar:
        n_done = _skip_written(remaining, path, manifest)
        bar.update(n_done)
        for shard in _split_into_shards(remaining, manifest.shard_size):
            if manifest.is_complete:
                raise _too_many(path, manifest)
            graphs = build_graphs(
                shard,
                rule,
                merge_equivalent=merge_equivalent,
                on_error=on_error,
                n_jobs=n_jobs,
                first=n_done,
            )
            manifest = _add_shard(path, manifest, graphs)
            n_done += len(graphs)
            bar.update(len(graphs))
    if not manifest.is_complete and manifest.shards:
        # Also if nothing was appended: the folder stays as complete as it was.
        manifest.completed().write(path)
    if not n_done:
        raise ValueError("X contains no crystals: it is empty; pass at least one")
    return ShardedCrystalGraphs(path)


def _begin(
    path: Path, settings: dict[str, Any], shard_size: int, if_exists: str
) -> Manifest:
    """Return the manifest that the writing begins with."""
    if path.exists() and if_exists == "raise":
        raise FileExistsError(
            f'{path} exists; choose another path, pass if_exists="resume" with the '
            'same crystals to end an interrupted writing, or if_exists="append" to add '
            "crystals"
        )
    # A folder without a manifest may be someone else's, with other unfinished files.
    remove_unfinished(path, MANIFEST_NAME)
    if not Manifest.exists(path):
        return _begin_anew(path, Manifest(settings, shard_size))
    remove_unfinished(path)
    manifest = Manifest.read(path)
    if manifest.settings != settings:
        differences = describe_differences(settings, manifest.settings)
        raise GraphSettingsError(
            f"{path} holds graphs made with other settings ({differences}); choose "
            "another path, or the same settings"
        )
    if if_exists == "append":
        if not manifest.is_complete:
            raise ValueError(
                f"{path} is incomplete, because its writing was interrupted; end it "
                'first, with if_exists="resume" and the same crystals as then'
            )
        manifest = manifest.appending()
        manifest.write(path)
    return manifest


def _begin_anew(path: Path, manifest: Manifest) -> Manifest:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(
            f"{path} holds something other than shards of graphs; choose another path"
        )
    path.mkdir(parents=True, exist_ok=True)
    manifest.write(path)
    return manifest


def _skip_written(
    structures: Iterator[IStructure | Failure], path: Path, manifest: Manifest
) -> int:
    """Skip what the writing had done before it was interrupted. Return how many."""
    if manifest.n_crystals == manifest.begins_at:
        return 0
    written = ShardedCrystalGraphs(path)[manifest.begins_at :]
    expected = written.sizes().n_original_sites.tolist()
    for row, n_sites in enumerate(expected):
        structure = next(structures, None)
        if structure is None:
            raise ValueError(
                f"X has {row} crystals, but {len(expected)} were written to {path} "
                'before; to resume, pass the same ones, and if_exists="append" to add '
                "others"
            )
        n_found = n_sites_of(structure)
        # A crystal that failed has no sites on disk.
        if n_sites and n_found != n_sites:
            raise ValueError(
                f"X[{row}] has {n_found} sites, but the crystal that was written to "
                f"{path} in its place has {n_sites}; to resume, pass the same crystals "
                'in the same order, and if_exists="append" to add others'
            )
    return len(expected)


def _too_many(path: Path, manifest: Manifest) -> ValueError:
    n_written = manifest.n_crystals - manifest.begins_at
    return ValueError(
        f"X has more than {n_written} crystals, but {path} was completed with "
        f'{n_written}; pass the others alone with if_exists="append"'
    )


def _split_into_shards(
    structures: Iterator[IStructure | Failure], shard_size: int
) -> Iterator[Iterator[IStructure | Failure]]:
    """Yield the structures of each shard, which must be read before the next shard."""
    for first in structures:
        yield _shard_from(first, structures, shard_size)


def _shard_from(
    first: IStructure | Failure,
    others: Iterator[IStructure | Failure],
    shard_size: int,
) -> Iterator[IStructure | Failure]:
    yield first
    n_crystals, n_sites = 1, n_sites_of(first)
    while n_crystals < shard_size and n_sites < _MAX_SITES:
        structure = next(others, None)
        if structure is None:
            return
        yield structure
        n_crystals, n_sites = n_crystals + 1, n_sites + n_sites_of(structure)


def _add_shard(path: Path, manifest: Manifest, graphs: CrystalGraphs) -> Manifest:
    """Write a shard, and then the manifest that lists it."""
    file = f"{len(manifest.shards):06}.safetensors"
    arrays = {name: getattr(graphs, name) for name in DTYPES}
    contents = {"settings": graphs.settings, "failed": dict(graphs.failed)}
    shard = Shard(
        file=file,
        n_crystals=len(graphs),
        n_failed=len(graphs.failed),
        elements=tuple(np.unique(graphs.atomic_numbers).tolist()),
        longest_edge=float(graphs.distances.max(initial=0.0)),
        sha256=write_shard(path / file, arrays, contents),
    )
    manifest = manifest.add(shard)
    manifest.write(path)
    return manifest
