"""What must hold for the arrays of a container of crystal graphs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import GraphFormatError
from sklearn_cgcnn.graphs._elements import MAX_ATOMIC_NUMBER

# Every array of the container, with its dtype on disk and in memory. An edge takes
# 14 bytes and a site 13, plus 4 for each original site that it stands for. Distances
# are the only floating-point numbers. They are in double precision, because rounding
# would make a prediction depend on the orientation of the crystal.
DTYPES: Mapping[str, np.dtype[Any]] = {
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

Arrays = Mapping[str, NDArray[Any]]


def check_lengths(arrays: Arrays) -> None:
    """Check that the arrays have the right dtypes, and lengths that fit together.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The arrays of the container by name. Only offsets at both ends are read.

    Raises
    ------
    GraphFormatError
        If an array has another dtype or number of dimensions, or if the lengths
        contradict each other.
    """
    for name, dtype in DTYPES.items():
        _require(arrays[name].ndim == 1, f"{name} is one-dimensional")
        _require(arrays[name].dtype == dtype, f"{name} has dtype {dtype}")
    _require(len(arrays["site_offsets"]) > 0, "site_offsets has at least one entry")
    n_crystals = len(arrays["site_offsets"]) - 1
    n_sites, n_edges = len(arrays["atomic_numbers"]), len(arrays["neighbors"])
    _require(len(arrays["multiplicity"]) == n_sites, "multiplicity has n_sites entries")
    for name in ("distances", "edge_weights"):
        _require(len(arrays[name]) == n_edges, f"{name} has n_edges entries")
    for name, length, last in (
        ("site_offsets", n_crystals + 1, n_sites),
        ("edge_offsets", n_sites + 1, n_edges),
        ("site_map_offsets", n_crystals + 1, len(arrays["site_map"])),
    ):
        offsets = arrays[name]
        spans = len(offsets) == length and offsets[0] == 0 and offsets[-1] == last
        _require(bool(spans), f"{name} has {length} entries, from 0 to {last}")


def check_values(arrays: Arrays) -> None:
    """Check the values of arrays whose lengths fit together.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The arrays of the container by name.

    Raises
    ------
    GraphFormatError
        If offsets do not ascend, if a neighbor or an entry of the site map lies outside
        its crystal, or if an atomic number, count or distance is impossible.
    """
    for name in ("site_offsets", "edge_offsets", "site_map_offsets"):
        _require(bool((np.diff(arrays[name]) >= 0).all()), f"{name} ascend")
    _check_references(arrays)
    distances = arrays["distances"]
    positive = np.isfinite(distances) & (distances > 0)
    _require(bool(positive.all()), "distances are positive and finite")
    for name in ("atomic_numbers", "multiplicity", "edge_weights"):
        _require(bool((arrays[name] > 0).all()), f"{name} are positive")
    _require(
        arrays["atomic_numbers"].max(initial=0) <= MAX_ATOMIC_NUMBER,
        f"atomic_numbers are at most {MAX_ATOMIC_NUMBER}",
    )


def check_positions(failed: Mapping[int, str], n_crystals: int) -> None:
    """Check that the crystals that failed exist.

    Parameters
    ----------
    failed : mapping of int to str
        The reason for each crystal that could not become a graph, by its position.
    n_crystals : int
        Number of all crystals.

    Raises
    ------
    GraphFormatError
        If a position does not exist.
    """
    inside = all(0 <= position < n_crystals for position in failed)
    _require(inside, "the positions in failed are those of crystals")


def check_failed(failed: Mapping[int, str], site_offsets: NDArray[np.int64]) -> None:
    """Check that the crystals without sites are those that failed.

    Parameters
    ----------
    failed : mapping of int to str
        The reason for each crystal that could not become a graph, by its position.
    site_offsets : ndarray of shape (n_crystals + 1,), int64
        Where the sites of each crystal begin.

    Raises
    ------
    GraphFormatError
        If a crystal that failed has sites, or another one has none.
    """
    without_sites = np.flatnonzero(np.diff(site_offsets) == 0).tolist()
    _require(
        sorted(failed) == without_sites,
        "failed names the crystals that have no sites, and no others",
    )


def _check_references(arrays: Arrays) -> None:
    """Check what refers to the sites of a crystal, and how often each is counted."""
    sites_per_crystal = np.diff(arrays["site_offsets"])
    map_lengths = np.diff(arrays["site_map_offsets"])
    crystals = np.arange(len(sites_per_crystal))
    crystal_of_site = np.repeat(crystals, sites_per_crystal)
    crystal_of_edge = np.repeat(crystal_of_site, np.diff(arrays["edge_offsets"]))
    for name, crystal in (
        ("neighbors", crystal_of_edge),
        ("site_map", np.repeat(crystals, map_lengths)),
    ):
        inside = (arrays[name] >= 0) & (arrays[name] < sites_per_crystal[crystal])
        _require(bool(inside.all()), f"{name} lie within their crystal")
    total = np.bincount(
        crystal_of_site, weights=arrays["multiplicity"], minlength=len(crystals)
    )
    _require(
        np.array_equal(total, map_lengths),
        "multiplicity adds up to the number of original sites of each crystal",
    )


def _require(holds: bool, invariant: str) -> None:
    if not holds:
        raise GraphFormatError(
            f"the crystal graphs are damaged: it must hold that {invariant}"
        )
