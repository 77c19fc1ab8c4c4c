"""Check that a network has the shapes of its weights, before it is built."""

from typing import Any

import torch

from sklearn_cgcnn._estimators import NetworkSpec
from sklearn_cgcnn.exceptions import ModelFileError

_NUMBERS_OF_LAYERS = ("n_conv_layers", "n_hidden_layers")


def check_network(state: dict[str, Any]) -> None:
    """Check the state of an estimator from a file.

    A file may claim widths whose weights would fill the memory. The network is
    therefore first built without memory.

    Parameters
    ----------
    state : dict of str to object
        State of an object. Nothing is checked if it has no weights.

    Raises
    ------
    ModelFileError
        If the network would have other weights than the state has.
    """
    if "_weights" not in state:
        return
    spec, weights = NetworkSpec(**state["_network_spec"]), state["_weights"]
    # Each layer has weights of its own.
    if any(getattr(spec, name) > len(weights) for name in _NUMBERS_OF_LAYERS):
        raise ModelFileError("the network has more layers than weights")
    with torch.device("meta"):
        needed = {k: tuple(v.shape) for k, v in spec.build().state_dict().items()}
    given = {name: tuple(array.shape) for name, array in weights.items()}
    if needed != given:
        raise ModelFileError("the weights are not those of the network")
