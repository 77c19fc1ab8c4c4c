"""Crystal graph convolutional neural networks as scikit-learn estimators."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from sklearn_cgcnn._estimators import CGCNNClassifier, CGCNNRegressor, CrystalEmbedder
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer

__version__ = "0.2.0"

__all__ = [
    "CGCNNClassifier",
    "CGCNNRegressor",
    "CrystalEmbedder",
    "CrystalGraphFeaturizer",
    "__version__",
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

if TYPE_CHECKING:
    from sklearn_cgcnn import (
        callbacks,
        checkpoints,
        datasets,
        distributed,
        exceptions,
        graphs,
        inspection,
        metrics,
        model_files,
        nn,
        presets,
        pretrained,
        streams,
        uncertainty,
    )
else:
    # Hidden from type checkers, which would otherwise accept any attribute.
    def __getattr__(name: str) -> ModuleType:
        """Import a public submodule when it is first used (PEP 562)."""
        if name in __all__:  # the estimators are found without this function
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, including submodules that are not imported yet."""
    return sorted(__all__)
