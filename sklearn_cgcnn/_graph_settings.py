"""The settings of a featurizer that shape its graphs."""

from dataclasses import fields
from typing import Any

from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.graphs import (
    EDGE_RULES,
    AnyGraphs,
    EdgeRule,
    describe_differences,
    graph_settings,
)

# The parameters that a rule passed as `connectivity` replaces, with their defaults.
_RULE_PARAMETERS = {"max_neighbors": 12, "cutoff": None, "isolated_sites": "raise"}


class GraphSettings:
    """Mixin of a transformer whose parameters are an edge rule and its settings."""

    connectivity: str | EdgeRule
    merge_equivalent: bool
    cutoff: float | None

    def check_settings(self, graphs: AnyGraphs) -> None:
        """Check that graphs have the settings of this featurizer.

        Parameters
        ----------
        graphs : CrystalGraphs or ShardedCrystalGraphs
            Graphs that were made before.

        Raises
        ------
        GraphSettingsError
            If they were made with other settings.
        """
        expected = self.graph_settings()
        if graphs.settings != expected:
            differences = describe_differences(graphs.settings, expected)
            raise GraphSettingsError(
                f"X holds graphs made with {differences}; make them with the same "
                "settings, as model.featurizer_.transform(structures) does for a "
                "fitted model"
            )

    def graph_settings(self) -> dict[str, Any]:
        """Return the settings that shape the graphs.

        Returns
        -------
        dict of str to JSON value
            Settings as in ``CrystalGraphs.settings``: the edge rule and its parameters
            as ``"connectivity"``, and ``"merge_equivalent"``. :meth:`from_settings`
            makes a featurizer of them.
        """
        return graph_settings(self._edge_rule(), self.merge_equivalent)

    def _edge_rule(self) -> EdgeRule:
        """Return the rule that was passed, or make it from its name and parameters."""
        if isinstance(self.connectivity, EdgeRule):
            self._check_no_conflict(self.connectivity)
            return self.connectivity
        rule_class: Any = EDGE_RULES[self.connectivity]
        parameters = {
            each.name: getattr(self, each.name)
            for each in fields(rule_class)
            if each.name in _RULE_PARAMETERS
        }
        if self.cutoff is None:
            parameters.pop("cutoff", None)  # each rule has its own default
        rule: EdgeRule = rule_class(**parameters)
        return rule

    def _check_no_conflict(self, rule: EdgeRule) -> None:
        name = type(rule).__name__
        for parameter, default in _RULE_PARAMETERS.items():
            value = getattr(self, parameter)
            if value == default:
                continue
            remedy = f"set it to its default, {default!r}"
            if hasattr(rule, parameter):
                remedy += f", and pass connectivity={name}({parameter}={value!r}, ...)"
            raise ValueError(
                f"{parameter}={value!r} conflicts with connectivity={rule!r}: a rule "
                f"object replaces the parameter {parameter} of the featurizer; {remedy}"
            )
