"""Site features: what is known of an element before training."""

import torch
from torch import Tensor, nn


class SiteFeatures(nn.Module):
    """Look up the features of each site's element in a table.

    Parameters
    ----------
    table : Tensor of shape (n_elements, n_features)
        Row ``Z`` holds the features of the element with atomic number ``Z``, NaN where
        there are none.

    Raises
    ------
    ValueError
        If the table is no matrix.
    """

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        if table.ndim != 2:
            raise ValueError(
                f"table has shape {tuple(table.shape)}; it must have a row for each "
                "atomic number from 0, and a column for each feature"
            )
        table = table.detach().to(torch.get_default_dtype())
        # What the network is made from, and not what it has learned.
        self.register_buffer("table", table, persistent=False)

    @property
    def n_features(self) -> int:
        """Number of features per site."""
        return self.table.shape[1]

    def known_elements(self) -> Tensor:
        """Say of which elements there are features, all of them finite.

        Returns
        -------
        Tensor of shape (n_elements,), bool
        """
        return self.table.isfinite().all(dim=1)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Look up elements.

        Parameters
        ----------
        atomic_numbers : Tensor of shape (n_sites,), int64

        Returns
        -------
        Tensor of shape (n_sites, n_features)
        """
        return self.table.index_select(0, atomic_numbers)
