"""Graphs that several fits or predictions share, instead of each making its own."""

from collections.abc import Sequence
from typing import Any, cast

from sklearn.base import clone

from sklearn_cgcnn._estimators._base import BaseCGCNN
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._validation import check_crystals, find_unknown_elements
from sklearn_cgcnn.graphs import AnyGraphs, CrystalGraphs


def graphs_to_fit(estimator: Any, X: Any) -> Any:
    """Return the graphs that `fit` of an estimator would make of X.

    Parameters
    ----------
    estimator : estimator
        Fitted or not.
    X : sequence of Structure, or CrystalGraphs
        The crystals.

    Returns
    -------
    CrystalGraphs, or X itself
        X itself if X holds graphs, in memory or on disk. Also if the estimator is not
        one of this package: a Pipeline or a search may turn structures into graphs in a
        way of its own.
    """
    if not isinstance(estimator, BaseCGCNN) or isinstance(X, AnyGraphs):
        return X
    crystals = check_crystals(X, on_error=estimator._on_error())
    return estimator._make_featurizer(crystals).transform(crystals)


def graphs_to_predict(estimator: Any, X: Any) -> Any:
    """Return the graphs that `predict` of a fitted estimator would make of X.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : sequence of Structure, or CrystalGraphs
        The crystals.

    Returns
    -------
    CrystalGraphs, or X itself
        X itself if X holds graphs, in memory or on disk. Also if the estimator is not
        one of this package.
    """
    if not isinstance(estimator, BaseCGCNN) or isinstance(X, AnyGraphs):
        return X
    crystals = check_crystals(X, on_error=estimator.featurizer_.on_error)
    return estimator.featurizer_.transform(crystals)


def collect_graphs(
    networks: Sequence[Any],
    crystals: Sequence[Any],
    *,
    first: int = 0,
    n_jobs: int | None = None,
) -> CrystalGraphs:
    """Return the graphs of crystals to predict, of which any number may fail.

    Parameters
    ----------
    networks : sequence of CGCNNRegressor or CGCNNClassifier
        Fitted estimators that share the graphs, such as the members of an ensemble.
    crystals : sequence of Structure or Failure
        The crystals.
    first : int, default=0
        Position of the first of them, if they are a part of more.
    n_jobs : int or None, default=None
        Number of processes, as in joblib.

    Returns
    -------
    CrystalGraphs
        Crystals that cannot become graphs, and those with an element that a network has
        no features for, have failed.
    """
    featurizer: CrystalGraphFeaturizer = clone(networks[0].featurizer_)
    featurizer.set_params(on_error="collect", n_jobs=n_jobs, verbose=0)
    structures = check_crystals(crystals, on_error="collect", first=first)
    graphs = featurizer._build(cast(list[Any], structures), first)
    for network in networks:
        elements = network._network_spec.known_elements()
        graphs = graphs.with_failed(find_unknown_elements(graphs, elements))
    return graphs
