"""Convolutions: each site learns of its neighbors."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from sklearn_cgcnn._ops._gated_sum import gated_sum, normalized_gated_sum
from sklearn_cgcnn.nn._graph import Graph
from sklearn_cgcnn.nn._norm import BatchNorm


class Conv(nn.Module, ABC):
    """Base of the convolutions: updates the site vectors from those of neighbors.

    A convolution of one's own inherits from it, takes these parameters, and gives the
    method below. What it does must be the same for equal sites and equal edges, whose
    numbers ``graph.multiplicity`` and ``graph.edge_weights`` it has to heed, so that it
    knows neither the order of the sites nor the choice of the cell.

    Parameters
    ----------
    n_channels_in : int
        Width of the site vectors before.
    n_channels : int
        Width of the site vectors after.
    n_edge_features : int
        Width of the edge features.
    norm : callable or None, default=BatchNorm
        Makes, from a width, a module that is called with rows and with how many equal
        ones each stands for, as :class:`BatchNorm` is. None for none. With an attribute
        ``cancels_bias`` that is true, there is no bias before it.
    activation : callable, default=softplus
        Function of a tensor, g in the paper.

    Raises
    ------
    ValueError
        If a convolution that adds to its input is to change its width.

    Examples
    --------
    The mean over what a linear map makes of the neighbors and the edges to them:

    >>> import torch
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.nn import Conv
    >>> class MeanConv(Conv):
    ...     def __init__(self, width_in, width, n_edge_features, norm, activation):
    ...         super().__init__(width_in, width, n_edge_features, norm, activation)
    ...         self.linear = torch.nn.Linear(width + n_edge_features, width)
    ...
    ...     def forward(self, sites, graph):
    ...         center, neighbor = graph.edge_index
    ...         weights = graph.edge_weights[:, None]
    ...         seen = torch.cat([sites[neighbor], graph.edge_features], dim=1)
    ...         messages = self.activation(self.linear(seen))
    ...         total = torch.zeros_like(sites).index_add(0, center, weights * messages)
    ...         count = torch.zeros_like(sites[:, :1]).index_add(0, center, weights)
    ...         return sites + total / count
    >>> model = CGCNNRegressor(conv=MeanConv)
    """

    #: Whether the convolution adds to the vectors that it is given, and keeps their
    #: width. The network then embeds the features of the sites in that width first.
    residual: ClassVar[bool] = True

    def __init__(
        self,
        n_channels_in: int,
        n_channels: int,
        n_edge_features: int,
        norm: Callable[[int], nn.Module] | None = BatchNorm,
        activation: Callable[[Tensor], Tensor] = softplus,
    ) -> None:
        super().__init__()
        if self.residual and n_channels_in != n_channels:
            raise ValueError(
                f"{type(self).__name__} adds to its input: n_channels={n_channels} "
                f"must be n_channels_in={n_channels_in}"
            )
        self.activation = activation

    @abstractmethod
    def forward(self, sites: Tensor, graph: Graph) -> Tensor:
        """Convolve once.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels_in)
        graph : Graph

        Returns
        -------
        Tensor of shape (n_sites, n_channels)
        """


class GatedConv(Conv):
    r"""Convolution with a gate for every edge (paper, Eq. 5).

    Without a norm, as printed:

    .. math::
        v_i' = v_i + \sum_{j,k} \sigma(z_{(i,j)_k} W_f + b_f)
        \odot g(z_{(i,j)_k} W_s + b_s), \qquad
        z_{(i,j)_k} = v_i \oplus v_j \oplus u_{(i,j)_k}

    with :math:`\sigma` the sigmoid and :math:`g` the activation. With a norm N, as in
    the authors' program, which normalizes :math:`z W_f \oplus z W_s` over the edges of
    the batch and the sum over its sites, and ends with an activation:

    .. math::
        v_i' = g\Big(v_i + N\big(\sum_{j,k} \sigma(N(z_{(i,j)_k} W_f))
        \odot g(N(z_{(i,j)_k} W_s))\big)\Big)

    Parameters
    ----------
    n_channels_in : int
        Width of the site vectors v.
    n_channels : int
        The same.
    n_edge_features : int
        Width of the edge features u.
    norm : callable or None, default=BatchNorm
        Makes a norm from a width.
    activation : callable, default=softplus
        The function g.

    Notes
    -----
    The linear map of z is applied in three parts: those of v_i and v_j once per site
    and gathered by the edges, only that of u once per edge. It has no bias before a
    norm that would cancel it.
    """

    def __init__(
        self,
        n_channels_in: int,
        n_channels: int,
        n_edge_features: int,
        norm: Callable[[int], nn.Module] | None = BatchNorm,
        activation: Callable[[Tensor], Tensor] = softplus,
    ) -> None:
        super().__init__(n_channels_in, n_channels, n_edge_features, norm, activation)
        self.split = (n_channels, n_channels, n_edge_features)
        self.linear = nn.Linear(sum(self.split), 2 * n_channels, bias=_needs_bias(norm))
        self.edge_norm = None if norm is None else norm(2 * n_channels)
        self.site_norm = None if norm is None else norm(n_channels)

    def forward(self, sites: Tensor, graph: Graph) -> Tensor:
        """Convolve once.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels)
        graph : Graph

        Returns
        -------
        Tensor of shape (n_sites, n_channels)
        """
        sum_messages = (
            self._sum_by_hand if self._can_sum_by_hand(graph) else self._sum_as_written
        )
        summed = sum_messages(sites, graph)
        if self.site_norm is None:
            return sites + summed
        return self.activation(sites + self.site_norm(summed, graph.multiplicity))

    @property
    def sums_by_hand(self) -> bool:
        """Say whether norm and activation are those that the fast way is for."""
        norm = self.edge_norm
        return (
            self.activation is softplus
            and (norm is None or type(norm) is BatchNorm)
            and (norm is None) == (self.linear.bias is not None)
        )

    def _can_sum_by_hand(self, graph: Graph) -> bool:
        """Say whether the fast way is one for these edges, too."""
        values = graph.values
        return (
            self.sums_by_hand
            and not (values.requires_grad and torch.is_grad_enabled())
            and values.device.type != "mps"  # where torch long had no embedding_bag
            and values.dtype != torch.float16  # whose exponentials overflow early
        )

    def _sum_as_written(self, sites: Tensor, graph: Graph) -> Tensor:
        """Sum the messages as the equation says, whatever the norm and activation."""
        center, neighbor = graph.edge_index
        of_center, of_neighbor, of_edge = self.linear.weight.split(self.split, dim=1)
        z = (
            linear(sites, of_center, self.linear.bias).index_select(0, center)
            + linear(sites, of_neighbor).index_select(0, neighbor)
            + linear(graph.edge_features, of_edge)
        )  # (n_edges, 2 * n_channels)
        if self.edge_norm is not None:
            z = self.edge_norm(z, graph.edge_counts)
        gate, core = z.chunk(2, dim=1)
        messages = torch.sigmoid(gate) * self.activation(core)  # (n_edges, n_channels)
        weighted = messages * graph.edge_weights[:, None]
        return torch.zeros_like(sites).index_add(0, center, weighted)

    def _sum_by_hand(self, sites: Tensor, graph: Graph) -> Tensor:
        """Sum the messages as `_sum_as_written` does, faster."""
        norm, weight = self.edge_norm, self.linear.weight
        if norm is None:
            shift = self.linear.bias
            return gated_sum(sites, weight, torch.ones_like(shift), shift, graph)
        assert isinstance(norm, BatchNorm)
        counts = graph.edge_counts
        if not norm.takes_statistics(counts):
            return gated_sum(sites, weight, *norm.linear_map(), graph)
        summed, mean, var = normalized_gated_sum(
            sites, weight, norm.weight, norm.bias, graph, norm.eps
        )
        norm.track(mean, var, counts.sum())
        return summed


class SharedConv(Conv):
    r"""Convolution with the same weights for every neighbor (paper, Eq. 4).

    .. math::
        v_i' = g\Big(\big(\sum_{j,k} v_j \oplus u_{(i,j)_k}\big) W_c + v_i W_s + b\Big)

    with :math:`g` the activation. It is a sum over the neighbors, not a mean. With a
    norm the argument of g is normalized over the sites of the batch, which is our
    choice, after what the authors' program does for Eq. 5.

    Parameters
    ----------
    n_channels_in : int
        Width of the site vectors v before.
    n_channels : int
        Width of the site vectors after.
    n_edge_features : int
        Width of the edge features u.
    norm : callable or None, default=BatchNorm
        Makes a norm from a width.
    activation : callable, default=softplus
        The function g.

    Notes
    -----
    Nothing on an edge depends on both its ends. So the neighbors' vectors are mapped
    before they are gathered, once per site, and the edge features after they are
    summed, once per site too. There is no bias before a norm that would cancel it.
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
        self.split = (n_channels_in, n_edge_features)
        self.of_neighbors = nn.Linear(sum(self.split), n_channels, bias=False)
        self.of_site = nn.Linear(n_channels_in, n_channels, bias=_needs_bias(norm))
        self.norm = None if norm is None else norm(n_channels)

    def forward(self, sites: Tensor, graph: Graph) -> Tensor:
        """Convolve once.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels_in)
        graph : Graph

        Returns
        -------
        Tensor of shape (n_sites, n_channels)
        """
        center, neighbor = graph.edge_index
        of_neighbor, of_edge = self.of_neighbors.weight.split(self.split, dim=1)
        weight = graph.edge_weights[:, None]
        mapped = linear(sites, of_neighbor).index_select(0, neighbor) * weight
        of_site = self.of_site(sites).to(mapped.dtype)  # which autocast may round
        summed = of_site.index_add(0, center, mapped)
        of_edges = sites.new_zeros(len(sites), graph.n_edge_features)
        of_edges = of_edges.index_add(0, center, graph.edge_features * weight)
        summed = summed + linear(of_edges, of_edge)  # (n_sites, n_channels)
        if self.norm is not None:
            summed = self.norm(summed, graph.multiplicity)
        return self.activation(summed)


def _needs_bias(norm: Callable[[int], nn.Module] | None) -> bool:
    """Say whether a bias before a norm would make a difference."""
    return not getattr(norm, "cancels_bias", False)


CONVS: dict[str, type[Conv]] = {"gated": GatedConv, "shared": SharedConv}
