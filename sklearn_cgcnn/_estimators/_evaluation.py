"""What a trained network computes of crystals: predictions, contributions, vectors."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._estimators._graph_making import GraphMaking
from sklearn_cgcnn._estimators._limits import warn_of_new_elements
from sklearn_cgcnn._estimators._persistence import PersistentWeights
from sklearn_cgcnn._training import make_dataset
from sklearn_cgcnn._validation import check_crystals
from sklearn_cgcnn.graphs import (
    AnyGraphs,
    CrystalGraphs,
    ShardedCrystalGraphs,
    chunks_of,
)


class NetEvaluation(PersistentWeights, GraphMaking):
    """Base class that evaluates the net of a fitted estimator."""

    @abstractmethod
    def _decode(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Convert outputs of the network to the unit and shape of the target."""

    def _predict_outputs(self, X: Any) -> NDArray[np.float32]:
        """Return the outputs of the network, of shape (n_crystals, n_outputs)."""
        return self._evaluate(X, "infer")

    def _predict_contributions(
        self, X: Any, method: str = "contributions"
    ) -> list[NDArray[np.float64]]:
        """Return the contributions of the sites of each crystal, in their order.

        Each array has shape (n_sites,) or (n_sites, n_outputs). `method` is that of the
        network: "contributions" or "attributions".
        """
        return self._evaluate_sites(X, method, self._decode)

    def _embed_crystals(self, X: Any) -> NDArray[np.float64]:
        """Return the pooled vectors, of shape (n_crystals, n_site_channels)."""
        return self._evaluate(X, "crystal_vectors").astype(np.float64)

    def _embed_sites(self, X: Any) -> list[NDArray[np.float64]]:
        """Return the vectors of the sites of each crystal, in their order."""
        return self._evaluate_sites(
            X, "site_vectors", lambda vectors: vectors.astype(np.float64)
        )

    def _n_embedding_channels(self) -> int:
        check_is_fitted(self)
        return int(self._network_spec.n_site_channels)

    def _evaluate(self, X: Any, method: str) -> NDArray[np.float32]:
        """Return what a method of net or network computes of each crystal.

        Rows of crystals that failed are NaN.
        """
        graphs = self._graphs_to_evaluate(X)
        is_known = ~graphs.is_failed
        known = graphs if is_known.all() else graphs[is_known]
        values = self._evaluate_known(known, method)
        if known is not graphs:
            filled = np.full((len(graphs), *values.shape[1:]), np.nan, values.dtype)
            filled[is_known] = values
            values = filled
        return values

    def _evaluate_known(self, graphs: AnyGraphs, method: str) -> NDArray[np.float32]:
        """Return what a method computes of crystals that all have graphs."""
        order = None
        if isinstance(graphs, ShardedCrystalGraphs):
            order = graphs.reading_order()
        if order is not None:
            graphs = graphs[order]
        dataset = make_dataset(graphs, device=self.net_.device)
        values: NDArray[np.float32] = self.net_.evaluate(dataset, method).numpy()
        return values if order is None else values[np.argsort(order)]

    def _evaluate_sites(
        self,
        X: Any,
        method: str,
        convert: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    ) -> list[NDArray[np.float64]]:
        """Return what a method of the network computes of the sites of each crystal.

        Crystals that failed have no sites.
        """
        graphs = self._graphs_to_evaluate(X)
        of_crystals = [np.empty(0)] * len(graphs)
        for positions, part in chunks_of(graphs):
            known = part[~part.is_failed] if part.failed else part
            values = convert(self._evaluate_known(known, method))
            pairs = zip(positions.tolist(), _split_sites(part, values), strict=True)
            for position, of_sites in pairs:
                of_crystals[position] = of_sites
        return of_crystals

    def _graphs_to_evaluate(self, X: Any) -> AnyGraphs:
        """Return the graphs of crystals to predict, and warn of what is unlike them."""
        check_is_fitted(self)
        crystals = check_crystals(X, on_error=self.featurizer_.on_error, on_disk=True)
        graphs = self._make_graphs(crystals, self._network_spec)
        if self._elements is not None:
            warn_of_new_elements(graphs, self._elements)
        return graphs


def _split_sites(
    graphs: CrystalGraphs, merged: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Return values of merged sites for the sites of each crystal, in their order."""
    return np.split(graphs.expand_sites(merged), graphs.site_map_offsets[1:-1])
