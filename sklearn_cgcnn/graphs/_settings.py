"""The settings that graphs store: which edge rule made them, and how.

Settings are plain JSON values: the edge rule's :meth:`EdgeRule.to_dict` under
``"connectivity"``, and ``"merge_equivalent"``.
"""

from collections.abc import Mapping
from typing import Any

from sklearn_cgcnn.graphs._neighbors import EdgeRule


def graph_settings(rule: EdgeRule, merge_equivalent: bool) -> dict[str, Any]:
    """Return the settings of graphs in the form that they store.

    Parameters
    ----------
    rule : EdgeRule
        The rule that joins sites by edges.
    merge_equivalent : bool
        Whether equivalent sites are merged.

    Returns
    -------
    dict of str to JSON value
    """
    return {
        "connectivity": rule.to_dict(),
        "merge_equivalent": bool(merge_equivalent),
    }


def describe_differences(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Name each setting that differs, with both values.

    Parameters
    ----------
    actual, expected : mapping of str to JSON value
        Settings of graphs.

    Returns
    -------
    str
        Such as ``"max_neighbors=6 instead of 12"``, empty if nothing differs.
    """
    actual, expected = _flatten(actual), _flatten(expected)
    names = list({**expected, **actual})
    if actual.get("connectivity") != expected.get("connectivity"):
        # Two rules can only be compared by the parameters that both have.
        common = expected.keys() & actual.keys() | {"connectivity"}
        names = [name for name in names if name in common]
    return ", ".join(
        f"{name}={_describe(actual, name)} instead of {_describe(expected, name)}"
        for name in names
        if name not in actual or name not in expected or actual[name] != expected[name]
    )


def _describe(settings: Mapping[str, Any], name: str) -> str:
    return repr(settings[name]) if name in settings else "(not set)"


def _flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the JSON form of the rule by its name, followed by its parameters."""
    flat = dict(settings)
    rule = flat.get("connectivity")
    if isinstance(rule, Mapping):
        parameters = dict(rule)
        name = parameters.pop("rule", None)
        flat = {**flat, "connectivity": name, **parameters}
    return flat
