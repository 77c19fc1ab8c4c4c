"""Dropout that draws from a generator of its own."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Drop channels at random during training, and scale up those that stay.

    torch's :class:`~torch.nn.Dropout` draws from a generator that the whole process
    shares; this one can have its own, so that a training is repeated by its seed
    whatever else draws at the same time.

    Parameters
    ----------
    p : float
        Probability of dropping a channel.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Drop.

        Parameters
        ----------
        values : Tensor of any shape

        Returns
        -------
        Tensor of the same shape
        """
        if not self.training or self.p == 0:
            return values
        stay = torch.empty_like(values).bernoulli_(1 - self.p, generator=self.generator)
        return values * stay / (1 - self.p)
