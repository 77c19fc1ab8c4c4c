"""Weights that were trained elsewhere, for `load_weights`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sklearn_cgcnn._estimators._network_spec import NetworkSpec


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
            "network; net_.module_.named_parameters() of a fitted estimator lists them"
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
