"""What crystals hold that no training crystal holds: elements, distances, densities."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element
from scipy import sparse

from sklearn_cgcnn.graphs import CrystalGraphs

_N_NUMBERS = 119  # Atomic numbers from 0 to 118.
# Strength of the ridge regression that explains distances by elements. An element in
# two crystals, of which it is half, keeps half of its effect.
_RIDGE = 0.5
#: Share of the training crystals that lies beyond each limit.
TAIL = 0.01
# Limits are never narrower than this relative difference of distances: rounding errors
# stay within it.
_EXACT = 1e-4
# Number of distances whose leverage is computed at once, which bounds the memory.
_BLOCK = 10_000


@dataclass(frozen=True)
class Excess:
    """How far crystals leave the range of the training.

    Attributes
    ----------
    values : ndarray of shape (n_crystals,)
        0 within the range. 1 at twice its limits and beyond, and for new elements.
    reasons : list of list of str
        For each crystal, how it leaves the range.
    """

    values: NDArray[np.float64]
    reasons: list[list[str]]


class TrainingRange:
    """Elements and distances of the training crystals.

    Two kinds of distances are compared with those expected for the elements: the mean
    length of all edges, which measures the density, and the shortest edge of each pair
    of elements.
    """

    def fit(self, graphs: CrystalGraphs) -> Self:
        """Learn the range.

        Parameters
        ----------
        graphs : CrystalGraphs
            Graphs of the training crystals, of which none failed.

        Returns
        -------
        TrainingRange
            This object.
        """
        self._elements = np.unique(graphs.atomic_numbers)
        self._spacing = SpacingRange().fit(graphs)
        self._contacts = ContactRange().fit(graphs)
        return self

    def excess(self, graphs: CrystalGraphs) -> Excess:
        """Compute how far crystals leave the range.

        Parameters
        ----------
        graphs : CrystalGraphs
            The crystals. Those that failed have no excess.

        Returns
        -------
        Excess
        """
        parts = [
            new_elements(graphs, self._elements),
            self._spacing.excess(graphs),
            self._contacts.excess(graphs),
        ]
        values = np.max([part.values for part in parts], axis=0, initial=0.0)
        reasons = [
            [reason for found in crystal for reason in found]
            for crystal in zip(*(part.reasons for part in parts), strict=True)
        ]
        return Excess(values, reasons)


@dataclass(frozen=True)
class _Lengths:
    """Distances, the elements that they depend on, and the crystals that they are of.

    Attributes
    ----------
    logs : ndarray of shape (n_lengths,)
        Logarithms of the distances in Å.
    fractions : csr_array of shape (n_lengths, 119)
        Share of each element in each distance, by atomic number.
    crystals : ndarray of shape (n_lengths,)
        Position of the crystal of each distance.
    """

    logs: NDArray[np.float64]
    fractions: sparse.csr_array
    crystals: NDArray[np.intp]


class _LengthRange(ABC):
    """Base class of ranges of distances, relative to those expected for the elements.

    The logarithm of the expected distance is a sum over elements, learned by ridge
    regression.
    """

    #: What the distances are, for the reasons.
    _name: ClassVar[str]
    #: Whether long distances have a limit.
    _limits_long: ClassVar[bool]

    @staticmethod
    @abstractmethod
    def _measure(graphs: CrystalGraphs) -> _Lengths:
        """Return the distances of graphs."""

    def fit(self, graphs: CrystalGraphs) -> Self:
        """Learn the expected distances, and the limits of the deviations from them."""
        lengths = self._measure(graphs)
        self._mean = float(lengths.logs.mean())
        self._is_new = np.isin(
            np.arange(_N_NUMBERS), graphs.atomic_numbers, invert=True
        )
        gram = (lengths.fractions.T @ lengths.fractions).toarray()
        inverse = np.linalg.inv(gram + _RIDGE * np.eye(_N_NUMBERS))
        centered = lengths.logs - self._mean
        self._effects = inverse @ (lengths.fractions.T @ centered)
        # Deviations from what a fit to all other distances would expect.
        leverages = _leverages(lengths.fractions, inverse)
        deviations = self._deviations(lengths) / (1 - leverages)
        low = np.quantile(_lowest(deviations, lengths.crystals), TAIL)
        high = np.quantile(-_lowest(-deviations, lengths.crystals), 1 - TAIL)
        # Training crystals that are all alike deviate by rounding errors only.
        self._low, self._high = min(float(low), -_EXACT), max(float(high), _EXACT)
        return self

    def excess(self, graphs: CrystalGraphs) -> Excess:
        """Return how far crystals leave the limits."""
        lengths = self._measure(graphs)
        deviations = self._deviations(lengths)
        # Nothing is expected of new elements.
        deviations[lengths.fractions[:, self._is_new].sum(axis=1) > 0] = 0.0
        beyond = _beyond(deviations, self._low)
        if self._limits_long:
            beyond = np.maximum(beyond, _beyond(deviations, self._high))
        values, reasons = _nothing_found(graphs)
        np.maximum.at(values, lengths.crystals, beyond)
        for row in np.flatnonzero(beyond).tolist():
            reason = self._reason(lengths, row, deviations[row])
            reasons[lengths.crystals[row]].append(reason)
        return Excess(values, reasons)

    def _deviations(self, lengths: _Lengths) -> NDArray[np.float64]:
        expected = self._mean + lengths.fractions @ self._effects
        deviations: NDArray[np.float64] = lengths.logs - expected
        return deviations

    def _reason(self, lengths: _Lengths, row: int, deviation: float) -> str:
        numbers = lengths.fractions[[row]].indices.tolist()
        symbols = [Element.from_Z(number).symbol for number in sorted(set(numbers))]
        length = np.exp(lengths.logs[row])
        limit = self._low if deviation < 0 else self._high
        return (
            f"the {self._name} of {length:.2f} Å ({', '.join(symbols)}) is "
            f"{_percent(deviation)} than expected for these elements (limit: "
            f"{_percent(limit)})"
        )


class SpacingRange(_LengthRange):
    """Range of the geometric mean of all edges of a crystal."""

    _name, _limits_long = "mean distance between neighbors", True

    @staticmethod
    def _measure(graphs: CrystalGraphs) -> _Lengths:
        logs = mean_log_lengths(graphs)
        crystals = np.flatnonzero(np.isfinite(logs))
        fractions = element_fractions(graphs)[crystals]
        return _Lengths(logs[crystals], fractions, crystals)


class ContactRange(_LengthRange):
    """Range of the shortest edge of each pair of elements in a crystal."""

    _name, _limits_long = "shortest distance", False

    @staticmethod
    def _measure(graphs: CrystalGraphs) -> _Lengths:
        centers, neighbors = graphs.edge_index
        numbers = graphs.atomic_numbers.astype(np.int64)
        pairs = np.sort(np.stack([numbers[centers], numbers[neighbors]]), axis=0)
        crystals = graphs.crystal_index[centers]
        keys = (crystals * _N_NUMBERS + pairs[0]) * _N_NUMBERS + pairs[1]
        order = np.lexsort((graphs.distances, keys))
        # The first of each key is the shortest.
        first = order[np.unique(keys[order], return_index=True)[1]]
        rows = np.tile(np.arange(len(first)), 2)
        entries = (np.full(len(rows), 0.5), (rows, pairs[:, first].ravel()))
        fractions = sparse.coo_array(entries, shape=(len(first), _N_NUMBERS)).tocsr()
        return _Lengths(np.log(graphs.distances[first]), fractions, crystals[first])


def new_elements(graphs: CrystalGraphs, known: NDArray[np.integer[Any]]) -> Excess:
    """Find elements that no training crystal contains.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.
    known : ndarray of shape (n_elements,), int
        Atomic numbers of the elements of the training crystals.

    Returns
    -------
    Excess
    """
    sites = np.flatnonzero(~np.isin(graphs.atomic_numbers, known))
    crystals = graphs.crystal_index[sites].tolist()
    numbers = graphs.atomic_numbers[sites].tolist()
    values, reasons = _nothing_found(graphs)
    for crystal, number in sorted(set(zip(crystals, numbers, strict=True))):
        symbol = Element.from_Z(number).symbol
        reasons[crystal].append(f"no training crystal contains {symbol}")
        values[crystal] = 1.0
    return Excess(values, reasons)


def mean_log_lengths(graphs: CrystalGraphs) -> NDArray[np.float64]:
    """Compute the logarithm of the geometric mean of all edges of each crystal.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.

    Returns
    -------
    ndarray of shape (n_crystals,)
        Of lengths in Å. NaN for crystals without edges.
    """
    centers = graphs.edge_index[0]
    crystals = graphs.crystal_index[centers]
    counts = graphs.edge_weights * graphs.multiplicity[centers].astype(float)
    sums, totals = (
        np.bincount(crystals, values, len(graphs))
        for values in (counts * np.log(graphs.distances), counts)
    )
    means = np.full(len(graphs), np.nan)
    np.divide(sums, totals, out=means, where=totals > 0)
    return means


def element_fractions(graphs: CrystalGraphs) -> sparse.csr_array:
    """Compute the fractions of the elements in crystals.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.

    Returns
    -------
    csr_array of shape (n_crystals, 119)
        By atomic number. Zero for crystals that failed.
    """
    shape = len(graphs), _N_NUMBERS
    counts = graphs.multiplicity.astype(float)
    entries = (counts, (graphs.crystal_index, graphs.atomic_numbers))
    numbers = sparse.coo_array(entries, shape=shape).tocsr()
    sites = np.maximum(numbers.sum(axis=1), 1.0)
    return (sparse.diags_array(1 / sites) @ numbers).tocsr()


def _leverages(
    fractions: sparse.csr_array, inverse: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how much each distance determines its own expectation."""
    leverages = np.empty(fractions.shape[0])
    for start in range(0, len(leverages), _BLOCK):
        block = slice(start, start + _BLOCK)
        shares = fractions[block].toarray()
        leverages[block] = np.einsum("ij,ij->i", shares @ inverse, shares)
    return leverages


def _lowest(
    values: NDArray[np.float64], crystals: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the lowest value of each crystal that has any."""
    positions = np.unique(crystals, return_inverse=True)[1]
    lowest = np.full(positions.max(initial=-1) + 1, np.inf)
    np.minimum.at(lowest, positions, values)
    return lowest


def _beyond(deviations: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Return 0 up to a limit, and 1 at twice the limit and beyond."""
    return np.clip(deviations / limit - 1, 0.0, 1.0)


def _nothing_found(
    graphs: CrystalGraphs,
) -> tuple[NDArray[np.float64], list[list[str]]]:
    return np.zeros(len(graphs)), [[] for _ in range(len(graphs))]


def _percent(deviation: float) -> str:
    share = np.expm1(deviation)
    return f"{abs(share):.1%} {'shorter' if share < 0 else 'longer'}"
