"""Convolution: each site learns of its neighbours."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from sklearn_cgcnn.nn._norm import BatchNorm


class GatedConv(nn.Module):
    r"""Convolution with a gate for every edge (paper, Eq. 5).

    .. math::
        v_i' = g\Big(v_i + \sum_{j,k} \sigma(z_{(i,j)_k} W_f)
        \odot g(z_{(i,j)_k} W_s)\Big), \qquad
        z_{(i,j)_k} = v_i \oplus v_j \oplus u_{(i,j)_k}

    with :math:`\sigma` the sigmoid and :math:`g` the softplus. As in the authors'
    program, :math:`z W_f \oplus z W_s` is normalised over the edges of the batch, the
    sum over its sites, and a softplus follows the residual.

    Parameters
    ----------
    n_site_channels : int
        Width of the site vectors v.
    n_edge_features : int
        Width of the edge features u.

    Notes
    -----
    The linear map of z is applied in three parts: those of v_i and v_j once per site
    and gathered by the edges, only that of u once per edge. It has no bias, which the
    normalisation would cancel.
    """

    def __init__(self, n_site_channels: int, n_edge_features: int) -> None:
        super().__init__()
        self.split = (n_site_channels, n_site_channels, n_edge_features)
        self.linear = nn.Linear(sum(self.split), 2 * n_site_channels, bias=False)
        self.edge_norm = BatchNorm(2 * n_site_channels)
        self.site_norm = BatchNorm(n_site_channels)

    def forward(
        self,
        sites: Tensor,
        edge_features: Tensor,
        edge_index: Tensor,
        multiplicity: Tensor,
        edge_weights: Tensor,
    ) -> Tensor:
        """Convolve once.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_site_channels)
        edge_features : Tensor of shape (n_edges, n_edge_features)
        edge_index : Tensor of shape (2, n_edges), int64
            Centres and neighbours.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for, of the type of `sites`.
        edge_weights : Tensor of shape (n_edges,)
            How many equal edges of its centre each stands for, likewise.

        Returns
        -------
        Tensor of shape (n_sites, n_site_channels)
        """
        centre, neighbour = edge_index
        of_centre, of_neighbour, of_edge = self.linear.weight.split(self.split, dim=1)
        z = (
            linear(edge_features, of_edge)
            + linear(sites, of_centre).index_select(0, centre)
            + linear(sites, of_neighbour).index_select(0, neighbour)
        )  # (n_edges, 2 * n_site_channels)
        counts = edge_weights * multiplicity.index_select(0, centre)
        gate, core = self.edge_norm(z, counts).chunk(2, dim=1)
        messages = torch.sigmoid(gate) * softplus(core)  # (n_edges, n_site_channels)
        weighted = messages * edge_weights[:, None]
        summed = torch.zeros_like(sites).index_add(0, centre, weighted)
        return softplus(sites + self.site_norm(summed, multiplicity))
