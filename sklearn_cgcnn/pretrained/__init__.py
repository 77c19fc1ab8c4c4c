"""Models that are trained already, by name."""

from sklearn_cgcnn.pretrained._catalog import (
    card,
    list_models,
    load,
    training_formulas,
)
from sklearn_cgcnn.pretrained._textbook_crystals import textbook_crystals

__all__ = [
    "card",
    "list_models",
    "load",
    "textbook_crystals",
    "training_formulas",
]
