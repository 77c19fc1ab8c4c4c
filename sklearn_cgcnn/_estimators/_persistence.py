"""How a fitted estimator is stored: the versioned state of pickle, joblib and skops.

The state holds the weights as numpy arrays instead of the net. It therefore contains
neither the state of the optimizer nor that of callbacks, and it loads on a machine
without the GPU that the network was trained on.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn._featurizer import CrystalGraphFeaturizer
from sklearn_cgcnn._messages import warn
from sklearn_cgcnn._training import (
    CrystalNet,
    TargetEncoding,
    build_net,
    resolve_device,
)
from sklearn_cgcnn._versioned_state import State, VersionedState


def _add_training_parameters(state: State) -> State:
    """Upgrade a state of version 1, which lacks parameters and the history."""
    defaults = {
        "pretrained": None,
        "freeze": None,
        "checkpoint_dir": None,
        "on_error": "raise",
        "loss": "cross_entropy",  # of a classifier: a regressor has its own
    }
    fitted = {}
    if "_weights" in state:
        fitted = {
            "history_": {"train_loss": state["loss_curve_"]},
            "best_epoch_": None,
            "_elements": None,
        }
    return {**defaults, **fitted, **state}


class PersistentWeights(VersionedState):
    """Mixin that stores a fitted estimator as parameters, settings and weights.

    To change the state, see :class:`VersionedState`. Its version and its upgrades are
    the class attributes `_state_version` and `_state_upgrades`.
    """

    _state_version = 2
    _state_upgrades: ClassVar = {1: _add_training_parameters}

    net_: CrystalNet
    featurizer_: CrystalGraphFeaturizer
    _network_spec: NetworkSpec
    _elements: NDArray[np.int64] | None
    _prediction_params: dict[str, Any]
    _net_params: dict[str, Any] | None
    _encoding: Callable[[], TargetEncoding]

    def __getstate__(self) -> State:
        state = super().__getstate__()
        net = state.pop("net_", None)
        if net is not None:
            state["_net_params"] = None  # those of the optimizer, which is not stored
            state["_network_spec"] = state["_network_spec"].to_dict()
            state["_weights"] = {
                name: value.cpu().numpy()
                for name, value in net.module_.state_dict().items()
            }
        return state

    def __setstate__(self, state: State) -> None:
        super().__setstate__(state)
        weights = self.__dict__.pop("_weights", None)
        if weights is not None:
            self._network_spec = NetworkSpec(**self.__dict__["_network_spec"])
            self.net_ = self._restore_net(weights)

    def _restore_net(self, weights: Mapping[str, NDArray[Any]]) -> CrystalNet:
        """Return a net for prediction. Training makes another net."""
        params = self._prediction_params
        try:
            device = resolve_device(params["device"])
        except ValueError:
            warn(
                f"the model was fitted with device={str(params['device'])!r}, which "
                "this machine does not have; it is loaded on the CPU"
            )
            device = torch.device("cpu")
        return build_net(
            self._network_spec.restore(weights),
            criterion=torch.nn.Identity(),
            optimizer=_NoOptimizer,
            encoding=self._encoding(),
            device=device,
            batch_size=params["batch_size"],
            compiled=params["compile"],
            matmul_precision=params["matmul_precision"],
        )


class _NoOptimizer:
    """Stands for the optimizer of a net that only predicts.

    The first optimizer of a process makes torch import its compiler, which takes
    seconds.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}
