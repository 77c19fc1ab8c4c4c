"""Matrix products of rounded factors."""

import torch
from torch import Tensor


def rounded_type(tensor: Tensor) -> torch.dtype | None:
    """Say what autocast rounds factors to on the device of a tensor.

    Parameters
    ----------
    tensor : Tensor

    Returns
    -------
    torch.dtype or None
        None where it rounds nothing.
    """
    device = tensor.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return None


def multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Multiply matrices, in the type of the second.

    Parameters
    ----------
    a : Tensor of shape (n, k)
    b : Tensor of shape (k, m)
    out : Tensor of shape (n, m)
    """
    if a.dtype == b.dtype == out.dtype:
        torch.mm(a, b, out=out)
    else:
        out.copy_(a.to(b.dtype) @ b)
