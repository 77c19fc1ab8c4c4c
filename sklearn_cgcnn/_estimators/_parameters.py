"""The parameters that the regressor and the classifier share: types and constraints."""

import os
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback
from torch import Tensor, nn

from sklearn_cgcnn._crystal_input import CrystalInput
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._sklearn_compat import Interval, StrOptions
from sklearn_cgcnn._training import OPTIMIZERS, SCHEDULES
from sklearn_cgcnn.nn import (
    ACTIVATIONS,
    CONVS,
    EDGE_BASES,
    NORMS,
    POOLINGS,
    READOUTS,
    Conv,
    EdgeBasis,
    Pooling,
    Readout,
    SiteFeatures,
)
from sklearn_cgcnn.presets import preset


class EstimatorParameters(CrystalInput, BaseEstimator):  # type: ignore[misc]
    """Base class that declares, validates and stores parameters."""

    featurizer: CrystalGraphFeaturizer | None
    pretrained: FrozenEstimator | str | None
    freeze: int | str | list[str] | None
    conv: str | type[Conv]
    pooling: str | type[Pooling]
    readout: str | type[Readout]
    n_conv_layers: int
    n_site_channels: int
    n_hidden_layers: int
    n_hidden_channels: int
    site_features: Any
    edge_basis: str | EdgeBasis | None
    norm: str | Callable[[int], nn.Module] | None
    activation: str | Callable[[Tensor], Tensor]
    dropout: float
    optimizer: str | Callable[..., torch.optim.Optimizer]
    lr: float
    lr_schedule: str | Callable[..., Any]
    weight_decay: float | Literal["auto"]
    max_epochs: int | Literal["auto"]
    batch_size: int
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    warm_start: bool
    callbacks: list[Callback] | None
    checkpoint_dir: str | os.PathLike[str] | None
    device: str | torch.device
    compile: bool | Literal["auto"]
    matmul_precision: str
    random_state: int | np.random.RandomState | None
    on_error: str
    n_jobs: int | None
    verbose: int

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "featurizer": [CrystalGraphFeaturizer, None],
        "pretrained": [BaseEstimator, str, None],
        "freeze": [
            Interval(Integral, 0, None, closed="left"),
            StrOptions({"convolutions"}),
            list,
            None,
        ],
        "conv": [StrOptions(set(CONVS)), type],
        "pooling": [StrOptions(set(POOLINGS)), type],
        "readout": [StrOptions(set(READOUTS)), type],
        "n_conv_layers": [Interval(Integral, 1, None, closed="left")],
        "n_site_channels": [Interval(Integral, 1, None, closed="left")],
        "n_hidden_layers": [Interval(Integral, 0, None, closed="left")],
        "n_hidden_channels": [Interval(Integral, 1, None, closed="left")],
        "site_features": [str, os.PathLike, Mapping, "array-like", SiteFeatures],
        "edge_basis": [StrOptions(set(EDGE_BASES)), EdgeBasis, None],
        "norm": [StrOptions(set(NORMS)), callable, None],
        "activation": [StrOptions(set(ACTIVATIONS)), callable],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions(SCHEDULES), callable],
        "weight_decay": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "max_epochs": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "callbacks": [list, None],
        "checkpoint_dir": [str, os.PathLike, None],
        "device": [str, torch.device],
        "compile": ["boolean", StrOptions({"auto"})],
        "matmul_precision": [StrOptions({"float32", "tf32", "bfloat16"})],
        "random_state": ["random_state"],
        "on_error": [StrOptions({"raise", "collect"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator, or of the featurizer in it.

        Parameters
        ----------
        **params
            Parameters by their names. ``featurizer__max_neighbors`` is the parameter
            ``max_neighbors`` of `featurizer`.

        Returns
        -------
        object
            This estimator.

        Raises
        ------
        ValueError
            If there is no such parameter, or if it is one of a featurizer that is None.
        """
        of_featurizer = [name for name in params if name.startswith("featurizer__")]
        if of_featurizer and params.get("featurizer", self.featurizer) is None:
            raise ValueError(
                f"{of_featurizer[0]} cannot be set because featurizer is None; pass "
                "featurizer=CrystalGraphFeaturizer() to the estimator"
            )
        super().set_params(**params)
        return self

    def _store_params(self, arguments: Mapping[str, Any]) -> None:
        """Store the arguments of `__init__` unchanged, as scikit-learn requires."""
        own = {k: v for k, v in arguments.items() if k not in ("self", "__class__")}
        self.__dict__.update(own)

    @classmethod
    def from_preset(cls, name: str, **params: Any) -> Self:
        """Return an estimator with the parameters of a published model.

        The presets are ``"paper_eq4"`` and ``"paper_eq5"``, the models of these
        equations as the paper prints them, and ``"released"``, the authors' program
        with the defaults of its command line. They include the optimizer and the
        training recipe. The paper searched over some parameters and does not state
        which values it chose, so these are our choice. The page "Models of the paper"
        in the documentation gives the source of each value.

        Parameters
        ----------
        name : {"paper_eq4", "paper_eq5", "released"}
            Name of the preset.
        **params
            Parameters of the estimator that replace those of the preset.

        Returns
        -------
        object
            The estimator, not fitted.

        Raises
        ------
        ValueError
            If there is no preset of this name.
        TypeError
            If the estimator has no such parameter.
        """
        chosen = preset(name, classification=issubclass(cls, ClassifierMixin))
        return cls(**{**chosen, **params})
