"""Base of the convolutions, which update each site from its neighbors."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeGuard, TypeVar

from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from sklearn_cgcnn._ops import Activation
from sklearn_cgcnn.nn._batch import CrystalGraphBatch
from sklearn_cgcnn.nn._norm import BatchNorm

Kind = TypeVar("Kind", bound=nn.Module)


class Conv(nn.Module, ABC):
    """Base class of convolutions: update site vectors from those of the neighbors.

    To write your own convolution, inherit from this class, accept its parameters in
    this order and implement :meth:`forward`. Equal sites and equal edges must be
    treated alike. Weight sums over the neighbors of a site by ``batch.edge_weights``,
    and statistics over all edges by ``batch.edge_counts``. The result then depends
    neither on the order of the sites nor on the choice of the cell.

    Parameters
    ----------
    n_channels_in : int
        Width of the site vectors before the convolution.
    n_channels : int
        Width of the site vectors after the convolution.
    n_edge_features : int
        Number of edge features.
    norm : callable or None, default=BatchNorm
        Returns a module for a given width. The module is called with rows and their
        counts, as :class:`BatchNorm` is. None uses no normalization. If `norm` has a
        true attribute ``cancels_bias``, the linear map before it gets no bias.
    activation : callable, default=softplus
        Function of a tensor, g in the paper.

    Raises
    ------
    ValueError
        If the convolution is residual and `n_channels` differs from `n_channels_in`.

    Examples
    --------
    A convolution that adds the mean over the neighbors of a linear map:

    >>> import torch
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.nn import Conv
    >>> class MeanConv(Conv):
    ...     def __init__(self, width_in, width, n_edge_features, norm, activation):
    ...         super().__init__(width_in, width, n_edge_features, norm, activation)
    ...         self.linear = torch.nn.Linear(width + n_edge_features, width)
    ...
    ...     def forward(self, sites, batch):
    ...         center, neighbor = batch.edge_index
    ...         weights = batch.edge_weights[:, None]
    ...         inputs = torch.cat([sites[neighbor], batch.edge_features], dim=1)
    ...         messages = weights * self.activation(self.linear(inputs))
    ...         total = torch.zeros_like(sites).index_add(0, center, messages)
    ...         count = torch.zeros_like(sites[:, :1]).index_add(0, center, weights)
    ...         return sites + total / count.clamp(min=1)
    >>> model = CGCNNRegressor(conv=MeanConv)
    """

    #: Whether the convolution adds to its input and so keeps the width. The network
    #: then first maps the site features to this width.
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
                f"{type(self).__name__} adds to its input, so n_channels={n_channels} "
                f"must be n_channels_in={n_channels_in}"
            )
        self.activation = activation

    @property
    def has_fused_sums(self) -> bool:
        """Whether it sums over the edges with fused kernels, which can be compiled."""
        return False

    @abstractmethod
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


def needs_bias(norm: Callable[[int], nn.Module] | None) -> bool:
    """Return whether a linear map before this norm needs a bias.

    Parameters
    ----------
    norm : callable or None
        The norm. Batch normalization subtracts the mean, and with it any bias.

    Returns
    -------
    bool
    """
    return not getattr(norm, "cancels_bias", False)


def is_plain(module: nn.Module | None, kind: type[Kind]) -> TypeGuard[Kind]:
    """Return whether calling a module does nothing but what its type defines.

    Parameters
    ----------
    module : Module or None
    kind : type of Module

    Returns
    -------
    bool
        False for a subclass, which may compute something else, and for a module with
        hooks, which would not be called.
    """
    return (
        type(module) is kind
        and not module._forward_hooks
        and not module._forward_pre_hooks
    )


def fused_activation(activation: Callable[[Tensor], Tensor]) -> Activation | None:
    """Return the name of an activation that fused kernels can compute.

    Parameters
    ----------
    activation : callable
        Function of a tensor.

    Returns
    -------
    {"softplus", "silu"} or None
        None for any other activation.
    """
    if activation is silu:
        return "silu"
    return "softplus" if activation is softplus else None
