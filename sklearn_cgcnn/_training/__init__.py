"""Training: skorch's loop over batches of crystals."""

from sklearn_cgcnn._training._callbacks import DivergenceGuard, KeepBestEpoch, Progress
from sklearn_cgcnn._training._device import resolve_device
from sklearn_cgcnn._training._net import CrystalNet, build_net, is_complete
from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn._training._recipe import (
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    make_criterion,
    make_optimizer_params,
    make_schedule,
)
from sklearn_cgcnn._training._targets import (
    ClassEncoding,
    NumberEncoding,
    TargetEncoding,
)
from sklearn_cgcnn._training._user_callbacks import prepare_callbacks

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "ClassEncoding",
    "CrystalNet",
    "DivergenceGuard",
    "KeepBestEpoch",
    "NumberEncoding",
    "PackedDataset",
    "Progress",
    "TargetEncoding",
    "build_net",
    "is_complete",
    "make_criterion",
    "make_optimizer_params",
    "make_schedule",
    "prepare_callbacks",
    "resolve_device",
]
