"""The edge rules of this package by name, and how to restore one from its JSON form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.graphs._cells import Cell
from sklearn_cgcnn.graphs._neighbors._edge_rule import EdgeRule, NeighborList
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
            "restored from the settings of graphs. If it is a rule of a later version, "
            "update the package. If it is your own rule, pass the featurizer that made "
            "the graphs to the estimator: "
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


@dataclass(frozen=True)
class StoredRule(EdgeRule):
    """Stands for your own rule, of which graphs store nothing but the settings.

    Graphs can be compared with it, but it finds no neighbors.

    Attributes
    ----------
    settings : str
        What :meth:`EdgeRule.to_dict` of your rule returns, as JSON.
    """

    settings: str

    def find_in_cell(self, cell: Cell) -> NeighborList:
        """Raise an error, because the rule itself is not here.

        Parameters
        ----------
        cell : Cell
            The unit cell of a crystal.

        Raises
        ------
        GraphSettingsError
            Always.
        """
        raise GraphSettingsError(
            "X holds structures, but the model was trained on graphs of your own edge "
            f"rule {self.to_dict()['rule']!r}, which graphs do not contain. Pass "
            "graphs, or before fit, pass the featurizer that made the graphs to the "
            "estimator: featurizer=CrystalGraphFeaturizer(connectivity=...) with an "
            "instance of the rule"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings of your rule.

        Returns
        -------
        dict of str to JSON value
        """
        settings: dict[str, Any] = json.loads(self.settings)
        return settings


def rule_of_graphs(settings: Mapping[str, Any]) -> EdgeRule:
    """Restore the rule that graphs were made with, or what stands for it.

    Parameters
    ----------
    settings : mapping of str to JSON value
        As returned by :meth:`EdgeRule.to_dict`.

    Returns
    -------
    EdgeRule
        One of the rules of this package, or a StoredRule.

    Raises
    ------
    GraphSettingsError
        If a rule of this package does not have these parameters.
    """
    if isinstance(settings, Mapping):
        name = settings.get("rule")
        # Names of your own rules begin with their module.
        if isinstance(name, str) and "." in name:
            return StoredRule(json.dumps(dict(settings)))
    return edge_rule_from_dict(settings)
