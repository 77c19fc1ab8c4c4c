"""The network of the paper, part by part: torch modules that take a batch."""

from sklearn_cgcnn.nn._baseline import LinearBaseline
from sklearn_cgcnn.nn._batch import CrystalGraphBatch
from sklearn_cgcnn.nn._cgcnn import CGCNN
from sklearn_cgcnn.nn._conv import Conv
from sklearn_cgcnn.nn._dropout import Dropout
from sklearn_cgcnn.nn._edge_basis import (
    EdgeBasis,
    EmbeddedDistances,
    GaussianBasis,
    NoEdgeFeatures,
    OneHotBasis,
)
from sklearn_cgcnn.nn._gated_conv import GatedConv
from sklearn_cgcnn.nn._gated_update_conv import GatedUpdateConv
from sklearn_cgcnn.nn._norm import BatchNorm
from sklearn_cgcnn.nn._pooling import AllLayersPooling, MeanPooling, Pooling
from sklearn_cgcnn.nn._readout import CrystalReadout, Readout, SiteReadout
from sklearn_cgcnn.nn._registry import (
    ACTIVATIONS,
    CONVS,
    EDGE_BASES,
    NORMS,
    POOLINGS,
    READOUTS,
)
from sklearn_cgcnn.nn._shared_conv import SharedConv
from sklearn_cgcnn.nn._site_features import LearnedSiteFeatures, SiteFeatures

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
    "CrystalGraphBatch",
    "CrystalReadout",
    "Dropout",
    "EdgeBasis",
    "EmbeddedDistances",
    "GatedConv",
    "GatedUpdateConv",
    "GaussianBasis",
    "LearnedSiteFeatures",
    "LinearBaseline",
    "MeanPooling",
    "NoEdgeFeatures",
    "OneHotBasis",
    "Pooling",
    "Readout",
    "SharedConv",
    "SiteFeatures",
    "SiteReadout",
]
