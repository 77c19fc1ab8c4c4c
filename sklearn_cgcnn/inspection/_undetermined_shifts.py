"""Shifts of the contributions of elements that no prediction depends on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space

from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._validation import check_crystals
from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.inspection._site_table import (
    check_roles,
    group_by_element,
    site_table,
    with_symbols,
)


def undetermined_shifts(X: Any, *, roles: Any = None) -> Any:
    r"""Return the shifts of element contributions that change no prediction.

    With ``readout="site"``, a prediction is the mean of the contributions of the sites.
    If a number :math:`\delta` per element sums to zero over the sites of every crystal,

    .. math:: \sum_i \delta_{\mathrm{element}(i)} = 0,

    it can be added to the contributions without changing a prediction. The training
    then does not determine it. In ionic crystals, for example, any multiple of the
    charges of the ions is such a shift. Means of contributions of elements can be
    interpreted only up to these shifts.

    Parameters
    ----------
    X : sequence of Structure, or CrystalGraphs
        The crystals that a model is trained on.
    roles : sequence of (sequence of str), default=None
        Labels of the sites of each crystal, as in :func:`element_contributions`. Each
        role of an element then has a shift of its own.

    Returns
    -------
    pandas.DataFrame
        One row per element, or per role and element, as in
        :func:`element_contributions`. The columns are an orthonormal basis of the
        shifts. There are none if the composition of the crystals determines the
        contribution of every element.

    Raises
    ------
    StructureError
        If a structure cannot become a graph.
    TypeError
        If `X` or `roles`, or one of its items or labels, is of another type.
    ValueError
        If `X` is empty, or `roles` does not match the crystals or their sites.

    See Also
    --------
    element_contributions : Means of the contributions of each element.

    Notes
    -----
    These are not the only changes that no prediction depends on. Contributions of
    single sites depend on their neighbors, and a model may move a part of them from one
    site of a crystal to another, by another amount in each crystal.

    Crystals that failed are left out.

    Examples
    --------
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import undetermined_shifts
    >>> crystals = make_ionic_crystals(400, random_state=0)
    >>> shifts = undetermined_shifts(crystals.data)
    >>> list(shifts.columns)
    [0]
    >>> charges = shifts[0] / shifts.loc["O", 0] * -2
    >>> charges[["Na", "Ba", "Ti", "Cl"]].round(6).tolist()
    [1.0, 2.0, 4.0, -1.0]
    """
    import pandas as pd

    graphs = check_crystals(X)
    if not isinstance(graphs, CrystalGraphs):
        graphs = CrystalGraphFeaturizer().transform(graphs)
    labels = None if roles is None else check_roles(roles, len(graphs))
    rows = np.flatnonzero(np.diff(graphs.site_map_offsets))
    sites = site_table(graphs, rows, labels)
    groups = group_by_element(sites)
    counts = np.zeros((len(graphs), groups.ngroups))
    np.add.at(counts, (sites["crystal"], groups.ngroup()), 1)
    return with_symbols(pd.DataFrame(_null_space(counts), groups.size().index))


def _null_space(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an orthonormal basis, in columns, of what a tall matrix maps to zero."""
    if not matrix.shape[1]:
        return np.empty((0, 0))
    # The small triangle of a QR decomposition has the same null space.
    triangle: Any = np.linalg.qr(matrix, mode="r")
    basis: NDArray[np.float64] = null_space(triangle)
    return basis
