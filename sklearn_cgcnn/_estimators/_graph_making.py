"""How an estimator makes the graphs of crystals."""

from typing import Any

from sklearn.base import clone

from sklearn_cgcnn._estimators._limits import warn_of_long_edges
from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn._estimators._parameters import EstimatorParameters
from sklearn_cgcnn._estimators._pretrained import (
    inherited_featurizer,
    pretrained_model,
)
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._validation import check_elements, find_unknown_elements
from sklearn_cgcnn.graphs import AnyGraphs


class GraphMaking(EstimatorParameters):
    """Base class that makes graphs with the featurizer of an estimator."""

    featurizer_: CrystalGraphFeaturizer

    def _make_featurizer(self, crystals: Any) -> CrystalGraphFeaturizer:
        """Return the featurizer of the parameters, or one for the graphs given."""
        if self.pretrained is not None:
            return inherited_featurizer(self, pretrained_model(self.pretrained))
        if self.featurizer is not None:
            copied: CrystalGraphFeaturizer = clone(self.featurizer)
            return copied
        if isinstance(crystals, AnyGraphs):
            settings = crystals.settings
            return CrystalGraphFeaturizer.from_settings(
                settings, **self._featurizer_params()
            )
        return CrystalGraphFeaturizer(**self._featurizer_params())

    def _featurizer_params(self) -> dict[str, Any]:
        """Return the parameters of a featurizer that do not shape the graphs."""
        names = ("on_error", "n_jobs", "verbose")
        return {name: getattr(self, name) for name in names}

    def _on_error(self) -> str:
        """Return how crystals that cannot become graphs are treated."""
        own = self.featurizer
        return self.on_error if own is None else str(own.on_error)

    def _make_graphs(
        self, crystals: Any, spec: NetworkSpec, name: str = "X"
    ) -> AnyGraphs:
        """Return the graphs. Crystals without features for an element fail too."""
        graphs: AnyGraphs
        if isinstance(crystals, AnyGraphs):
            # Those that failed were collected on purpose.
            self.featurizer_.check_settings(crystals)
            graphs = crystals
        else:
            graphs = self.featurizer_.transform(crystals)
        if graphs.failed or self.featurizer_.on_error == "collect":
            unknown = find_unknown_elements(graphs, spec.known_elements())
            graphs = graphs.with_failed(unknown)
        else:
            check_elements(graphs, spec.known_elements())
        warn_of_long_edges(graphs, name)
        return graphs
