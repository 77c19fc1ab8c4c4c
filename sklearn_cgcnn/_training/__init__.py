"""Training: skorch's loop over batches of crystals."""

from sklearn_cgcnn._training._baseline import auto_baseline, fit_baseline
from sklearn_cgcnn._training._build import build_net
from sklearn_cgcnn._training._callbacks import (
    DivergenceGuard,
    FreezeLayers,
    KeepBestEpoch,
    Progress,
)
from sklearn_cgcnn._training._checkpoint import SaveEpochs, TrainingCheckpoint
from sklearn_cgcnn._training._device import resolve_device
from sklearn_cgcnn._training._net import CrystalNet, is_complete
from sklearn_cgcnn._training._packed import CrystalDataset, PackedDataset
from sklearn_cgcnn._training._recipe import (
    CLASS_LOSSES,
    CLASSIFICATION_EPOCHS,
    LOSSES,
    OPTIMIZERS,
    REGRESSION_EPOCHS,
    SCHEDULES,
    EpochRule,
    make_criterion,
    make_optimizer_params,
    make_schedule,
)
from sklearn_cgcnn._training._streamed import StreamedDataset, make_dataset
from sklearn_cgcnn._training._targets import (
    ClassEncoding,
    NumberEncoding,
    TargetEncoding,
)
from sklearn_cgcnn._training._user_callbacks import prepare_callbacks

__all__ = [
    "CLASSIFICATION_EPOCHS",
    "CLASS_LOSSES",
    "LOSSES",
    "OPTIMIZERS",
    "REGRESSION_EPOCHS",
    "SCHEDULES",
    "ClassEncoding",
    "CrystalDataset",
    "CrystalNet",
    "DivergenceGuard",
    "EpochRule",
    "FreezeLayers",
    "KeepBestEpoch",
    "NumberEncoding",
    "PackedDataset",
    "Progress",
    "SaveEpochs",
    "StreamedDataset",
    "TargetEncoding",
    "TrainingCheckpoint",
    "auto_baseline",
    "build_net",
    "fit_baseline",
    "is_complete",
    "make_criterion",
    "make_dataset",
    "make_optimizer_params",
    "make_schedule",
    "prepare_callbacks",
    "resolve_device",
]
