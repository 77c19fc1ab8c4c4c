"""The precision of matrix products."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import Any

import torch
from torch import Tensor


class _Tf32:
    """State of torch's switch for TF32 before the first user turned it on."""

    lock = Lock()
    n_users = 0
    before: Any = None
    # torch 2.9 renamed the switch. Once the new name has been used, it raises an error
    # for the old one.
    name, value = (
        ("fp32_precision", "tf32")
        if hasattr(torch.backends.cuda.matmul, "fp32_precision")
        else ("allow_tf32", True)
    )


@contextmanager
def tf32_matmul() -> Iterator[None]:
    """Let CUDA GPUs round the factors of matrix products to TF32.

    torch has only one switch, for the whole process. It is restored when the last
    ``with`` statement ends that needs it, in whichever thread.
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


def autocast_dtype(tensor: Tensor) -> torch.dtype | None:
    """Return the dtype that autocast rounds factors to on the device of a tensor.

    Parameters
    ----------
    tensor : Tensor

    Returns
    -------
    torch.dtype or None
        None if autocast is not enabled, or not available for the device.
    """
    device = tensor.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return None


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context manager that disables autocast on the device of a tensor.

    Parameters
    ----------
    tensor : Tensor

    Returns
    -------
    context manager
    """
    if autocast_dtype(tensor) is None:
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)


def multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Multiply two matrices, in the dtype of the second one.

    Parameters
    ----------
    a : Tensor of shape (n, k)
    b : Tensor of shape (k, m)
    out : Tensor of shape (n, m)
        Where the product is written, in its own dtype.
    """
    if a.dtype == b.dtype == out.dtype:
        torch.mm(a, b, out=out)
    else:
        out.copy_(a.to(b.dtype) @ b)


def apply_rounded(
    function: type[torch.autograd.Function],
    sites: Tensor,
    weight: Tensor,
    scale: Tensor,
    *args: Any,
) -> Any:
    """Apply a function. Under autocast, round only its products with the weight.

    Parameters
    ----------
    function : type of torch.autograd.Function
        The function.
    sites, weight, scale : Tensor
        Its first arguments. Under autocast, `weight` gets the dtype to round to, and
        `sites` that of `scale`.
    *args
        Its other arguments.

    Returns
    -------
    Tensor or tuple of Tensor
        What the function returns.
    """
    dtype = autocast_dtype(sites)
    if dtype is None:
        return function.apply(sites, weight, scale, *args)
    with without_autocast(sites):
        return function.apply(sites.to(scale.dtype), weight.to(dtype), scale, *args)
