"""The convolution with shared weights: Eq. 4 of the paper."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from sklearn_cgcnn.nn._batch import CrystalGraphBatch
from sklearn_cgcnn.nn._conv import Conv, needs_bias
from sklearn_cgcnn.nn._norm import BatchNorm


class SharedConv(Conv):
    r"""Convolution with the same weights for every neighbor (paper, Eq. 4).

    .. math::
        v_i' = g\Big(\big(\sum_{j,k} v_j \oplus u_{(i,j)_k}\big) W_c + v_i W_s + b\Big)

    with :math:`g` the activation. This is a sum over the neighbors, not a mean. With a
    norm, the argument of g is normalized over the sites of the batch. This is our
    choice; it follows what the authors' program does for Eq. 5.

    Parameters
    ----------
    n_channels_in : int
        Width of the site vectors v before the convolution.
    n_channels : int
        Width of the site vectors after the convolution.
    n_edge_features : int
        Number of edge features u.
    norm : callable or None, default=BatchNorm
        Returns a norm for a given width. None uses no normalization.
    activation : callable, default=softplus
        The function g.

    Notes
    -----
    No term of the sum depends on both ends of an edge. The vectors of the neighbors are
    therefore mapped before they are gathered, and the edge features after they are
    summed, both once per site.

    Examples
    --------
    The first convolution receives the site features, whatever their width:

    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(conv="shared", site_features="properties", max_epochs=1)
    >>> model = model.fit(structures, energy)
    >>> [conv.site_linear.in_features for conv in model.net_.module_.convs]
    [93, 64, 64]
    """

    residual = False

    def __init__(
        self,
        n_channels_in: int,
        n_channels: int,
        n_edge_features: int,
        norm: Callable[[int], nn.Module] | None = BatchNorm,
        activation: Callable[[Tensor], Tensor] = softplus,
    ) -> None:
        super().__init__(n_channels_in, n_channels, n_edge_features, norm, activation)
        self.widths = (n_channels_in, n_edge_features)  # widths of v_j and u
        self.neighbor_linear = nn.Linear(sum(self.widths), n_channels, bias=False)
        self.site_linear = nn.Linear(n_channels_in, n_channels, bias=needs_bias(norm))
        self.norm = None if norm is None else norm(n_channels)

    def forward(self, sites: Tensor, batch: CrystalGraphBatch) -> Tensor:
        """Update the site vectors once.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels_in)
            Site vectors.
        batch : CrystalGraphBatch
            The crystals, with edge features.

        Returns
        -------
        Tensor of shape (n_sites, n_channels)
        """
        center, neighbor = batch.edge_index
        w_neighbor, w_edge = self.neighbor_linear.weight.split(self.widths, dim=1)
        weights = batch.edge_weights[:, None]
        messages = linear(sites, w_neighbor).index_select(0, neighbor) * weights
        # Autocast may round this product, but must not round the sum.
        from_site = self.site_linear(sites).to(messages.dtype)
        summed = from_site.index_add(0, center, messages)
        features = sites.new_zeros(len(sites), batch.n_edge_features)
        features = features.index_add(0, center, batch.edge_features * weights)
        summed = summed + linear(features, w_edge)  # (n_sites, n_channels)
        if self.norm is not None:
            summed = self.norm(summed, batch.multiplicity)
        return self.activation(summed)
