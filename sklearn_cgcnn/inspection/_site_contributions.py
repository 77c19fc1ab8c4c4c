"""What each site contributes to a prediction."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._estimators._base import BaseCGCNN
from sklearn_cgcnn.nn import SiteReadout


def site_contributions(estimator: Any, X: Any) -> list[NDArray[np.float64]]:
    """Predict what each site contributes (paper, Eqs. S14 and S15).

    The prediction for a crystal is the mean of its sites' contributions. So they say
    how a model that was only shown whole crystals shares out their property among the
    sites: for energies per site, which sites are stable and which are not.

    Parameters
    ----------
    estimator : CGCNNRegressor or CGCNNClassifier
        Fitted with ``readout="site"``.
    X : sequence of Structure, or CrystalGraphs
        The crystals.

    Returns
    -------
    list of ndarray of shape (n_sites,) or (n_sites, n_outputs), float64
        One array for each crystal, in the order of its sites. A regressor's have the
        unit and dimensions of the targets given to `fit`; a classifier's are logits,
        with a column for each class, the softmax of whose mean is the crystal's
        probability.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is none of this package.
    ValueError
        If its readout is not that of sites.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import site_contributions
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(readout="site", max_epochs=20, random_state=0)
    >>> model = model.fit(structures, energy)
    >>> [of_first] = site_contributions(model, structures[:1])
    >>> len(of_first) == len(structures[0])
    True
    >>> bool(abs(of_first.mean() - model.predict(structures[:1])[0]) < 1e-4)
    True
    """
    if not isinstance(estimator, BaseCGCNN):
        raise TypeError(
            f"estimator is of type {type(estimator).__name__}, and must be a "
            "CGCNNRegressor or CGCNNClassifier; of a Pipeline or a search, pass the "
            "one inside"
        )
    check_is_fitted(estimator)
    readout = estimator.net_.module_.readout
    # One of a user's own may make of them what it likes.
    if getattr(type(readout), "forward", None) is not SiteReadout.forward:
        raise ValueError(
            f"estimator was fitted with a {type(readout).__name__}, which is not the "
            'mean over sites; fit it with readout="site"'
        )
    contributions: list[NDArray[np.float64]] = estimator._predict_contributions(X)
    return contributions
