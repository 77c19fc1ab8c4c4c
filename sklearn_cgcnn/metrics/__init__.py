"""Evaluate models: scores over known values, and groups of related crystals."""

from sklearn_cgcnn.metrics._groups import crystal_groups
from sklearn_cgcnn.metrics._scorers import (
    neg_mean_absolute_error,
    neg_root_mean_squared_error,
    r2,
)
from sklearn_cgcnn.metrics._scores import (
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)

__all__ = [
    "crystal_groups",
    "mean_absolute_error",
    "neg_mean_absolute_error",
    "neg_root_mean_squared_error",
    "r2",
    "r2_score",
    "root_mean_squared_error",
]
