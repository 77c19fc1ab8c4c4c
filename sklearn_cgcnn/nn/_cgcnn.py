"""The crystal graph convolutional neural network."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import softplus

from sklearn_cgcnn._ops._threads import loop_threads
from sklearn_cgcnn.nn._conv import Conv, GatedConv
from sklearn_cgcnn.nn._edge_basis import EdgeBasis
from sklearn_cgcnn.nn._graph import Graph
from sklearn_cgcnn.nn._norm import BatchNorm
from sklearn_cgcnn.nn._pooling import MeanPooling, Pooling
from sklearn_cgcnn.nn._readout import CrystalReadout, Readout, SiteReadout
from sklearn_cgcnn.nn._site_features import SiteFeatures


class CGCNN(nn.Module):
    """Embed the sites, convolve, pool, and read out.

    The network of Xie and Grossman (2018), put together from parts. By default these
    are the parts of the authors' program: the convolution of Eq. 5 with batch
    normalization, the pooling of Eq. S16, and fully connected (L2) hidden layers after
    it.

    Parameters
    ----------
    site_features : SiteFeatures
        Features of the elements.
    edge_basis : EdgeBasis
        Features of the edges.
    n_outputs : int, default=1
        Number of values predicted for each crystal.
    conv : type of Conv, default=GatedConv
        The convolution. Before one that adds to its input, the features of the sites
        are embedded in its width by a linear map.
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
        Their width.
    norm : callable or None, default=BatchNorm
        Makes a norm from a width; None for none.
    activation : callable, default=softplus
        Function of a tensor, in convolutions and readout.
    dropout : float, default=0.0
        Probability of dropping a hidden channel, during training, after each hidden
        layer.
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

    def forward(
        self,
        atomic_numbers: Tensor,
        edge_index: Tensor,
        distances: Tensor,
        multiplicity: Tensor,
        edge_weights: Tensor,
        crystal_index: Tensor,
        n_crystals: int,
    ) -> Tensor:
        """Predict.

        Parameters
        ----------
        atomic_numbers : Tensor of shape (n_sites,), int64
        edge_index : Tensor of shape (2, n_edges), int64
            Center and neighbor of each edge.
        distances : Tensor of shape (n_edges,)
            In Å.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for.
        edge_weights : Tensor of shape (n_edges,)
            How many equal edges of its center each stands for.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
        """
        layers = self.convolve(
            atomic_numbers, edge_index, distances, multiplicity, edge_weights
        )
        counts = multiplicity.to(layers[0].dtype)
        output: Tensor = self.readout(layers, counts, crystal_index, n_crystals)
        return output

    def contributions(
        self,
        atomic_numbers: Tensor,
        edge_index: Tensor,
        distances: Tensor,
        multiplicity: Tensor,
        edge_weights: Tensor,
        crystal_index: Tensor,
        n_crystals: int,
    ) -> Tensor:
        """Predict what each site contributes, where the readout is of sites.

        Parameters
        ----------
        atomic_numbers : Tensor of shape (n_sites,), int64
        edge_index : Tensor of shape (2, n_edges), int64
            Center and neighbor of each edge.
        distances : Tensor of shape (n_edges,)
            In Å.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for.
        edge_weights : Tensor of shape (n_edges,)
            How many equal edges of its center each stands for.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_sites, n_outputs)
            Their mean over the sites of a crystal is its prediction.

        Raises
        ------
        TypeError
            If the readout is none of sites.
        """
        if not isinstance(self.readout, SiteReadout):
            raise TypeError(
                f"{type(self.readout).__name__} does not say what sites contribute; "
                "SiteReadout does"
            )
        layers = self.convolve(
            atomic_numbers, edge_index, distances, multiplicity, edge_weights
        )
        return self.readout.contributions(layers, crystal_index, n_crystals)

    def convolve(
        self,
        atomic_numbers: Tensor,
        edge_index: Tensor,
        distances: Tensor,
        multiplicity: Tensor,
        edge_weights: Tensor,
    ) -> list[Tensor]:
        """Go as far as the readout.

        Parameters
        ----------
        atomic_numbers : Tensor of shape (n_sites,), int64
        edge_index : Tensor of shape (2, n_edges), int64
            Center and neighbor of each edge.
        distances : Tensor of shape (n_edges,)
            In Å.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for.
        edge_weights : Tensor of shape (n_edges,)
            How many equal edges of its center each stands for.

        Returns
        -------
        list of Tensor of shape (n_sites, n_features) or (n_sites, n_site_channels)
            The features of the sites, and their vectors after each convolution.
        """
        features = self.site_features(atomic_numbers)
        # What autocast rounds is not summed, nor counted with, in that type.
        kind = features.dtype
        columns, values = self.edge_basis.entries(distances)
        graph = Graph(
            edge_index,
            edge_weights,
            multiplicity,
            columns,
            values.to(kind),
            self.edge_basis.n_features,
            loop_threads.get(),
        )
        sites, layers = self.embedding(features).to(kind), [features]
        for conv in self.convs:
            sites = conv(sites, graph).to(kind)
            layers.append(sites)
        return layers
