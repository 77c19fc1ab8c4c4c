import json
import subprocess
import sys
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules

import pytest

import sklearn_cgcnn

PUBLIC_SUBMODULES = [
    "callbacks",
    "checkpoints",
    "datasets",
    "distributed",
    "exceptions",
    "graphs",
    "inspection",
    "metrics",
    "model_files",
    "nn",
    "presets",
    "pretrained",
    "streams",
    "uncertainty",
]


@pytest.fixture(scope="module")
def new_process():
    """Observations of a process that imports nothing but the package."""
    script = f"""
import json, sys
import sklearn_cgcnn

seen = {{"dir": dir(sklearn_cgcnn), "loaded": list(sys.modules)}}
modules = [getattr(sklearn_cgcnn, name) for name in {PUBLIC_SUBMODULES}]
seen["submodules"] = [module.__name__ for module in modules]
seen["loaded with submodules"] = list(sys.modules)
print(json.dumps(seen))
"""
    return json.loads(subprocess.check_output([sys.executable, "-c", script]))


@pytest.mark.parametrize("name", PUBLIC_SUBMODULES)
def test_submodules_are_attributes(name):
    module = getattr(sklearn_cgcnn, name)
    assert module is import_module(f"sklearn_cgcnn.{name}")


def test_submodules_are_attributes_after_importing_the_package_alone(new_process):
    expected = [f"sklearn_cgcnn.{name}" for name in PUBLIC_SUBMODULES]
    assert new_process["submodules"] == expected


def test_importing_the_package_loads_no_submodule_that_it_does_not_need(new_process):
    lazy = {f"sklearn_cgcnn.{n}" for n in ("checkpoints", "datasets", "inspection")}
    assert not lazy & set(new_process["loaded"])
    assert lazy <= set(new_process["loaded with submodules"])


def test_submodules_load_no_large_optional_package(new_process):
    large = {"matplotlib", "matminer", "dask", "pooch", "plotly", "numba"}
    assert not large & set(new_process["loaded with submodules"])


def test_dir_lists_every_public_name_before_it_is_imported(new_process):
    assert new_process["dir"] == sorted(sklearn_cgcnn.__all__)
    assert dir(sklearn_cgcnn) == new_process["dir"]


def test_all_is_complete():
    modules = {module.name for module in iter_modules(sklearn_cgcnn.__path__)}
    submodules = {name for name in modules if not name.startswith("_")}
    assert submodules == set(PUBLIC_SUBMODULES)
    estimators = {
        "CGCNNClassifier",
        "CGCNNRegressor",
        "CrystalEmbedder",
        "CrystalGraphFeaturizer",
    }
    assert set(sklearn_cgcnn.__all__) == submodules | estimators | {"__version__"}
    assert len(sklearn_cgcnn.__all__) == len(set(sklearn_cgcnn.__all__))
    for name in sklearn_cgcnn.__all__:
        assert hasattr(sklearn_cgcnn, name)


def test_an_unknown_attribute_raises_the_usual_error():
    message = r"^module 'sklearn_cgcnn' has no attribute 'CGCNNRegresor'$"
    with pytest.raises(AttributeError, match=message):
        sklearn_cgcnn.CGCNNRegresor  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'CGCNNRegresor'"):
        exec("from sklearn_cgcnn import CGCNNRegresor")
    assert not hasattr(sklearn_cgcnn, "dataset")


def test_the_package_is_marked_as_typed():
    assert files("sklearn_cgcnn").joinpath("py.typed").is_file()
