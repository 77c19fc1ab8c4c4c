"""Whether crystals are like those that a model was trained on."""

from numbers import Integral
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator

from sklearn_cgcnn._crystal_input import CrystalInput
from sklearn_cgcnn._estimators import CGCNNRegressor
from sklearn_cgcnn._sklearn_compat import Interval, fit_context
from sklearn_cgcnn._versioned_state import VersionedState
from sklearn_cgcnn.uncertainty._domain_mixin import TrainingDomainMixin
from sklearn_cgcnn.uncertainty._members import networks_of, shared_graphs
from sklearn_cgcnn.uncertainty._training_domain import TrainingDomain


class ApplicabilityDomain(
    VersionedState,
    TrainingDomainMixin,
    CrystalInput,
    MetaEstimatorMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Tell how far crystals lie from those that a model was trained on.

    The distance of a crystal is that between its pooled vector and that of the nearest
    training crystal, in the network that was trained. In addition, crystals are
    compared with the elements, the densities and the distances between sites of the
    training crystals, which the network may be blind to.

    Parameters
    ----------
    estimator : estimator or None, default=None
        A CGCNNRegressor, a CGCNNClassifier, an ensemble, or a Pipeline that ends in
        one. A fitted one, as ``FrozenEstimator(model)``, is not trained again; `fit`
        must then be given the crystals that it was trained on. (A SpreadRegressor knows
        them already, and with it the models of :mod:`sklearn_cgcnn.pretrained`. Call
        its own ``score_samples`` and ``reasons``.) None means ``CGCNNRegressor()``.
    n_references : int or None, default=None
        Number of training crystals whose vectors are kept to compare with, drawn at
        random. None keeps those of all. Fewer make the fitted object smaller.

    Attributes
    ----------
    estimator_ : estimator
        The fitted model.

    See Also
    --------
    SpreadRegressor : Turns the same distance into the spread of a prediction.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.uncertainty import ApplicabilityDomain
    >>> structures, energy = make_ionic_crystals(60, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=5, random_state=0).fit(structures, energy)
    >>> domain = ApplicabilityDomain(FrozenEstimator(model)).fit(structures)
    >>> compressed = structures[0].copy()
    >>> _ = compressed.scale_lattice(0.5 * compressed.volume)
    >>> bool(domain.score_samples([compressed])[0] < 0.01)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [BaseEstimator, None],
        "n_references": [Interval(Integral, 2, None, closed="left"), None],
    }

    estimator_: Any

    def __init__(
        self, estimator: Any = None, *, n_references: int | None = None
    ) -> None:
        self.estimator = estimator
        self.n_references = n_references

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the model unless it is frozen, and store what is known of its crystals.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The training crystals.
        y : array-like of shape (n_crystals,) or (n_crystals, n_outputs), default=None
            Targets. Not needed for a frozen model.

        Returns
        -------
        ApplicabilityDomain
            This estimator, fitted.

        Raises
        ------
        NotFittedError
            If `estimator` is frozen and not fitted.
        TypeError
            If `estimator` holds no estimator of this package, or is a Pipeline whose
            steps may change crystals.
        ValueError
            If there is a single crystal, or if `estimator` is frozen and knows its
            training crystals already.
        """
        if isinstance(self.estimator, FrozenEstimator) and hasattr(
            self.estimator, "reasons"
        ):
            raise ValueError(
                "estimator already knows the crystals that it was trained on, and X "
                "would take their place; call its own score_samples and reasons"
            )
        model = CGCNNRegressor() if self.estimator is None else clone(self.estimator)
        graphs = shared_graphs(model, X)
        model.fit(graphs, y)
        self._domain = TrainingDomain(self.n_references).fit(networks_of(model), graphs)
        self.estimator_ = model
        return self
