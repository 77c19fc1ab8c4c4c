"""Every public name is listed in ``docs/api.rst`` and has an example in its docstring.

The examples themselves are run by ``tox run -e doctests``.
"""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import sklearn_cgcnn

API = Path(__file__).parents[2] / "docs" / "api.rst"

SUBMODULES = [
    name
    for name in sklearn_cgcnn.__all__
    if inspect.ismodule(getattr(sklearn_cgcnn, name))
]

# Exported, but only for other modules of this package, or without a row in a table.
INTERNAL = {
    "sklearn_cgcnn": {"__version__", *SUBMODULES},
    "sklearn_cgcnn.graphs": {
        "EDGE_RULES",
        "PROPERTIES",
        "AnyGraphs",
        "build_graphs",
        "chunks_of",
        "describe_differences",
        "edge_rule_from_dict",
        "element_table",
        "graph_settings",
        "in_memory",
        "one_hot_site_features",
        "read_cell",
        "rule_of_graphs",
        "scaled_properties",
        "sole_atomic_number",
        "structure_error",
        "write_shards",
    },
    "sklearn_cgcnn.nn": {
        "ACTIVATIONS",
        "CONVS",
        "EDGE_BASES",
        "NORMS",
        "POOLINGS",
        "READOUTS",
    },
}


def read_listed_names():
    """Return the names in the tables of the page, and the data, for each module."""
    tables, data = {}, {}
    module, in_table = "", False
    for line in API.read_text(encoding="utf-8").splitlines():
        directive = re.match(r"\.\. (\w+)::\s*(\S*)", line)
        if directive:
            kind, argument = directive.groups()
            in_table = kind == "autosummary"
            if kind == "currentmodule":
                module = argument
            elif kind == "autodata":
                data.setdefault(module, []).append(argument)
        elif in_table and re.match(r"\s+\w+$", line):
            tables.setdefault(module, []).append(line.strip())
        elif line and not line.startswith(" "):
            in_table = False
    return tables, data


TABLES, DATA = read_listed_names()
NAMES = [(module, name) for module, names in TABLES.items() for name in names]


def test_the_page_is_read():
    assert ("sklearn_cgcnn", "CGCNNRegressor") in NAMES
    assert ("sklearn_cgcnn.graphs", "Failure") in NAMES
    assert "r2" in DATA["sklearn_cgcnn.metrics"]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_each_name_has_examples(module, name):
    text = getattr(import_module(module), name).__doc__
    assert re.search(r"^ *Examples\n *-{8}\n", text, flags=re.MULTILINE)


def test_each_module_has_a_section():
    modules = {f"sklearn_cgcnn.{name}" for name in SUBMODULES}
    assert set(TABLES) == modules | {"sklearn_cgcnn"}


@pytest.mark.parametrize("module", TABLES)
def test_each_exported_name_is_listed_once(module):
    listed = TABLES[module] + DATA.get(module, [])
    exported = set(import_module(module).__all__) - INTERNAL.get(module, set())
    assert sorted(listed) == sorted(exported)
