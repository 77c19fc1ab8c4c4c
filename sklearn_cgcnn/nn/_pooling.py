"""Pooling: from the sites of a crystal to the crystal."""

from torch import Tensor, nn


class MeanPooling(nn.Module):
    """The mean over a crystal's sites (paper, Eq. S16).

    A mean depends neither on the order of the sites nor on how many primitive cells the
    given cell holds.
    """

    def forward(
        self,
        sites: Tensor,
        multiplicity: Tensor,
        crystal_index: Tensor,
        n_crystals: int,
    ) -> Tensor:
        """Pool.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_site_channels)
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for, of the type of `sites`.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_crystals, n_site_channels)
        """
        total = sites.new_zeros(n_crystals, sites.shape[1])
        total = total.index_add(0, crystal_index, sites * multiplicity[:, None])
        counts = sites.new_zeros(n_crystals).index_add(0, crystal_index, multiplicity)
        return total / counts[:, None]
