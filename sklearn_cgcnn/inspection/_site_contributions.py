"""Contribution of each site to a prediction."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._estimators import unwrap
from sklearn_cgcnn.nn import SiteReadout


def site_contributions(estimator: Any, X: Any) -> list[NDArray[np.float64]]:
    """Compute the contribution of each site to the prediction (paper, Eqs. S14, S15).

    The prediction for a crystal is the mean of the contributions of its sites. The
    model is trained on properties of whole crystals, and the contributions show how it
    distributes such a property among the sites. For energies per site, they show which
    sites are stable and which are not.

    Parameters
    ----------
    estimator : CGCNNRegressor, CGCNNClassifier, or estimator that ends in one
        Estimator fitted with ``readout="site"``. A Pipeline or a search may contain it.
    X : sequence of Structure, or CrystalGraphs
        The crystals.

    Returns
    -------
    list of ndarray of shape (n_sites,) or (n_sites, n_outputs), float64
        One array per crystal, in the order of its sites. For a regressor, the
        contributions have the unit of the targets that `fit` received, and one column
        per target if these were two-dimensional. For a classifier, they are logits
        with one column per class. The softmax of their mean over the sites gives the
        class probabilities of the crystal.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If `estimator` does not contain an estimator of this package.
    ValueError
        If the estimator was fitted with another readout than ``"site"``.

    See Also
    --------
    element_contributions : Their mean for each element.
    with_site_contributions : Structures that carry them as a property of their sites.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import site_contributions
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(readout="site", max_epochs=20, random_state=0)
    >>> model = model.fit(structures, energy)
    >>> [contributions] = site_contributions(model, structures[:1])
    >>> len(contributions) == len(structures[0])
    True
    >>> bool(abs(contributions.mean() - model.predict(structures[:1])[0]) < 1e-4)
    True
    """
    model: Any = unwrap("estimator", estimator)
    check_site_readout(model)
    contributions: list[NDArray[np.float64]] = model._predict_contributions(X)
    return contributions


def check_site_readout(model: Any) -> None:
    """Check that a model is fitted, and predicts the mean of site contributions.

    Parameters
    ----------
    model : CGCNNRegressor or CGCNNClassifier
        The model.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    ValueError
        If it was fitted with another readout than ``"site"``.
    """
    check_is_fitted(model)
    readout = model.net_.module_.readout
    # A user's own forward method may combine the contributions in another way.
    if getattr(type(readout), "forward", None) is not SiteReadout.forward:
        raise ValueError(
            f"estimator was fitted with the readout {type(readout).__name__}, which "
            "does not predict the mean of site contributions; fit the estimator with "
            'readout="site"'
        )
