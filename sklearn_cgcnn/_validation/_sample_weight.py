"""Check that there is one sample weight per crystal."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_sample_weight(
    sample_weight: Any, n_crystals: int, name: str = "sample_weight"
) -> NDArray[np.float64]:
    """Check that there is one sample weight per crystal.

    Parameters
    ----------
    sample_weight : array-like of shape (n_crystals,), float or None
        Sample weights. A number applies to every crystal. None gives every crystal
        the weight 1.
    n_crystals : int
        Number of crystals in X.
    name : str, default="sample_weight"
        Name of the argument, for messages. "sample_weight_val" belongs to "X_val".

    Returns
    -------
    ndarray of shape (n_crystals,), float64

    Raises
    ------
    ValueError
        If the weights have the wrong shape, are negative or not finite, or are all
        zero.
    """
    if sample_weight is None:
        return np.ones(n_crystals)
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} contains values that are not numbers ({error}); pass one "
            "number per crystal"
        ) from error
    if weights.ndim == 0:
        weights = np.full(n_crystals, weights)
    if weights.shape != (n_crystals,):
        raise ValueError(
            f"{name} has shape {weights.shape} for {n_crystals} crystals in "
            f"X{name.removeprefix('sample_weight')}; pass one weight per crystal"
        )
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ValueError(
            f"{name}[{bad[0]}] is {weights[bad[0]]}, but weights must be finite "
            "and not negative; use zero to leave a crystal out"
        )
    if not weights.any():
        raise ValueError(
            f"{name} is zero for every crystal; pass a positive weight for at least one"
        )
    return weights
