"""Sums over the edges of a batch: one interface, several back ends."""

from sklearn_cgcnn._ops._dispatch import edge_sums
from sklearn_cgcnn._ops._edge_list import EdgeList, combine_rows, to_dense
from sklearn_cgcnn._ops._execution import (
    autocast,
    can_compile,
    execution,
    map_concurrently,
)
from sklearn_cgcnn._ops._gated_layer import gated_layer
from sklearn_cgcnn._ops._gated_sum import (
    gated_sum,
    normalized_gated_sum,
    supports_fused_sums,
)
from sklearn_cgcnn._ops._interface import (
    Activation,
    EdgeMoments,
    EdgeSums,
    UpdateParameters,
    UpdateSums,
)
from sklearn_cgcnn._ops._precision import autocast_dtype
from sklearn_cgcnn._ops._stacks import multiply_stacks
from sklearn_cgcnn._ops._update_layer import gated_update_layer, supports_update_layer

__all__ = [
    "Activation",
    "EdgeList",
    "EdgeMoments",
    "EdgeSums",
    "UpdateParameters",
    "UpdateSums",
    "autocast",
    "autocast_dtype",
    "can_compile",
    "combine_rows",
    "edge_sums",
    "execution",
    "gated_layer",
    "gated_sum",
    "gated_update_layer",
    "map_concurrently",
    "multiply_stacks",
    "normalized_gated_sum",
    "supports_fused_sums",
    "supports_update_layer",
    "to_dense",
]
