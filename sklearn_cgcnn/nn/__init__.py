"""The network's parts: torch only, plain tensors in and out."""

from sklearn_cgcnn.nn._cgcnn import CGCNN
from sklearn_cgcnn.nn._conv import GatedConv
from sklearn_cgcnn.nn._dropout import Dropout
from sklearn_cgcnn.nn._edge_basis import (
    EDGE_BASES,
    EdgeBasis,
    GaussianBasis,
    OneHotBasis,
)
from sklearn_cgcnn.nn._norm import BatchNorm
from sklearn_cgcnn.nn._pooling import MeanPooling
from sklearn_cgcnn.nn._site_features import SiteFeatures

__all__ = [
    "CGCNN",
    "EDGE_BASES",
    "BatchNorm",
    "Dropout",
    "EdgeBasis",
    "GatedConv",
    "GaussianBasis",
    "MeanPooling",
    "OneHotBasis",
    "SiteFeatures",
]
