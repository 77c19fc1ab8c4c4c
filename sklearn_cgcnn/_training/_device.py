"""The device that a network runs on."""

from typing import Literal

import torch

from sklearn_cgcnn._ops import can_compile


def resolve_device(
    device: str | torch.device, compiled: bool | Literal["auto"] = False
) -> torch.device:
    """Return the device to use.

    Parameters
    ----------
    device : str or torch.device
        Name of the device. "auto" means a CUDA GPU if there is one, else the CPU.
    compiled : bool or "auto", default=False
        Whether loops are to be compiled for the device. "auto" means that they may be.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If torch cannot use the device on this machine.
    ImportError
        If loops are to be compiled for a CPU and Numba cannot be imported.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
        if resolved.type != "cuda":  # tested below, without starting CUDA
            torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={str(device)!r} cannot be used by torch on this machine "
            f'({error}); pass device="auto" or "cpu"'
        ) from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={str(device)!r} needs a CUDA GPU, and torch finds none on this "
            'machine; pass device="auto" or "cpu"'
        )
    must_compile = compiled != "auto" and compiled
    if must_compile and resolved.type == "cpu" and not can_compile(resolved):
        raise ImportError(
            "compile=True needs Numba to compile for a CPU, and Numba cannot be "
            'imported; pip install numba, or set compile="auto"'
        )
    return resolved
