"""The parts of a network by name, as the estimators' parameters accept them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from sklearn_cgcnn.nn._conv import Conv
from sklearn_cgcnn.nn._edge_basis import (
    EdgeBasis,
    EmbeddedDistances,
    GaussianBasis,
    OneHotBasis,
)
from sklearn_cgcnn.nn._gated_conv import GatedConv
from sklearn_cgcnn.nn._gated_update_conv import GatedUpdateConv
from sklearn_cgcnn.nn._norm import BatchNorm
from sklearn_cgcnn.nn._pooling import AllLayersPooling, MeanPooling, Pooling
from sklearn_cgcnn.nn._readout import CrystalReadout, Readout, SiteReadout
from sklearn_cgcnn.nn._shared_conv import SharedConv

CONVS: dict[str, type[Conv]] = {
    "gated": GatedConv,
    "gated_update": GatedUpdateConv,
    "shared": SharedConv,
}
POOLINGS: dict[str, type[Pooling]] = {
    "mean": MeanPooling,
    "all_layers": AllLayersPooling,
}
READOUTS: dict[str, type[Readout]] = {"crystal": CrystalReadout, "site": SiteReadout}
EDGE_BASES: dict[str, Callable[[], EdgeBasis]] = {
    "embedded": EmbeddedDistances,
    "gaussian": GaussianBasis,
    "one-hot": OneHotBasis,
}
NORMS: dict[str, type[nn.Module]] = {"batch": BatchNorm}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": functional.softplus,
    "relu": functional.relu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "identity": nn.Identity(),
}
