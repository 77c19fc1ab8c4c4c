"""Where crystals lie relative to those that networks were trained on."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from sklearn_cgcnn._estimators import graphs_to_predict
from sklearn_cgcnn._validation import find_unknown_elements
from sklearn_cgcnn.exceptions import ExtrapolationWarning
from sklearn_cgcnn.graphs import in_memory
from sklearn_cgcnn.uncertainty._training_range import (
    TAIL,
    Excess,
    TrainingRange,
    element_fractions,
)

# The error grows with the distance to the nearest training crystal, and with how thinly
# the training crystals are spread there.
_N_NEIGHBORS = (1, 20)


@dataclass(frozen=True)
class Location:
    """Where crystals lie.

    Attributes
    ----------
    distances : ndarray of shape (n_crystals, 2)
        Distances to the nearest training crystal, and mean distance to the nearest 20.
    vectors : ndarray of shape (n_crystals, n_channels)
        Pooled vectors of the first network.
    fractions : ndarray of shape (n_crystals, 119)
        Fractions of the elements, by atomic number.
    excess : Excess
        How far they leave the range of the training crystals, and the reasons.
    is_known : ndarray of shape (n_crystals,), bool
        False for crystals that cannot become graphs. Their distances and vectors are
        NaN.
    """

    distances: NDArray[np.float64]
    vectors: NDArray[np.float64]
    fractions: NDArray[np.float64]
    excess: Excess
    is_known: NDArray[np.bool_]


class TrainingDomain:
    """Pooled vectors of the training crystals, and the range of what they contain.

    Distances between vectors are Euclidean. They are divided by the median that the
    training crystals have among themselves, and averaged over networks.

    Parameters
    ----------
    n_references : int or None, default=None
        Number of training crystals whose vectors are kept, drawn at random. None keeps
        those of all.
    """

    def __init__(self, n_references: int | None = None) -> None:
        self.n_references = n_references

    def fit(self, networks: Sequence[Any], X: Any) -> Self:
        """Store what is known of the training crystals.

        Parameters
        ----------
        networks : sequence of CGCNNRegressor or CGCNNClassifier
            Fitted estimators, whose vectors to compare.
        X : sequence of Structure, or CrystalGraphs
            The training crystals.

        Returns
        -------
        TrainingDomain
            This object.

        Raises
        ------
        ValueError
            If there is a single crystal.
        """
        graphs = in_memory(graphs_to_predict(networks[0], X))
        elements = networks[0]._network_spec.known_elements()
        graphs = graphs.with_failed(find_unknown_elements(graphs, elements))
        graphs = graphs[np.flatnonzero(~graphs.is_failed)]
        if len(graphs) < 2:
            raise ValueError(
                "a single training crystal has no distance from others; pass more"
            )
        # Always the same ones: the choice hardly matters.
        order = np.random.RandomState(0).permutation(len(graphs))
        kept = graphs[np.sort(order[: self.n_references])]
        self._vectors = [network._embed_crystals(kept) for network in networks]
        own = [_distances(vectors, None) for vectors in self._vectors]
        # The median is zero if most training crystals have a copy.
        self._units = [float(np.median(each[:, 0])) or 1.0 for each in own]
        self._own = np.sort(self._average(own)[:, 0])
        self._range = TrainingRange().fit(graphs)
        return self

    def locate(self, networks: Sequence[Any], X: Any) -> Location:
        """Compute where crystals lie.

        Parameters
        ----------
        networks : sequence of CGCNNRegressor or CGCNNClassifier
            Those passed to `fit`.
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        Location
        """
        with warnings.catch_warnings():
            # The excess says so of each crystal.
            warnings.simplefilter("ignore", ExtrapolationWarning)
            graphs = in_memory(graphs_to_predict(networks[0], X))
            vectors = [network._embed_crystals(graphs) for network in networks]
        is_known = np.isfinite(vectors[0]).all(axis=1)
        distances = np.full((len(graphs), len(_N_NEIGHBORS)), np.nan)
        if is_known.any():
            each = [
                _distances(training, rows[is_known])
                for training, rows in zip(self._vectors, vectors, strict=True)
            ]
            distances[is_known] = self._average(each)
        return Location(
            distances=distances,
            vectors=vectors[0],
            fractions=element_fractions(graphs).toarray(),
            excess=self._range.excess(graphs),
            is_known=is_known,
        )

    def scores(self, networks: Sequence[Any], X: Any) -> NDArray[np.float64]:
        """Score how much crystals are like those of the training.

        Parameters
        ----------
        networks : sequence of CGCNNRegressor or CGCNNClassifier
            Those passed to `fit`.
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        ndarray of shape (n_crystals,)
            From 0 to 1.
        """
        found = self.locate(networks, X)
        shares = self._shares_farther(found.distances[:, 0])
        beyond = found.excess.values
        return np.where(beyond > 0, np.minimum(shares, TAIL) * (1 - beyond), shares)

    def reasons(self, networks: Sequence[Any], X: Any) -> list[list[str]]:
        """Say how crystals leave the range, which takes no vectors.

        Parameters
        ----------
        networks : sequence of CGCNNRegressor or CGCNNClassifier
            Those passed to `fit`.
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        list of list of str
            The reasons of each crystal.
        """
        graphs = in_memory(graphs_to_predict(networks[0], X))
        networks[0].featurizer_.check_settings(graphs)
        return self._range.excess(graphs).reasons

    def _shares_farther(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of training crystals that lie farther from the others.

        Beyond the farthest training crystal, the share goes on falling toward zero
        without reaching it, so that all crystals remain in order.
        """
        n_crystals, farthest = len(self._own), max(self._own[-1], np.finfo(float).tiny)
        ranks = np.arange(n_crystals, 0, -1) / (n_crystals + 1)
        inside = np.interp(distances, self._own, ranks, left=1.0)
        shares: NDArray[np.float64] = inside / np.maximum(distances / farthest, 1.0)
        return shares

    def _average(self, distances: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the mean over networks, in their own units."""
        relative = [
            each / unit for each, unit in zip(distances, self._units, strict=True)
        ]
        average: NDArray[np.float64] = np.mean(relative, axis=0)
        return average


def _distances(
    training: NDArray[np.float64], vectors: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return mean distances to the nearest training crystals.

    None means those of the training crystals, which are not their own neighbors.
    """
    n_others = len(training) - (vectors is None)
    numbers = [min(number, n_others) for number in _N_NEIGHBORS]
    search = NearestNeighbors(n_neighbors=max(numbers)).fit(training)
    found = search.kneighbors(vectors)[0]
    return np.stack([found[:, :number].mean(axis=1) for number in numbers], axis=1)
