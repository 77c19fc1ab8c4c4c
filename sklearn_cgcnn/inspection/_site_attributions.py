"""Attribution of a prediction to the sites, for models that pool first."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn._estimators import unwrap
from sklearn_cgcnn.nn import CrystalReadout


def site_attributions(estimator: Any, X: Any) -> list[NDArray[np.float64]]:
    r"""Divide predictions among the sites of crystals, by integrated gradients.

    The prediction for a crystal is a function f, the readout, of the mean of the
    vectors :math:`u_i` of its N sites. Integrated gradients divide it among them:

    .. math::
        a_i = f(0) + u_i \cdot \int_0^1 \nabla f(\alpha \bar u) \, d\alpha, \qquad
        \bar u = \frac{1}{N} \sum_i u_i, \qquad
        f(\bar u) = \frac{1}{N} \sum_i a_i

    Parameters
    ----------
    estimator : CGCNNRegressor, CGCNNClassifier, or estimator that ends in one
        Estimator fitted with ``readout="crystal"``, the default. A Pipeline or a search
        may contain it. The pooling must be a mean over the sites, as those of this
        package are.
    X : sequence of Structure, or CrystalGraphs
        The crystals.

    Returns
    -------
    list of ndarray of shape (n_sites,) or (n_sites, n_outputs), float64
        One array per crystal, in the order of its sites. The mean over the sites is the
        prediction. Units and columns are those of
        :func:`~sklearn_cgcnn.inspection.site_contributions`.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If `estimator` does not contain an estimator of this package.
    ValueError
        If the estimator was fitted with another readout than ``"crystal"``, or the
        pooling is not a mean over the sites.

    See Also
    --------
    site_contributions : What a model with ``readout="site"`` adds up.

    Notes
    -----
    An attribution says how the readout weights the vector of a site in this crystal. It
    is not an energy of the site: the model was not trained to add values of sites, the
    vector of a site describes its surroundings too, and lines that begin at another
    vector than zero would divide the prediction in another way. To learn values of
    sites, fit a model with ``readout="site"``.

    References
    ----------
    M. Sundararajan, A. Taly and Q. Yan, "Axiomatic attribution for deep networks",
    ICML 2017.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import site_attributions
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=20, random_state=0).fit(structures, energy)
    >>> [attributions] = site_attributions(model, structures[:1])
    >>> len(attributions) == len(structures[0])
    True
    >>> bool(abs(attributions.mean() - model.predict(structures[:1])[0]) < 1e-4)
    True
    """
    model: Any = unwrap("estimator", estimator)
    check_is_fitted(model)
    readout = model.net_.module_.readout
    # A user's own forward method may compute another function.
    if getattr(type(readout), "forward", None) is not CrystalReadout.forward:
        raise ValueError(
            f"estimator was fitted with the readout {type(readout).__name__}; fit it "
            'with readout="crystal", or call site_contributions for readout="site"'
        )
    attributions: list[NDArray[np.float64]] = model._predict_contributions(
        X, "attributions"
    )
    return attributions
