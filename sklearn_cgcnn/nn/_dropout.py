"""Dropout with its own random generator."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Set channels to zero at random during training, and scale up the others.

    torch's :class:`~torch.nn.Dropout` draws from a generator that the whole process
    shares. This module can have its own generator, so that a seed repeats a training
    whatever else draws random numbers at the same time. One mask is drawn per crystal:
    all sites of a crystal lose the same channels, so that equivalent sites stay equal.

    Parameters
    ----------
    p : float
        Probability of dropping a channel.

    Examples
    --------
    >>> import torch
    >>> from sklearn_cgcnn.nn import Dropout
    >>> dropout = Dropout(0.5)
    >>> dropout.generator = torch.Generator().manual_seed(0)
    >>> crystal_index = torch.tensor([0, 0, 1])
    >>> values = dropout(torch.ones(3, 64), n_crystals=2, crystal_index=crystal_index)
    >>> values.unique().tolist()
    [0.0, 2.0]
    >>> torch.equal(values[0], values[1])  # the sites of one crystal
    True
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(
        self, values: Tensor, n_crystals: int, crystal_index: Tensor | None = None
    ) -> Tensor:
        """Apply dropout.

        Parameters
        ----------
        values : Tensor of shape (n_rows, n_channels)
            One row per crystal, or one row per site.
        n_crystals : int
            Number of crystals.
        crystal_index : Tensor of shape (n_rows,), int64, or None, default=None
            Crystal that each row belongs to. None means one row per crystal.

        Returns
        -------
        Tensor of shape (n_rows, n_channels)
        """
        if not self.training or self.p == 0:
            return values
        mask = values.new_empty(n_crystals, values.shape[1])
        mask = mask.bernoulli_(1 - self.p, generator=self.generator)
        if crystal_index is not None:
            mask = mask.index_select(0, crystal_index)
        return values * mask / (1 - self.p)
