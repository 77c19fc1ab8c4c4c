"""Dropout that draws from a generator of its own."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Drop channels at random during training, and scale up those that stay.

    torch's :class:`~torch.nn.Dropout` draws from a generator that the whole process
    shares; this one can have its own, so that a training is repeated by its seed
    whatever else draws at the same time. It draws for crystals: sites lose the channels
    that their crystal loses, so that equivalent sites stay equal.

    Parameters
    ----------
    p : float
        Probability of dropping a channel.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(
        self, values: Tensor, n_crystals: int, crystal_index: Tensor | None = None
    ) -> Tensor:
        """Drop.

        Parameters
        ----------
        values : Tensor of shape (n_rows, n_channels)
            Rows for crystals, or for sites.
        n_crystals : int
        crystal_index : Tensor of shape (n_rows,), int64, default=None
            Which crystal each row belongs to; None where there is a row for each.

        Returns
        -------
        Tensor of shape (n_rows, n_channels)
        """
        if not self.training or self.p == 0:
            return values
        stay = values.new_empty(n_crystals, values.shape[1])
        stay = stay.bernoulli_(1 - self.p, generator=self.generator)
        if crystal_index is not None:
            stay = stay.index_select(0, crystal_index)
        return values * stay / (1 - self.p)
