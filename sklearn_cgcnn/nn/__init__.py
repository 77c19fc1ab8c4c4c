"""The network's parts: plain tensors in and out."""

from sklearn_cgcnn.nn._activation import ACTIVATIONS
from sklearn_cgcnn.nn._cgcnn import CGCNN
from sklearn_cgcnn.nn._conv import CONVS, Conv, GatedConv, SharedConv
from sklearn_cgcnn.nn._dropout import Dropout
from sklearn_cgcnn.nn._edge_basis import (
    EDGE_BASES,
    EdgeBasis,
    GaussianBasis,
    NoEdgeFeatures,
    OneHotBasis,
)
from sklearn_cgcnn.nn._graph import Graph
from sklearn_cgcnn.nn._norm import NORMS, BatchNorm
from sklearn_cgcnn.nn._pooling import (
    POOLINGS,
    AllLayersPooling,
    MeanPooling,
    Pooling,
)
from sklearn_cgcnn.nn._readout import READOUTS, CrystalReadout, Readout, SiteReadout
from sklearn_cgcnn.nn._site_features import SiteFeatures

__all__ = [
    "ACTIVATIONS",
    "CGCNN",
    "CONVS",
    "EDGE_BASES",
    "NORMS",
    "POOLINGS",
    "READOUTS",
    "AllLayersPooling",
    "BatchNorm",
    "Conv",
    "CrystalReadout",
    "Dropout",
    "EdgeBasis",
    "GatedConv",
    "GaussianBasis",
    "Graph",
    "MeanPooling",
    "NoEdgeFeatures",
    "OneHotBasis",
    "Pooling",
    "Readout",
    "SharedConv",
    "SiteFeatures",
    "SiteReadout",
]
