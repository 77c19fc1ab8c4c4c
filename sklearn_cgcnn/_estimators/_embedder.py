"""A transformer that turns crystals into vectors learned by a network."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._crystal_input import CrystalInput
from sklearn_cgcnn._estimators._base import BaseCGCNN
from sklearn_cgcnn._estimators._pretrained import pretrained_model
from sklearn_cgcnn._estimators._regressor import CGCNNRegressor
from sklearn_cgcnn._sklearn_compat import fit_context
from sklearn_cgcnn._versioned_state import VersionedState


class CrystalEmbedder(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    VersionedState,
    CrystalInput,
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Turn crystals into the vectors that a network computes before its readout.

    The vector of a crystal is the result of pooling: by default the mean of its site
    vectors after the last convolution (Xie and Grossman 2018, Eq. S16). Any estimator
    of scikit-learn can learn from these vectors, also together with other features in a
    FeatureUnion or a ColumnTransformer.

    Parameters
    ----------
    pretrained : FrozenEstimator, str or None, default=None
        Fitted estimator whose vectors to use, as ``FrozenEstimator(model)``
        (:class:`sklearn.frozen.FrozenEstimator`), which `clone` keeps, or the name of a
        model of :mod:`sklearn_cgcnn.pretrained`. `model` is a CGCNNRegressor or a
        CGCNNClassifier, or a Pipeline or a search that ends in one. `fit` then trains
        nothing. With None, `fit` trains `estimator`.
    estimator : CGCNNRegressor, CGCNNClassifier or None, default=None
        The estimator that `fit` trains on X and y, if `pretrained` is None. None means
        ``CGCNNRegressor()``.

    Attributes
    ----------
    estimator_ : CGCNNRegressor or CGCNNClassifier
        The fitted estimator whose vectors are used.

    See Also
    --------
    sklearn_cgcnn.inspection.crystal_embeddings : The same vectors, as a function.
    sklearn_cgcnn.inspection.site_embeddings : The vectors of sites.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_cgcnn import CGCNNRegressor, CrystalEmbedder
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> crystals = make_ionic_crystals(40, random_state=0)
    >>> model = CGCNNRegressor(max_epochs=20, random_state=0)
    >>> model = model.fit(crystals.data, crystals.target)
    >>> ridge = make_pipeline(CrystalEmbedder(FrozenEstimator(model)), Ridge())
    >>> ridge = ridge.fit(crystals.data[:10], crystals.target[:10])
    >>> ridge.predict(crystals.data).shape
    (40,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "pretrained": [BaseEstimator, str, None],
        "estimator": [BaseCGCNN, None],
    }

    def __init__(
        self,
        pretrained: FrozenEstimator | str | None = None,
        *,
        estimator: BaseCGCNN | None = None,
    ) -> None:
        self.pretrained = pretrained
        self.estimator = estimator

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the network, or do nothing if there is a pretrained one.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.
        y : array-like of shape (n_crystals,) or (n_crystals, n_outputs), default=None
            Targets. Ignored if `pretrained` is given.

        Returns
        -------
        CrystalEmbedder
            This transformer.

        Raises
        ------
        TypeError
            If `pretrained` is not frozen, or holds no estimator of this package.
        ValueError
            If both parameters are set, or if a target is needed and y is None.
        """
        if self.pretrained is not None:
            if self.estimator is not None:
                raise ValueError(
                    "estimator is trained only if there is no pretrained model; set "
                    "pretrained=None or estimator=None"
                )
            self.estimator_: Any = pretrained_model(self.pretrained)
            return self
        untrained = CGCNNRegressor() if self.estimator is None else self.estimator
        self.estimator_ = clone(untrained).fit(X, y)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Compute the vectors of crystals.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        ndarray of shape (n_crystals, n_features), float64

        Raises
        ------
        StructureError
            If a structure cannot become a graph.
        GraphSettingsError
            If X holds graphs made with other settings than those of the network.
        """
        check_is_fitted(self)
        vectors: NDArray[np.float64] = self.estimator_._embed_crystals(X)
        return vectors

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose the container of the vectors, as for other transformers.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            "default" returns arrays, the others DataFrames with names. None changes
            nothing.

        Returns
        -------
        CrystalEmbedder
            This transformer.
        """
        super().set_output(transform=transform)
        return self

    @property
    def _n_features_out(self) -> int:
        n_channels: int = self.estimator_._n_embedding_channels()
        return n_channels

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.pretrained is None
        return tags
