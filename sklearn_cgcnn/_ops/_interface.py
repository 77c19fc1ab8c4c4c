r"""What every back end computes: sums over the edges of one batch.

A gated convolution applies a linear map to :math:`v_i \oplus v_j \oplus u_k`, for every
edge k from a center i to a neighbor j. The result is a sum of *terms* t, rows that are
computed once per site or once per edge feature:

.. math:: z_k = a_i + b_j + u_k W = \sum_r x_{kr} t_r, \qquad t = a \oplus b \oplus W

Row i of t is what site i contributes as a center, row ``n_sites + j`` what site j
contributes as a neighbor, and the last ``n_features`` rows are what the edge features
contribute. The *coefficients* :math:`x_{kr}` of edge k are 1 for its center, 1 for its
neighbor and :math:`u_k` for the edge features; all others are 0.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple, Protocol

from torch import Tensor

from sklearn_cgcnn._ops._edge_list import EdgeList

#: Activations that the fused sums can compute.
Activation = Literal["softplus", "silu"]


class GatedMessages(Protocol):
    r"""Messages :math:`\sigma(y_f) \odot g(y_s)` of all edges, with g an activation.

    :math:`y_f \oplus y_s = \alpha \odot z + \beta` is computed from the terms of z, a
    scale :math:`\alpha` and a shift :math:`\beta`.
    """

    def sum(self, keep: bool = True) -> Tensor:
        """Sum the weighted messages to each site.

        Parameters
        ----------
        keep : bool, default=True
            Whether `sum_gradients` will be called.

        Returns
        -------
        Tensor of shape (n_sites, n_channels)
        """

    def sum_gradients(self, grad: Tensor) -> Tensor:
        r"""Sum the gradients of y over the edges that each term contributes to.

        Parameters
        ----------
        grad : Tensor of shape (n_sites, n_channels)
            Gradient of the sums of the messages.

        Returns
        -------
        Tensor of shape (2 * n_sites + n_features, 2 * n_channels)
            :math:`G_r = \sum_k x_{kr} \partial y_k`.
        """


class NormalizedTerms(Protocol):
    r"""The terms of a linear map z, and what normalizes z over the edges.

    .. math:: y = \gamma \odot \frac{z - \bar z}{\sigma} + \beta, \qquad
        \sigma^2 = \operatorname{Var} z + \epsilon

    Attributes
    ----------
    mean, var : Tensor of shape (width,)
        Mean and variance of z over the edges, the variance without Bessel's correction.
    """

    mean: Tensor
    var: Tensor

    def messages(self) -> GatedMessages:
        """Prepare the messages that result from y.

        Returns
        -------
        GatedMessages
        """

    def backward(self, grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r"""Compute gradients from those of y.

        A normalized quantity does not change if a constant is added to z, or if z is
        multiplied by a constant. The components of the gradient along these two
        directions are therefore subtracted from the sums of gradients G. With P the
        mean coefficients, and C the covariances of z with the coefficients,

        .. math::
            \partial\beta = \sum_i G_i, \quad
            G' = G - P \, \partial\beta, \quad
            \partial\gamma = \sum_r \frac{t_r G'_r}{\sigma}, \quad
            \partial t = \frac{\gamma}{\sigma}
                \Big(G' - \frac{C}{\sigma} \partial\gamma \Big),

        where i runs over the rows of the centers, and r over all rows.

        Parameters
        ----------
        grads : Tensor of shape (2 * n_sites + n_features, width)
            The sums G that :meth:`GatedMessages.sum_gradients` returns. Changed in
            place.

        Returns
        -------
        grad_sites : Tensor of shape (n_sites, n_channels)
        grad_weight : Tensor of shape (width, 2 * n_channels + n_features)
        grad_scale, grad_shift : Tensor of shape (width,)
        """


class LayerParameters(NamedTuple):
    """What a gated layer with batch normalization learns.

    Attributes
    ----------
    weight : Tensor of shape (2 * n_channels, 2 * n_channels + n_features)
        The linear map.
    edge_scale, edge_shift : Tensor of shape (2 * n_channels,)
        Applied after the normalization over the edges.
    site_scale, site_shift : Tensor of shape (n_channels,)
        Applied after the normalization over the sites.
    eps : float
        Added to the variances.
    """

    weight: Tensor
    edge_scale: Tensor
    edge_shift: Tensor
    site_scale: Tensor
    site_shift: Tensor
    eps: float


class UpdateParameters(NamedTuple):
    """Parameters of a layer with gated messages and a learned update.

    Attributes
    ----------
    table : Tensor of shape (n_rows, n_features) or None
        What the entries of the edges refer to. None means features.
    weight : Tensor of shape (2 * n_channels, 2 * n_channels + n_features)
        The linear map of the messages.
    shift : Tensor of shape (2 * n_channels,)
        Its bias.
    site_scale, site_shift : Tensor of shape (n_channels,)
        Applied after the normalization over the sites.
    update_weight : Tensor of shape (n_channels, 2 * n_channels)
        The linear map of site vectors and normalized sums.
    update_bias : Tensor of shape (n_channels,)
        Its bias.
    eps : float
        Added to the variances.
    """

    table: Tensor | None
    weight: Tensor
    shift: Tensor
    site_scale: Tensor
    site_shift: Tensor
    update_weight: Tensor
    update_bias: Tensor
    eps: float


class UpdateLayer(Protocol):
    """A layer with a learned update, computed for the sites of a batch."""

    def outputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the results, as tensors without a reference to the graph of autograd.

        Returns
        -------
        sites : Tensor of shape (n_sites, n_channels)
            The new site vectors.
        site_mean, site_var : Tensor of shape (n_channels,)
            Statistics of the sums of messages over the sites. The variance is without
            Bessel's correction.
        """

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Compute gradients from that of the new site vectors.

        Parameters
        ----------
        grad : Tensor of shape (n_sites, n_channels)

        Returns
        -------
        tuple of Tensor or None
            Gradients of the sites, and of the parameters in the order of
            :class:`UpdateParameters`. None for a table that is None.
        """


class GatedLayer(Protocol):
    """A gated layer, computed for the sites of a batch."""

    def outputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the results, as tensors without a reference to the graph of autograd.

        Returns
        -------
        sites : Tensor of shape (n_sites, n_channels)
            The new site vectors.
        edge_mean, edge_var : Tensor of shape (2 * n_channels,)
            Statistics of the linear map over the edges.
        site_mean, site_var : Tensor of shape (n_channels,)
            Statistics of the sums of messages over the sites. The variances are without
            Bessel's correction.
        """

    def backward(self, grad: Tensor) -> tuple[Tensor, ...]:
        """Compute gradients from that of the new site vectors.

        Parameters
        ----------
        grad : Tensor of shape (n_sites, n_channels)

        Returns
        -------
        tuple of Tensor
            Gradients of the sites, and of the parameters in the order of
            :class:`LayerParameters`.
        """


class EdgeMoments(Protocol):
    """Means and covariances of linear maps over the edges of one batch."""

    def normalize(
        self, sites: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, eps: float
    ) -> NormalizedTerms:
        """Compute the terms of a linear map, and normalize it over the edges.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels)
        weight : Tensor of shape (width, 2 * n_channels + n_features)
            The linear map. Its dtype is what the sites are rounded to in products.
        scale, shift : Tensor of shape (width,)
            Applied after the normalization.
        eps : float
            Added to the variance.

        Returns
        -------
        NormalizedTerms
        """

    def layer(
        self, sites: Tensor, site_fractions: Tensor, parameters: LayerParameters
    ) -> GatedLayer:
        """Compute a gated layer, normalized over the edges and over the sites.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels)
        site_fractions : Tensor of shape (n_sites,)
            Weight of each site in the statistics. They sum to one.
        parameters : LayerParameters

        Returns
        -------
        GatedLayer
        """


class EdgeSums(Protocol):
    """Sums over the edges of one batch, as one back end computes them."""

    @property
    def edges(self) -> EdgeList:
        """Return the edges, in the order that the back end uses."""

    @property
    def site_ranges(self) -> Sequence[tuple[int, int]]:
        """Return ranges of sites (start, stop), one for each thread."""

    def messages(
        self,
        terms: Tensor,
        scale: Tensor,
        shift: Tensor,
        activation: Activation = "softplus",
    ) -> GatedMessages:
        """Prepare the messages that result from terms.

        Parameters
        ----------
        terms : Tensor of shape (2 * n_sites + n_features, 2 * n_channels)
        scale, shift : Tensor of shape (2 * n_channels,)
            Applied to the sum of the terms of each edge.
        activation : {"softplus", "silu"}, default="softplus"
            The activation g.

        Returns
        -------
        GatedMessages
        """

    def moments(self, multiplicity: Tensor) -> EdgeMoments:
        """Prepare means and covariances over the edges.

        Parameters
        ----------
        multiplicity : Tensor of shape (n_sites,)
            Number of equivalent sites of its crystal that each site stands for. The
            weight of an edge in the statistics is the number of edges of the crystals
            that it stands for.

        Returns
        -------
        EdgeMoments
        """

    #: Whether they are `UpdateSums`. Otherwise such layers are computed in parts.
    has_update_layers: ClassVar[bool]


class UpdateSums(EdgeSums, Protocol):
    """Sums of a back end that also computes whole layers with a learned update."""

    def update_layer(
        self,
        sites: Tensor,
        site_fractions: Tensor,
        parameters: UpdateParameters,
        activation: Activation,
    ) -> UpdateLayer:
        """Compute a whole layer with a learned update.

        Parameters
        ----------
        sites : Tensor of shape (n_sites, n_channels)
        site_fractions : Tensor of shape (n_sites,)
            Weight of each site in the statistics. They sum to one.
        parameters : UpdateParameters
        activation : {"softplus", "silu"}

        Returns
        -------
        UpdateLayer
        """
