"""Warn of crystals that a model cannot know much about."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element

from sklearn_cgcnn._messages import listing, warn
from sklearn_cgcnn.exceptions import ExtrapolationWarning, FailedCrystalsWarning
from sklearn_cgcnn.graphs import AnyGraphs, chunks_of

# Å. In crystals, the twelfth neighbor of a site is nearer. Longer edges cross vacuum,
# and no feature of the default edge basis tells their lengths apart.
_LONG_EDGE = 8.0
_MAX_LISTED = 10  # that a warning describes


def elements_of(graphs: AnyGraphs) -> NDArray[np.int64]:
    """Return the atomic numbers of the elements in some crystals.

    Parameters
    ----------
    graphs : CrystalGraphs or ShardedCrystalGraphs
        The crystals.

    Returns
    -------
    ndarray of shape (n_elements,), int64
        In ascending order.
    """
    is_present = np.zeros(256, dtype=bool)
    for _, part in chunks_of(graphs):
        is_present[part.atomic_numbers] = True
    return np.flatnonzero(is_present)


def warn_of_long_edges(graphs: AnyGraphs, name: str = "X") -> None:
    """Warn of crystals with edges across vacuum.

    Parameters
    ----------
    graphs : CrystalGraphs or ShardedCrystalGraphs
        The crystals.
    name : str, default="X"
        Name of the argument.

    Warns
    -----
    ExtrapolationWarning
        Once, with the number of these crystals and the first of them.
    """
    found, longest = list[int](), 0.0
    for positions, part in chunks_of(
        graphs, lambda shard: shard.longest_edge > _LONG_EDGE
    ):
        long = np.flatnonzero(part.distances > _LONG_EDGE)
        if len(long) == 0:
            continue
        sites = np.searchsorted(part.edge_offsets, long, side="right") - 1
        found += positions[np.unique(part.crystal_index[sites])].tolist()
        longest = max(longest, part.distances[long].max(initial=0.0))
    if not found:
        return
    warn(
        f"{_first_of(found, name)} edges longer than {_LONG_EDGE:g} Å (up to "
        f"{longest:.1f} Å), like those of a molecule in a box or a slab in vacuum. The "
        "network cannot tell such lengths apart; set cutoff=8 of the featurizer, or "
        "see the limits of validity in the documentation",
        ExtrapolationWarning,
    )


def warn_of_new_elements(graphs: AnyGraphs, known: NDArray[np.int64]) -> None:
    """Warn of crystals with elements that no training crystal had.

    Parameters
    ----------
    graphs : CrystalGraphs or ShardedCrystalGraphs
        The crystals.
    known : ndarray of shape (n_elements,), int64
        Atomic numbers of the elements of the training crystals.

    Warns
    -----
    ExtrapolationWarning
        Once, with the elements, the number of these crystals and the first of them.
    """
    new, found = set[int](), list[int]()
    for positions, part in chunks_of(
        graphs, lambda shard: not np.isin(shard.elements, known).all()
    ):
        is_new = ~np.isin(part.atomic_numbers, known)
        if not is_new.any():
            continue
        new.update(part.atomic_numbers[is_new].tolist())
        crystals = np.unique(part.crystal_index[is_new])
        found += positions[crystals].tolist()
    if not found:
        return
    symbols = [Element.from_Z(z).symbol for z in sorted(new)]
    warn(
        f"{_first_of(found, 'X')} elements that no training crystal has "
        f"({', '.join(symbols)}); predictions for them are extrapolations",
        ExtrapolationWarning,
    )


def warn_of_failed(graphs: AnyGraphs, name: str = "X") -> None:
    """Warn of crystals that are left out because they cannot become graphs.

    Parameters
    ----------
    graphs : CrystalGraphs or ShardedCrystalGraphs
        Graphs of which some failed.
    name : str, default="X"
        Name of the argument.

    Warns
    -----
    FailedCrystalsWarning
        Once, with the position and the reason of each of them, up to a bound.
    """
    lines = [f"{name}[{i}] {reason}" for i, reason in graphs.failed.items()]
    n_crystals = f"{len(lines)} of {len(graphs)} crystals"
    header = f"{n_crystals} cannot become graphs and are left out:"
    message = listing(header, lines, _MAX_LISTED)
    warn(message, FailedCrystalsWarning)


def _first_of(crystals: Sequence[int], name: str) -> str:
    """Return the subject of a sentence about some crystals."""
    others = len(crystals) - 1
    more = f" and {others} other crystal{'s' * (others > 1)}" if others else ""
    return f"{name}[{min(crystals)}]{more} {'have' if others else 'has'}"
