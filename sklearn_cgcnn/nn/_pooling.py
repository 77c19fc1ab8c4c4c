"""Pooling: from the sites of a crystal to the crystal."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Pooling(nn.Module, ABC):
    """Base of the poolings: one vector of a crystal from the vectors of its sites.

    A pooling of one's own inherits from it and gives the method below.

    Parameters
    ----------
    widths : sequence of int
        Widths of the site vectors: of the features of the sites, and after each
        convolution. The last is also that of the crystal's vector.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.n_channels = widths[-1]

    @abstractmethod
    def forward(
        self,
        layers: Sequence[Tensor],
        multiplicity: Tensor,
        crystal_index: Tensor,
        n_crystals: int,
    ) -> Tensor:
        """Pool.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, widths[t])
            The features of the sites, and their vectors after each convolution.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for, of the type of `layers`.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_crystals, n_channels)
        """


class MeanPooling(Pooling):  # numpydoc ignore=PR02
    r"""The mean over a crystal's sites (paper, Eq. S16).

    .. math:: v_c = \frac{1}{N} \sum_i v_i^{(R)}

    A mean depends neither on the order of the sites nor on how many primitive cells the
    given cell holds.

    Parameters
    ----------
    widths : sequence of int
        Widths of the site vectors, of which the last counts.
    """

    def forward(
        self,
        layers: Sequence[Tensor],
        multiplicity: Tensor,
        crystal_index: Tensor,
        n_crystals: int,
    ) -> Tensor:
        """Pool.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, widths[t])
            The features of the sites, and their vectors after each convolution.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for, of the type of `layers`.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_crystals, n_channels)
        """
        return _mean(layers[-1], multiplicity, crystal_index, n_crystals)


class AllLayersPooling(Pooling):
    r"""The mean over sites of what every layer says of them (paper, Eqs. S11 to S13).

    .. math::
        \tilde v_i^{(t)} = \mathrm{softmax}(v_i^{(t)} W_t + b_t), \qquad
        v_c = \frac{1}{N} \sum_{t=0}^{R} \sum_i \tilde v_i^{(t)}

    with :math:`v_i^{(0)}` the features of the sites, and :math:`v_i^{(t)}` their
    vectors after t of the R convolutions.

    Parameters
    ----------
    widths : sequence of int
        Widths of the site vectors, layer by layer.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(widths)
        self.maps = nn.ModuleList(nn.Linear(each, self.n_channels) for each in widths)

    def forward(
        self,
        layers: Sequence[Tensor],
        multiplicity: Tensor,
        crystal_index: Tensor,
        n_crystals: int,
    ) -> Tensor:
        """Pool.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, widths[t])
            The features of the sites, and their vectors after each convolution.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for, of the type of `layers`.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_crystals, n_channels)
        """
        said = layers[0].new_zeros(len(multiplicity), self.n_channels)
        for layer, to_channels in zip(layers, self.maps, strict=True):
            said = said + to_channels(layer).softmax(dim=1)
        return _mean(said, multiplicity, crystal_index, n_crystals)


def _mean(
    sites: Tensor, multiplicity: Tensor, crystal_index: Tensor, n_crystals: int
) -> Tensor:
    """Average over the sites of each crystal."""
    # In the type of the counts, as autocast may have rounded the sites.
    total = multiplicity.new_zeros(n_crystals, sites.shape[1])
    total = total.index_add(0, crystal_index, sites * multiplicity[:, None])
    counts = multiplicity.new_zeros(n_crystals)
    counts = counts.index_add(0, crystal_index, multiplicity)
    return total / counts[:, None]


POOLINGS: dict[str, type[Pooling]] = {
    "mean": MeanPooling,
    "all_layers": AllLayersPooling,
}
