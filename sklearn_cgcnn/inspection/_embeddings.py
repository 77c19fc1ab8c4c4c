"""Vectors that a network computes of crystals and of sites."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn._estimators import unwrap


def crystal_embeddings(estimator: Any, X: Any) -> NDArray[np.float64]:
    """Compute the vector of each crystal after pooling (paper, Eq. S16).

    By default the vector is the mean of the site vectors after the last convolution.
    The readout computes the prediction from it. With ``readout="site"`` it is the mean
    of the vectors that the readout is applied to.

    Parameters
    ----------
    estimator : CGCNNRegressor, CGCNNClassifier, or estimator that ends in one
        Fitted estimator. A Pipeline or a search may contain it.
    X : sequence of Structure, or CrystalGraphs
        The crystals.

    Returns
    -------
    ndarray of shape (n_crystals, n_site_channels), float64
        One row per crystal. It depends neither on the order of the sites nor on the
        choice of the cell.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If `estimator` does not contain an estimator of this package.

    See Also
    --------
    sklearn_cgcnn.CrystalEmbedder : The same vectors, as a transformer.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import crystal_embeddings
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=5, random_state=0).fit(structures, energy)
    >>> crystal_embeddings(model, structures).shape
    (40, 64)
    """
    model: Any = unwrap("estimator", estimator)
    vectors: NDArray[np.float64] = model._embed_crystals(X)
    return vectors


def site_embeddings(estimator: Any, X: Any) -> list[NDArray[np.float64]]:
    """Compute the vector of each site after the last convolution (paper, Eq. 5).

    Parameters
    ----------
    estimator : CGCNNRegressor, CGCNNClassifier, or estimator that ends in one
        Fitted estimator. A Pipeline or a search may contain it.
    X : sequence of Structure, or CrystalGraphs
        The crystals.

    Returns
    -------
    list of ndarray of shape (n_sites, n_site_channels), float64
        One array per crystal, in the order of its sites.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If `estimator` does not contain an estimator of this package.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import site_embeddings
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=5, random_state=0).fit(structures, energy)
    >>> vectors = site_embeddings(model, structures)
    >>> vectors[0].shape == (len(structures[0]), 64)
    True
    """
    model: Any = unwrap("estimator", estimator)
    vectors: list[NDArray[np.float64]] = model._embed_sites(X)
    return vectors
