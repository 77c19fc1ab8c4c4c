"""Begin a training from the weights of a fitted estimator."""

import inspect
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._estimators._equality import is_equal
from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn._estimators._persistence import PersistentWeights
from sklearn_cgcnn._estimators._unwrap import unwrap
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.graphs import describe_differences
from sklearn_cgcnn.nn import CGCNN

# These have no weights, so a training may begin with other values.
_WITHOUT_WEIGHTS = {"dropout", "n_outputs"}


def pretrained_model(pretrained: Any) -> PersistentWeights:
    """Return the fitted estimator whose weights a training begins from.

    Parameters
    ----------
    pretrained : FrozenEstimator or str
        A fitted estimator of this package, a Pipeline or a search that ends in one, or
        the name of a model that comes with the package.

    Returns
    -------
    CGCNNRegressor or CGCNNClassifier

    Raises
    ------
    TypeError
        If it is not frozen, or does not contain an estimator of this package.
    ValueError
        If it is not fitted, or if there is no model of this name.
    """
    if isinstance(pretrained, str):
        pretrained = _load(pretrained)
    if not isinstance(pretrained, FrozenEstimator):
        raise TypeError(
            f"pretrained is a {type(pretrained).__name__}, whose weights "
            "sklearn.base.clone would drop in a search or in cross-validation; pass "
            "pretrained=FrozenEstimator(model), with FrozenEstimator from "
            "sklearn.frozen, or the name of a model"
        )
    model = unwrap("pretrained", pretrained)
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ValueError(
            f"pretrained holds a {type(model).__name__} that is not fitted; fit it "
            "before you freeze it"
        ) from error
    return model


@lru_cache(maxsize=1)
def _load(name: str) -> FrozenEstimator:
    """Return a model of sklearn_cgcnn.pretrained, whose files use this package."""
    return FrozenEstimator(import_module("sklearn_cgcnn.pretrained").load(name))


def inherited_spec(
    estimator: Any, model: PersistentWeights, n_outputs: int
) -> NetworkSpec:
    """Return the spec of a network that the weights of a fitted estimator fit.

    Parameters
    ----------
    estimator : CGCNNRegressor or CGCNNClassifier
        The estimator that is to be trained. Parameters that have their default value
        are taken from the fitted estimator.
    model : CGCNNRegressor or CGCNNClassifier
        The fitted estimator.
    n_outputs : int
        Number of outputs of the new network.

    Returns
    -------
    NetworkSpec

    Raises
    ------
    ValueError
        If a parameter of the network was set to another value than the weights need.
    """
    own = NetworkSpec.from_params(vars(estimator), n_outputs)
    changes: dict[str, Any] = {"n_outputs": n_outputs}
    if is_classifier(estimator):
        changes["baseline"] = None  # which predicts numbers
    defaults = inspect.signature(type(estimator)).parameters
    for name in (each.name for each in fields(NetworkSpec)):
        if _is_default(estimator, name, defaults):
            continue
        value, needed = getattr(own, name), getattr(model._network_spec, name)
        if name in _WITHOUT_WEIGHTS:
            changes[name] = value
        elif not is_equal(value, needed):
            raise ValueError(
                f"{name}={getattr(estimator, name)!r}, but the weights of pretrained "
                f"belong to a network with {name}={getattr(model, name)!r}; leave "
                f"{name} at its default to take it from there"
            )
    return replace(model._network_spec, **changes)


def _is_default(estimator: Any, name: str, defaults: Mapping[str, Any]) -> bool:
    # What is no parameter cannot have been set.
    return name not in defaults or is_equal(
        getattr(estimator, name), defaults[name].default
    )


def inherited_featurizer(
    estimator: Any, model: PersistentWeights
) -> CrystalGraphFeaturizer:
    """Return a featurizer with the settings of the graphs of a fitted estimator.

    Parameters
    ----------
    estimator : CGCNNRegressor or CGCNNClassifier
        The estimator that is to be trained.
    model : CGCNNRegressor or CGCNNClassifier
        The fitted estimator.

    Returns
    -------
    CrystalGraphFeaturizer

    Raises
    ------
    GraphSettingsError
        If `featurizer` of the estimator makes other graphs.
    """
    fitted: CrystalGraphFeaturizer = model.featurizer_
    if estimator.featurizer is None:
        copied: CrystalGraphFeaturizer = clone(fitted)
        copied.set_params(**estimator._featurizer_params())
        return copied
    own: CrystalGraphFeaturizer = clone(estimator.featurizer)
    settings, needed = own.graph_settings(), fitted.graph_settings()
    if settings != needed:
        raise GraphSettingsError(
            f"featurizer makes graphs with {describe_differences(settings, needed)}, "
            "which the weights of pretrained were trained with; leave featurizer=None "
            "to take its settings from there"
        )
    return own


def pretrained_network(
    spec: NetworkSpec, estimator: Any, model: PersistentWeights, seed: int
) -> CGCNN:
    """Return a network with the weights of a fitted estimator.

    The output layer has new random weights if its outputs mean something else: other
    classes, another number of targets, or classes instead of numbers.

    Parameters
    ----------
    spec : NetworkSpec
        What :func:`inherited_spec` returned.
    estimator : CGCNNRegressor or CGCNNClassifier
        The estimator that is to be trained. It has encoded its targets.
    model : CGCNNRegressor or CGCNNClassifier
        The fitted estimator.
    seed : int
        Seed of the new weights.

    Returns
    -------
    CGCNN
    """
    module = spec.build(seed)
    weights = model.net_.module_.state_dict()
    # The baseline is fitted to the targets later, or a classifier has none.
    weights = {k: v for k, v in weights.items() if not k.startswith("baseline.")}
    weights |= {
        k: v for k, v in module.state_dict().items() if k.startswith("baseline.")
    }
    dtype = next(model.net_.module_.parameters()).dtype
    if not _have_same_outputs(estimator, model):
        # The entries whose shape depends on the number of outputs.
        wider = replace(spec, n_outputs=spec.n_outputs + 1).build().state_dict()
        own = module.state_dict()
        for name, value in own.items():
            if value.shape != wider[name].shape:
                weights[name] = value
    module.to(dtype).load_state_dict(weights)
    return module


def _have_same_outputs(estimator: Any, model: Any) -> bool:
    if is_classifier(estimator) != is_classifier(model):
        return False
    if is_classifier(estimator):
        return is_equal(estimator.classes_, model.classes_)
    return len(estimator.target_mean_) == len(model.target_mean_)
