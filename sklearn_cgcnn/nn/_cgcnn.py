"""The crystal graph convolutional neural network."""

from torch import Tensor, nn
from torch.nn.functional import softplus

from sklearn_cgcnn.nn._conv import GatedConv
from sklearn_cgcnn.nn._dropout import Dropout
from sklearn_cgcnn.nn._edge_basis import EdgeBasis
from sklearn_cgcnn.nn._pooling import MeanPooling
from sklearn_cgcnn.nn._site_features import SiteFeatures


class CGCNN(nn.Module):
    """Embed the sites, convolve, pool, and read out.

    The network of Xie and Grossman (2018) with the convolution of Eq. 5, the pooling of
    Eq. S16 and fully connected (L2) hidden layers after it, put together as in the
    authors' program.

    Parameters
    ----------
    site_features : SiteFeatures
        Features of the elements.
    edge_basis : EdgeBasis
        Features of the edges.
    n_outputs : int, default=1
        Number of values predicted for each crystal.
    n_conv_layers : int, default=3
        Number of convolutions.
    n_site_channels : int, default=64
        Width of the site vectors.
    n_hidden_layers : int, default=1
        Number of hidden layers after pooling.
    n_hidden_channels : int, default=128
        Their width.
    dropout : float, default=0.0
        Probability of dropping a hidden channel, during training, after each hidden
        layer.
    """

    def __init__(
        self,
        site_features: SiteFeatures,
        edge_basis: EdgeBasis,
        n_outputs: int = 1,
        n_conv_layers: int = 3,
        n_site_channels: int = 64,
        n_hidden_layers: int = 1,
        n_hidden_channels: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.site_features = site_features
        self.edge_basis = edge_basis
        self.embedding = nn.Linear(site_features.n_features, n_site_channels)
        self.convs = nn.ModuleList(
            GatedConv(n_site_channels, edge_basis.n_features)
            for _ in range(n_conv_layers)
        )
        self.pooling = MeanPooling()
        widths = [n_site_channels] + [n_hidden_channels] * n_hidden_layers
        self.hidden = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(widths[-1], n_outputs)

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
            Centre and neighbour of each edge.
        distances : Tensor of shape (n_edges,)
            In Å.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for.
        edge_weights : Tensor of shape (n_edges,)
            How many equal edges of its centre each stands for.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
        """
        sites = self.embedding(self.site_features(atomic_numbers))
        edge_features = self.edge_basis(distances)
        multiplicity = multiplicity.to(sites.dtype)
        edge_weights = edge_weights.to(sites.dtype)
        for conv in self.convs:
            sites = conv(sites, edge_features, edge_index, multiplicity, edge_weights)
        pooled = self.pooling(sites, multiplicity, crystal_index, n_crystals)
        crystals = softplus(pooled)
        for layer in self.hidden:
            crystals = self.dropout(softplus(layer(crystals)))
        output: Tensor = self.output(crystals)
        return output
