"""Mean contribution of the sites of each element."""

from numbers import Integral
from typing import Any

import numpy as np

from sklearn_cgcnn._estimators import CGCNNRegressor, graphs_to_predict, unwrap
from sklearn_cgcnn._sklearn_compat import validate_params
from sklearn_cgcnn.graphs import in_memory
from sklearn_cgcnn.inspection._site_contributions import (
    check_site_readout,
    site_contributions,
)
from sklearn_cgcnn.inspection._site_table import (
    check_roles,
    group_by_element,
    site_table,
    with_symbols,
)


@validate_params({"output": [Integral, None]}, prefer_skip_nested_validation=True)
def element_contributions(
    estimator: Any, X: Any, *, roles: Any = None, output: int | None = None
) -> Any:
    """Average the contributions of the sites of each element (paper, Figs. 3c and 3d).

    The means show how the model distributes a property among the elements. With
    `roles`, an element has a mean for each of its roles in a structure, such as the two
    kinds of metal sites in perovskites.

    Parameters
    ----------
    estimator : CGCNNRegressor, or estimator that ends in one
        Estimator fitted with ``readout="site"``. A Pipeline or a search may contain it.
    X : sequence of Structure, or CrystalGraphs
        The crystals.
    roles : sequence of (sequence of str), default=None
        For each crystal, one label for each of its sites, in their order, such as
        ``["A", "B", "anion", "anion", "anion"]``. None does not distinguish roles.
    output : int, default=None
        Position of the target, if the estimator was fitted on several.

    Returns
    -------
    pandas.DataFrame
        One row per element, with its symbol as index, in the order of atomic numbers.
        With `roles`, the index is a pair of role and element, with roles in
        alphabetical order. The columns are

        - "mean", the mean of the contributions of the sites, in the unit of the
          targets;
        - "std", their standard deviation, with divisor ``n_sites`` (that of a
          population), so that it is zero for a single site;
        - "n_sites", the number of these sites;
        - "n_crystals", the number of crystals with such a site.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    StructureError
        If a structure cannot become a graph.
    TypeError
        If `estimator` does not contain an estimator of this package, or if `roles` or
        one of its items or labels is of another type.
    ValueError
        If the estimator is a classifier or was fitted with another readout than
        ``"site"``, if `output` is not the position of a target or missing although
        there are several, or if `roles` does not match the crystals or their sites.

    See Also
    --------
    site_contributions : The contributions themselves.
    undetermined_shifts : What these means may differ by in models that predict alike.
    PeriodicTableDisplay : Draws the means.

    Notes
    -----
    The training compares only the mean over the sites of a crystal with the target. How
    a model distributes the property among the sites is therefore not unique, and models
    that predict equally well may differ in it. Compare the means of several models
    before you draw conclusions from them.

    All sites of the cells count, so that a crystal weighs as much as it has sites in
    the given cell. Crystals that failed contribute nothing.

    Classifiers are refused, because their contributions are logits: adding a number to
    the logits of all classes on an element changes no prediction, so that their mean
    for one class has no meaning.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import element_contributions
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(readout="site", max_epochs=5, random_state=0)
    >>> model = model.fit(structures, energy)
    >>> table = element_contributions(model, structures)
    >>> list(table.columns)
    ['mean', 'std', 'n_sites', 'n_crystals']
    >>> list(table.index[:3])
    ['Li', 'O', 'F']
    """
    model: Any = unwrap("estimator", estimator)
    check_site_readout(model)
    column = _choose_output(model, output)
    graphs = in_memory(graphs_to_predict(model, X))
    labels = None if roles is None else check_roles(roles, len(graphs))
    contributions = site_contributions(model, graphs)
    # The model may refuse crystals that did become graphs.
    crystals = np.flatnonzero([len(values) > 0 for values in contributions])
    sites = site_table(graphs, crystals, labels)
    # One row per site, also if there are none.
    values = np.concatenate(contributions).reshape(-1, len(model.target_mean_))
    sites["contribution"] = values[:, column]
    return _average(sites)


def _choose_output(model: Any, output: int | None) -> int:
    if not isinstance(model, CGCNNRegressor):
        raise ValueError(
            f"estimator is or holds a {type(model).__name__}, whose contributions are "
            "logits, of which only differences between classes have a meaning; average "
            "differences of the columns of site_contributions, or pass a CGCNNRegressor"
        )
    n_outputs = len(model.target_mean_)
    if output is None and n_outputs > 1:
        raise ValueError(
            f"output is None, but the estimator was fitted on {n_outputs} targets; "
            f"choose one by its position, from 0 to {n_outputs - 1}"
        )
    chosen = 0 if output is None else int(output)
    if not 0 <= chosen < n_outputs:
        raise ValueError(
            f"output={chosen}, but the positions of the {n_outputs} target(s) of the "
            f"estimator are 0 to {n_outputs - 1}; choose one of them"
        )
    return chosen


def _average(sites: Any) -> Any:
    """Return statistics by element, and by role if sites have one."""
    import pandas as pd

    groups = group_by_element(sites)
    values = groups["contribution"]
    statistics = {
        "mean": values.mean(),
        "std": values.std(ddof=0),
        "n_sites": values.size(),
        "n_crystals": groups["crystal"].nunique(),
    }
    return with_symbols(pd.DataFrame(statistics))
