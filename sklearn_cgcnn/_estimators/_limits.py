"""Warn of crystals that a model cannot know much about."""

import warnings

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.periodic_table import Element

from sklearn_cgcnn._messages import listing
from sklearn_cgcnn.exceptions import ExtrapolationWarning, FailedCrystalsWarning
from sklearn_cgcnn.graphs import CrystalGraphs

# Å. In crystals, the twelfth neighbor of a site is nearer. Longer edges cross vacuum,
# and no feature of the default edge basis tells their lengths apart.
_LONG_EDGE = 8.0
_MAX_LISTED = 10  # that a warning describes


def elements_of(graphs: CrystalGraphs) -> NDArray[np.int64]:
    """Return the atomic numbers of the elements in some crystals.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.

    Returns
    -------
    ndarray of shape (n_elements,), int64
        In ascending order.
    """
    return np.unique(graphs.atomic_numbers).astype(np.int64)


def warn_of_long_edges(graphs: CrystalGraphs) -> None:
    """Warn of crystals with edges across vacuum.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.

    Warns
    -----
    ExtrapolationWarning
        Once, with the number of these crystals and the first of them.
    """
    long = np.flatnonzero(graphs.distances > _LONG_EDGE)
    if not len(long):
        return
    sites = np.searchsorted(graphs.edge_offsets, long, side="right") - 1
    crystals = np.unique(_crystal_of(graphs, sites))
    longest = graphs.distances[long].max()
    warnings.warn(
        f"{_first_of(crystals)} edges longer than {_LONG_EDGE:g} Å (up to "
        f"{longest:.1f} Å), like those of a molecule in a box or a slab in vacuum. The "
        "network cannot tell such lengths apart; set cutoff=8 of the featurizer, or "
        "see the limits of validity in the documentation",
        ExtrapolationWarning,
        stacklevel=2,
    )


def warn_of_new_elements(graphs: CrystalGraphs, known: NDArray[np.int64]) -> None:
    """Warn of crystals with elements that no training crystal had.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.
    known : ndarray of shape (n_elements,), int64
        Atomic numbers of the elements of the training crystals.

    Warns
    -----
    ExtrapolationWarning
        Once, with the elements, the number of these crystals and the first of them.
    """
    is_new = ~np.isin(graphs.atomic_numbers, known)
    if not is_new.any():
        return
    new = elements_of(graphs)
    symbols = [Element.from_Z(int(z)).symbol for z in new[~np.isin(new, known)]]
    crystals = np.unique(_crystal_of(graphs, np.flatnonzero(is_new)))
    warnings.warn(
        f"{_first_of(crystals)} elements that no training crystal has "
        f"({', '.join(symbols)}); predictions for them are extrapolations",
        ExtrapolationWarning,
        stacklevel=2,
    )


def warn_of_failed(graphs: CrystalGraphs, name: str = "X") -> None:
    """Warn of crystals that are left out because they cannot become graphs.

    Parameters
    ----------
    graphs : CrystalGraphs
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
    warnings.warn(message, FailedCrystalsWarning, stacklevel=2)


def _crystal_of(graphs: CrystalGraphs, sites: NDArray[np.intp]) -> NDArray[np.intp]:
    crystals: NDArray[np.intp] = (
        np.searchsorted(graphs.site_offsets, sites, side="right") - 1
    )
    return crystals


def _first_of(crystals: NDArray[np.intp]) -> str:
    """Return the subject of a sentence about some crystals."""
    others = len(crystals) - 1
    more = f" and {others} other crystal{'s' * (others > 1)}" if others else ""
    return f"X[{crystals[0]}]{more} {'have' if others else 'has'}"
