"""Site features: a vector for the element of each site."""

import torch
from torch import Tensor, nn


class SiteFeatures(nn.Module):
    """Look up the features of each site's element in a table.

    Parameters
    ----------
    table : Tensor of shape (n_elements, n_features)
        Row ``Z`` holds the features of the element with atomic number ``Z``. A value
        that is not finite marks an element without features.

    Raises
    ------
    ValueError
        If `table` is not a matrix.

    Examples
    --------
    A table with one feature, the electronegativity of three elements:

    >>> import torch
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.nn import SiteFeatures
    >>> table = torch.full((104, 1), torch.nan)
    >>> table[[8, 11, 17], 0] = torch.tensor([3.44, 0.93, 3.16])
    >>> features = SiteFeatures(table)
    >>> features(torch.tensor([11, 17]))
    tensor([[0.9300],
            [3.1600]])
    >>> model = CGCNNRegressor(site_features=features)
    """

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        if table.ndim != 2:
            raise ValueError(
                f"table has shape {tuple(table.shape)}; it must have one row per "
                "atomic number, starting from 0, and one column per feature"
            )
        table = table.detach().to(torch.get_default_dtype())
        # Not in the state dict: it is a setting of the network, not learned.
        self.register_buffer("table", table, persistent=False)

    @property
    def n_features(self) -> int:
        """Number of features per site."""
        return self.table.shape[1]

    def known_elements(self) -> Tensor:
        """Return which elements have features, all of them finite.

        Returns
        -------
        Tensor of shape (n_elements,), bool
        """
        return self.table.isfinite().all(dim=1)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Look up features.

        Parameters
        ----------
        atomic_numbers : Tensor of shape (n_sites,), int64
            Atomic number of each site.

        Returns
        -------
        Tensor of shape (n_sites, n_features)
        """
        return self.table.index_select(0, atomic_numbers)


class LearnedSiteFeatures(SiteFeatures):
    """Put a learned vector of each site's element beside the features of a table.

    The vectors begin as zeros. Those of elements that no training crystal has remain
    zero, so that predictions for them depend on the features of the table alone.

    Parameters
    ----------
    table : Tensor of shape (n_elements, n_features)
        Row ``Z`` holds the features of the element with atomic number ``Z``. A value
        that is not finite marks an element without features.
    n_channels : int, default=32
        Width of the learned vectors.

    Raises
    ------
    ValueError
        If `table` is not a matrix.

    Examples
    --------
    >>> import torch
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.nn import LearnedSiteFeatures
    >>> features = LearnedSiteFeatures(torch.ones(104, 1), n_channels=2)
    >>> features(torch.tensor([11])).tolist()  # before training
    [[1.0, 0.0, 0.0]]
    >>> model = CGCNNRegressor(site_features=features)
    """

    def __init__(self, table: Tensor, n_channels: int = 32) -> None:
        super().__init__(table)
        zeros = self.table.new_zeros(len(self.table), n_channels)
        self.vectors = nn.Parameter(zeros)

    @property
    def n_features(self) -> int:
        """Number of features per site."""
        return self.table.shape[1] + self.vectors.shape[1]

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Look up features and vectors.

        Parameters
        ----------
        atomic_numbers : Tensor of shape (n_sites,), int64
            Atomic number of each site.

        Returns
        -------
        Tensor of shape (n_sites, n_features)
        """
        learned = self.vectors.index_select(0, atomic_numbers)
        return torch.cat([super().forward(atomic_numbers), learned], dim=1)
