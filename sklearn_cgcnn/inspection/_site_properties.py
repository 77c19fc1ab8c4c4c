"""Structures whose sites carry their contributions to a prediction."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import IStructure

from sklearn_cgcnn._estimators import unwrap
from sklearn_cgcnn._validation import check_crystals
from sklearn_cgcnn.graphs import CrystalGraphs, Failure
from sklearn_cgcnn.inspection._site_contributions import (
    check_site_readout,
    site_contributions,
)


def with_site_contributions(estimator: Any, X: Any) -> list[IStructure | None]:
    """Return copies of structures whose sites carry their contributions.

    Files that pymatgen writes of these structures, and programs that color sites by a
    property, can then use the contributions.

    Parameters
    ----------
    estimator : CGCNNRegressor, CGCNNClassifier, or estimator that ends in one
        Estimator fitted with ``readout="site"``. A Pipeline or a search may contain it.
    X : sequence of Structure
        The crystals. They are not changed. ASE Atoms are converted to Structures.

    Returns
    -------
    list of Structure
        Copies of the structures, in their order. ``site_properties["contribution"]`` of
        each holds one number per site, or a list of numbers if the contributions have
        several columns, as in :func:`site_contributions`. A property of this name that
        a structure had before is replaced. None takes the place of a crystal that
        failed, if the featurizer of the estimator collects these.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    StructureError
        If a structure cannot become a graph.
    TypeError
        If X holds crystal graphs, or `estimator` does not contain an estimator of this
        package.
    ValueError
        If the estimator was fitted with another readout than ``"site"``.

    See Also
    --------
    site_contributions : The contributions as arrays.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import with_site_contributions
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(readout="site", max_epochs=5, random_state=0)
    >>> model = model.fit(structures, energy)
    >>> [crystal] = with_site_contributions(model, structures[:1])
    >>> len(crystal.site_properties["contribution"]) == len(crystal)
    True
    """
    model: Any = unwrap("estimator", estimator)
    check_site_readout(model)
    crystals = check_crystals(X, on_error=model.featurizer_.on_error)
    if isinstance(crystals, CrystalGraphs):
        raise TypeError(
            "X holds crystal graphs, which do not store positions; pass the structures "
            "that the graphs were made of"
        )
    contributions = site_contributions(model, crystals)
    pairs = zip(crystals, contributions, strict=True)
    return [_with_property(crystal, values) for crystal, values in pairs]


def _with_property(
    crystal: IStructure | Failure, values: NDArray[np.float64]
) -> IStructure | None:
    # A structure that did not become a graph has no contributions.
    if isinstance(crystal, Failure) or not len(values):
        return None
    return crystal.copy(site_properties={"contribution": values.tolist()})
