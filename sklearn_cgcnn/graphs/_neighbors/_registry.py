"""The edge rules of this package by name, and how to restore one from its JSON form."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.graphs._neighbors._edge_rule import EdgeRule
from sklearn_cgcnn.graphs._neighbors._nearest import NearestNeighbors
from sklearn_cgcnn.graphs._neighbors._original import OriginalNeighbors
from sklearn_cgcnn.graphs._neighbors._voronoi import VoronoiNeighbors

#: The edge rules of this package by their name.
EDGE_RULES: Mapping[str, type[EdgeRule]] = MappingProxyType(
    {
        rule.rule_name: rule
        for rule in (NearestNeighbors, VoronoiNeighbors, OriginalNeighbors)
    }
)


def edge_rule_from_dict(settings: Mapping[str, Any]) -> EdgeRule:
    """Restore an edge rule from its JSON form.

    Parameters
    ----------
    settings : mapping of str to JSON value
        The name of the rule as ``"rule"``, and its parameters, as returned by
        :meth:`EdgeRule.to_dict`. Parameters that are missing have their default value.

    Returns
    -------
    EdgeRule
        One of the rules of this package.

    Raises
    ------
    GraphSettingsError
        If the rule is not one of this package, or does not have these parameters.

    Examples
    --------
    >>> from sklearn_cgcnn.graphs import edge_rule_from_dict
    >>> edge_rule_from_dict({"rule": "original", "max_neighbors": 8})
    OriginalNeighbors(max_neighbors=8, cutoff=8.0)
    """
    if not isinstance(settings, Mapping):
        raise GraphSettingsError(
            f"connectivity={settings!r} is not the JSON form of an edge rule; pass a "
            "mapping as EdgeRule.to_dict returns it"
        )
    parameters = dict(settings)
    name = parameters.pop("rule", None)
    if not isinstance(name, str) or name not in EDGE_RULES:
        raise GraphSettingsError(
            f"the edge rule {name!r} is not one of {list(EDGE_RULES)}, so it cannot be "
            "restored from the settings of graphs. If it is your own rule, pass the "
            "featurizer that made the graphs to the estimator: "
            "featurizer=CrystalGraphFeaturizer(connectivity=...) with an instance of "
            "the rule"
        )
    try:
        return EDGE_RULES[name](**parameters)
    except (TypeError, ValueError) as error:
        raise GraphSettingsError(
            f"the edge rule {name!r} does not accept the parameters {parameters} "
            f"({error}); featurize the structures again with this version"
        ) from error
