"""Activations by name."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": functional.softplus,
    "relu": functional.relu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "identity": nn.Identity(),
}
