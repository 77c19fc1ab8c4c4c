"""Training: skorch's loop over batches of crystals."""

from sklearn_cgcnn._training._callbacks import DivergenceGuard, KeepBestEpoch, Progress
from sklearn_cgcnn._training._device import resolve_device
from sklearn_cgcnn._training._net import CrystalNet, build_net
from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn._training._recipe import (
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    make_criterion,
    make_optimizer_params,
    make_schedule,
)

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "CrystalNet",
    "DivergenceGuard",
    "KeepBestEpoch",
    "PackedDataset",
    "Progress",
    "build_net",
    "make_criterion",
    "make_optimizer_params",
    "make_schedule",
    "resolve_device",
]
