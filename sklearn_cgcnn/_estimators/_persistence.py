"""How a fitted estimator is stored: the versioned state of pickle, joblib and skops.

The state holds the weights as numpy arrays instead of the net. It therefore contains
neither optimizer nor callbacks, and it loads on a machine without the GPU that the
network was trained on.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn._training import CrystalNet, build_net, resolve_device

State = dict[str, Any]

#: Version of the state that this release writes. Raise it when the state changes, and
#: add to `UPGRADES` how a state of the version before becomes one of the new version.
STATE_VERSION = 1

#: By version n, a function that turns a state of version n into one of version n + 1.
UPGRADES: dict[int, Callable[[State], State]] = {}


class PersistentWeights:
    """Mixin that stores a fitted estimator as parameters, settings and weights."""

    net_: CrystalNet
    _network_spec: NetworkSpec
    _prediction_params: dict[str, Any]
    _net_params: dict[str, Any] | None

    def __getstate__(self) -> State:
        state: State = super().__getstate__().copy()  # type: ignore[attr-defined]
        state["_state_version"] = STATE_VERSION
        net = state.pop("net_", None)
        if net is not None:
            state["_net_params"] = None  # the optimizer is not stored
            state["_network_spec"] = state["_network_spec"].to_dict()
            state["_weights"] = {
                name: value.cpu().numpy()
                for name, value in net.module_.state_dict().items()
            }
        return state

    def __setstate__(self, state: State) -> None:
        state = upgrade(state)
        del state["_state_version"]
        weights = state.pop("_weights", None)
        if weights is not None:
            state["_network_spec"] = NetworkSpec(**state["_network_spec"])
        super().__setstate__(state)  # type: ignore[misc]
        if weights is not None:
            self.net_ = self._restore_net(weights)

    def _restore_net(self, weights: Mapping[str, NDArray[Any]]) -> CrystalNet:
        """Return a net for prediction. Training makes another net."""
        params = self._prediction_params
        try:
            device = resolve_device(params["device"])
        except ValueError:
            warnings.warn(
                f"the model was fitted with device={str(params['device'])!r}, which "
                "this machine does not have; it is loaded on the CPU",
                stacklevel=2,
            )
            device = torch.device("cpu")
        return build_net(
            self._network_spec.restore(weights),
            criterion=torch.nn.Identity(),
            device=device,
            batch_size=params["batch_size"],
            compiled=params["compile"],
            matmul_precision=params["matmul_precision"],
        )


def upgrade(state: State) -> State:
    """Return a stored state in the version that this release uses.

    Parameters
    ----------
    state : dict
        State as it was stored. It is not changed.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If the state has no version, or one that this release cannot read.
    """
    state = state.copy()
    version = state.get("_state_version")
    while version in UPGRADES:
        state = UPGRADES[version](state)
        version = state["_state_version"]
    if version != STATE_VERSION:
        raise ValueError(
            f"the stored model has state version {version}, and this release of "
            f"sklearn_cgcnn reads versions up to {STATE_VERSION}; load it with the "
            "release that stored it, or fit it again"
        )
    return state


def complete_weights(
    spec: NetworkSpec, weights: Mapping[str, Tensor | NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Check weights that were trained elsewhere, and add the buffers left out.

    Parameters
    ----------
    spec : NetworkSpec
        The network that the weights are for.
    weights : mapping of str to Tensor or ndarray
        Parameters and buffers by the names of the module's state.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        If a name is unknown, a parameter is missing, or a shape differs.
    """
    module = spec.build()
    complete = {k: v.numpy() for k, v in module.state_dict().items()}
    unknown = sorted(set(weights) - set(complete))
    if unknown:
        raise ValueError(
            f"weights has {unknown[0]!r}, which the network does not have; it has "
            f"{', '.join(complete)}"
        )
    missing = [name for name, _ in module.named_parameters() if name not in weights]
    if missing:
        raise ValueError(
            f"weights lacks the parameter {missing[0]!r}; give all parameters of the "
            "network, whose names are those of net_.module_.named_parameters()"
        )
    for name, value in weights.items():
        expected, given = complete[name].shape, tuple(value.shape)
        if given != expected:
            raise ValueError(
                f"weights[{name!r}] has shape {given}, and the network needs "
                f"{expected}; set the widths of the estimator to those of the weights"
            )
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        complete[name] = np.asarray(value)
    return complete
