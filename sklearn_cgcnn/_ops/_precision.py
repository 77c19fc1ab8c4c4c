"""Matrix products that are rounded, and their factors."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor


class _Tf32:
    """What torch's switch stood at before anyone asked for TF32."""

    lock = Lock()
    n_users = 0
    before: Any = None
    # torch 2.9 renamed it, and then refuses who takes the old name after the new one.
    name, value = (
        ("fp32_precision", "tf32")
        if hasattr(torch.backends.cuda.matmul, "fp32_precision")
        else ("allow_tf32", True)
    )


@contextmanager
def rounding_to_tf32() -> Iterator[None]:
    """Have GPUs round the factors of products to TF32.

    torch knows no other switch for it than one for the whole process, which is set back
    when nobody needs it any more.
    """
    with _Tf32.lock:
        if not _Tf32.n_users:
            _Tf32.before = getattr(torch.backends.cuda.matmul, _Tf32.name)
            setattr(torch.backends.cuda.matmul, _Tf32.name, _Tf32.value)
        _Tf32.n_users += 1
    try:
        yield
    finally:
        with _Tf32.lock:
            _Tf32.n_users -= 1
            if not _Tf32.n_users:
                setattr(torch.backends.cuda.matmul, _Tf32.name, _Tf32.before)


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
