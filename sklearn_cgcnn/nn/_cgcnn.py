"""The crystal graph convolutional neural network."""

import fnmatch
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn
from torch.nn.functional import softplus

from sklearn_cgcnn.nn._baseline import LinearBaseline
from sklearn_cgcnn.nn._batch import CrystalGraphBatch
from sklearn_cgcnn.nn._conv import Conv
from sklearn_cgcnn.nn._edge_basis import EdgeBasis
from sklearn_cgcnn.nn._gated_conv import GatedConv
from sklearn_cgcnn.nn._norm import BatchNorm
from sklearn_cgcnn.nn._pooling import MeanPooling, Pooling
from sklearn_cgcnn.nn._readout import CrystalReadout, Readout, SiteReadout
from sklearn_cgcnn.nn._site_features import SiteFeatures


class CGCNN(nn.Module):
    """Embed the sites, convolve, pool, and read out.

    The network of Xie and Grossman (2018), assembled from parts. The defaults are the
    parts of the authors' program: the convolution of Eq. 5 with batch normalization,
    the pooling of Eq. S16, and hidden layers after pooling (L2).

    Parameters
    ----------
    site_features : SiteFeatures
        Features of the elements.
    edge_basis : EdgeBasis
        Features of the edges.
    n_outputs : int, default=1
        Number of values predicted for each crystal.
    conv : type of Conv, default=GatedConv
        The convolution. If it is residual, a linear map first brings the site features
        to the width of the convolutions.
    pooling : type of Pooling, default=MeanPooling
        The pooling.
    readout : type of Readout, default=CrystalReadout
        The readout.
    n_conv_layers : int, default=3
        Number of convolutions.
    n_site_channels : int, default=64
        Width of the site vectors.
    n_hidden_layers : int, default=1
        Number of hidden layers of the readout.
    n_hidden_channels : int, default=128
        Width of the hidden layers.
    norm : callable or None, default=BatchNorm
        Returns a norm for a given width. None uses no normalization.
    activation : callable, default=softplus
        Function of a tensor, used in convolutions and readout.
    dropout : float, default=0.0
        Probability of dropping a hidden channel during training, after each hidden
        layer.
    baseline : LinearBaseline or None, default=None
        Linear model whose prediction is added to the output. None adds nothing.

    Examples
    --------
    The network without an estimator, for a batch of one crystal, cesium chloride:

    >>> import torch
    >>> from sklearn_cgcnn import nn
    >>> batch = nn.CrystalGraphBatch(
    ...     atomic_numbers=torch.tensor([55, 17]),
    ...     edge_index=torch.tensor([[0, 1], [1, 0]]),
    ...     distances=torch.tensor([3.57, 3.57], dtype=torch.float64),
    ...     multiplicity=torch.tensor([1, 1]),
    ...     edge_weights=torch.tensor([8, 8]),
    ...     crystal_index=torch.tensor([0, 0]),
    ...     n_crystals=1,
    ... )
    >>> one_hot = nn.SiteFeatures(torch.eye(104))
    >>> network = nn.CGCNN(one_hot, nn.GaussianBasis(), n_outputs=2)
    >>> network(batch).shape
    torch.Size([1, 2])

    The network of a fitted estimator is ``estimator.net_.module_``.
    """

    def __init__(
        self,
        site_features: SiteFeatures,
        edge_basis: EdgeBasis,
        n_outputs: int = 1,
        *,
        conv: type[Conv] = GatedConv,
        pooling: type[Pooling] = MeanPooling,
        readout: type[Readout] = CrystalReadout,
        n_conv_layers: int = 3,
        n_site_channels: int = 64,
        n_hidden_layers: int = 1,
        n_hidden_channels: int = 128,
        norm: Callable[[int], nn.Module] | None = BatchNorm,
        activation: Callable[[Tensor], Tensor] = softplus,
        dropout: float = 0.0,
        baseline: LinearBaseline | None = None,
    ) -> None:
        super().__init__()
        self.site_features = site_features
        self.edge_basis = edge_basis
        widths = [site_features.n_features] + [n_site_channels] * n_conv_layers
        self.embedding = (
            nn.Linear(widths[0], n_site_channels) if conv.residual else nn.Identity()
        )
        widths_in = [n_site_channels] * n_conv_layers if conv.residual else widths[:-1]
        self.convs = nn.ModuleList(
            conv(width, n_site_channels, edge_basis.n_features, norm, activation)
            for width in widths_in
        )
        self.readout = readout(
            n_site_channels,
            pooling(widths),
            n_outputs,
            n_hidden_layers,
            n_hidden_channels,
            activation,
            dropout,
        )
        self.baseline = baseline

    def forward(self, batch: CrystalGraphBatch) -> Tensor:
        """Predict.

        Parameters
        ----------
        batch : CrystalGraphBatch
            The crystals.

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
        """
        features, batch = self.featurize(batch)
        output: Tensor = self.readout(self.convolve(features, batch), batch)
        return output if self.baseline is None else output + self.baseline(batch)

    def contributions(self, batch: CrystalGraphBatch) -> Tensor:
        """Predict the contribution of each site, for a readout that applies to sites.

        Parameters
        ----------
        batch : CrystalGraphBatch
            The crystals.

        Returns
        -------
        Tensor of shape (n_sites, n_outputs)
            The mean over the sites of a crystal is its prediction.

        Raises
        ------
        TypeError
            If the readout is not a :class:`SiteReadout`.
        """
        if not isinstance(self.readout, SiteReadout):
            raise TypeError(
                f"the readout is a {type(self.readout).__name__}, which has no "
                "contributions of sites; use SiteReadout"
            )
        return self._site_values(self.readout.contributions, batch)

    def attributions(self, batch: CrystalGraphBatch) -> Tensor:
        """Divide each prediction among the sites, by integrated gradients.

        Parameters
        ----------
        batch : CrystalGraphBatch
            The crystals.

        Returns
        -------
        Tensor of shape (n_sites, n_outputs)
            The mean over the sites of a crystal is its prediction.

        Raises
        ------
        TypeError
            If the readout is not a :class:`CrystalReadout`.
        ValueError
            If its pooling is not a mean over the sites.
        """
        if not isinstance(self.readout, CrystalReadout):
            raise TypeError(
                f"the readout is a {type(self.readout).__name__}, but attributions are "
                "those of a CrystalReadout"
            )
        return self._site_values(self.readout.attributions, batch)

    def _site_values(
        self,
        of_readout: Callable[[list[Tensor], CrystalGraphBatch], Tensor],
        batch: CrystalGraphBatch,
    ) -> Tensor:
        """Compute values of the sites by the readout, and add those of the baseline."""
        features, batch = self.featurize(batch)
        values = of_readout(self.convolve(features, batch), batch)
        if self.baseline is not None:
            values = values + self.baseline.site_values(batch)
        return values

    def baseline_descriptors(self, batch: CrystalGraphBatch) -> Tensor:
        """Compute the descriptors that the linear baseline predicts from.

        Parameters
        ----------
        batch : CrystalGraphBatch
            The crystals.

        Returns
        -------
        Tensor of shape (n_crystals, n_descriptors)

        Raises
        ------
        TypeError
            If the network has no baseline.
        """
        if self.baseline is None:
            raise TypeError("the network has no baseline; build it with one")
        return batch.mean_over_sites(self.baseline.site_descriptors(batch))

    def crystal_vectors(self, batch: CrystalGraphBatch) -> Tensor:
        """Compute the pooled vector of each crystal (paper, Eq. S16).

        Parameters
        ----------
        batch : CrystalGraphBatch
            The crystals.

        Returns
        -------
        Tensor of shape (n_crystals, n_site_channels)
        """
        features, batch = self.featurize(batch)
        vectors: Tensor = self.readout.pooling(self.convolve(features, batch), batch)
        return vectors

    def site_vectors(self, batch: CrystalGraphBatch) -> Tensor:
        """Compute the vector of each site after the last convolution.

        Parameters
        ----------
        batch : CrystalGraphBatch
            The crystals.

        Returns
        -------
        Tensor of shape (n_sites, n_site_channels)
        """
        features, batch = self.featurize(batch)
        return self.convolve(features, batch)[-1]

    def featurize(self, batch: CrystalGraphBatch) -> tuple[Tensor, CrystalGraphBatch]:
        """Compute site features, and attach edge features to the batch.

        Parameters
        ----------
        batch : CrystalGraphBatch
            The crystals.

        Returns
        -------
        features : Tensor of shape (n_sites, n_features)
            Site features.
        batch : CrystalGraphBatch
            The batch with edge features. They and the counts have the type of the site
            features, whatever autocast rounds matrix products to.
        """
        features = self.site_features(batch.atomic_numbers)
        if batch.edge_values is None:
            batch = self.attach_edge_features(batch)
        batch = batch.with_edge_features_of_type(features.dtype)
        return features, batch.with_edge_table(self.edge_basis.table())

    @property
    def has_constant_edge_features(self) -> bool:
        """Whether edge features depend on the distances alone."""
        return bool(vars(type(self.edge_basis)).get("is_constant", False))

    def attach_edge_features(self, batch: CrystalGraphBatch) -> CrystalGraphBatch:
        """Attach edge features to a batch that has none.

        Parameters
        ----------
        batch : CrystalGraphBatch
            The crystals.

        Returns
        -------
        CrystalGraphBatch
        """
        columns, values = self.edge_basis.entries(batch.distances)
        return batch.with_edge_features(columns, values, self.edge_basis.n_features)

    def convolve(self, features: Tensor, batch: CrystalGraphBatch) -> list[Tensor]:
        """Apply all convolutions.

        Parameters
        ----------
        features : Tensor of shape (n_sites, n_features)
            Site features.
        batch : CrystalGraphBatch
            The crystals, with edge features.

        Returns
        -------
        list of Tensor of shape (n_sites, n_features) or (n_sites, n_site_channels)
            The site features, and the site vectors after each convolution.
        """
        sites, layers = self.embedding(features).to(features.dtype), [features]
        for conv in self.convs:
            sites = conv(sites, batch).to(features.dtype)
            layers.append(sites)
        return layers

    @property
    def has_fused_sums(self) -> bool:
        """Whether any convolution uses fused kernels, which can be compiled."""
        return any(conv.has_fused_sums for conv in self.convs)

    def readout_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that belong to the readout alone.

        Yields
        ------
        Parameter
            Parameters of the layers after the convolutions. An activation with
            parameters, which all layers share, is left out.
        """
        others = [part for part in self.children() if part is not self.readout]
        shared = {each for part in others for each in part.parameters()}
        for parameter in self.readout.parameters():
            if parameter not in shared:
                yield parameter

    def select_parameters(
        self, layers: int | str | Sequence[str]
    ) -> list[nn.Parameter]:
        """Return the parameters of some layers.

        Parameters
        ----------
        layers : int, "convolutions" or sequence of str
            An integer n means the embedding and the first n convolutions.
            "convolutions" means everything but the readout. Strings are patterns for
            the names of parameters, as in ``["embedding.*", "convs.0.*"]``.

        Returns
        -------
        list of Parameter

        Raises
        ------
        ValueError
            If there are fewer convolutions, or if a pattern matches no parameter.
        """
        named = dict(self.named_parameters())
        if layers == "convolutions":
            of_readout = set(self.readout_parameters())
            return [each for each in named.values() if each not in of_readout]
        if isinstance(layers, int):
            if layers > len(self.convs):
                raise ValueError(
                    f"the network has {len(self.convs)} convolutions, but {layers} are "
                    "to be selected; give a smaller number"
                )
            parts = [self.site_features, self.edge_basis, self.embedding]
            parts += self.convs[:layers]
            found = {each for part in parts for each in part.parameters()}
            found -= set(self.readout.parameters())  # an activation that they share
            return [each for each in named.values() if each in found]
        selected = []
        for pattern in layers:
            matches = fnmatch.filter(named, pattern)
            if not matches:
                raise ValueError(
                    f"no parameter has a name like {pattern!r}; the names are "
                    f"{', '.join(named)}"
                )
            selected += [named[name] for name in matches]
        return selected
