"""Readout: from the vectors of sites, pooled or not, to the prediction."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.functional import softplus

from sklearn_cgcnn.nn._dropout import Dropout
from sklearn_cgcnn.nn._pooling import MeanPooling, Pooling


class Readout(nn.Module, ABC):
    """Base of the readouts: hidden layers, a linear output, and where to pool.

    A readout of one's own inherits from it, takes these parameters, and gives the
    method below.

    Parameters
    ----------
    n_channels : int
        Width of what the first layer is given.
    pooling : Pooling
        Makes crystals of sites.
    n_outputs : int, default=1
        Number of values predicted for each crystal.
    n_hidden_layers : int, default=1
        Number of hidden layers.
    n_hidden_channels : int, default=128
        Their width.
    activation : callable, default=softplus
        Function of a tensor, which follows each hidden layer.
    dropout : float, default=0.0
        Probability of dropping a hidden channel, during training, after each hidden
        layer.
    """

    def __init__(
        self,
        n_channels: int,
        pooling: Pooling,
        n_outputs: int = 1,
        n_hidden_layers: int = 1,
        n_hidden_channels: int = 128,
        activation: Callable[[Tensor], Tensor] = softplus,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [n_channels] + [n_hidden_channels] * n_hidden_layers
        self.pooling = pooling
        self.hidden = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.output = nn.Linear(widths[-1], n_outputs)
        self.activation = activation
        self.dropout = Dropout(dropout)

    @abstractmethod
    def forward(
        self,
        layers: Sequence[Tensor],
        multiplicity: Tensor,
        crystal_index: Tensor,
        n_crystals: int,
    ) -> Tensor:
        """Predict.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, ...)
            The features of the sites, and their vectors after each convolution.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for, of the type of `layers`.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
        """

    def _read(
        self, values: Tensor, n_crystals: int, crystal_index: Tensor | None = None
    ) -> Tensor:
        """Go through the hidden layers to the output, with crystals or with sites."""
        for layer in self.hidden:
            hidden = self.activation(layer(values))
            values = self.dropout(hidden, n_crystals, crystal_index)
        output: Tensor = self.output(values)
        return output


class CrystalReadout(Readout):  # numpydoc ignore=PR02
    """Pool first: hidden layers and output read crystals (L2 in the paper).

    The crystal's vector goes through the activation before the first layer, as in the
    authors' program.

    Parameters
    ----------
    n_channels : int
        Width of the pooled vectors.
    pooling : Pooling
        Makes crystals of sites.
    n_outputs : int, default=1
        Number of values predicted for each crystal.
    n_hidden_layers : int, default=1
        Number of hidden layers after pooling.
    n_hidden_channels : int, default=128
        Their width.
    activation : callable, default=softplus
        Function of a tensor, which follows pooling and each hidden layer.
    dropout : float, default=0.0
        Probability of dropping a hidden channel, during training, after each hidden
        layer.
    """

    def forward(
        self,
        layers: Sequence[Tensor],
        multiplicity: Tensor,
        crystal_index: Tensor,
        n_crystals: int,
    ) -> Tensor:
        """Predict.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, ...)
            The features of the sites, and their vectors after each convolution.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for, of the type of `layers`.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
        """
        pooled = self.pooling(layers, multiplicity, crystal_index, n_crystals)
        return self._read(self.activation(pooled), n_crystals)


class SiteReadout(Readout):
    r"""Pool last: hidden layers and output read sites (paper, Eqs. S14 and S15).

    .. math:: \tilde v_i = W^T v_i + b, \qquad y = \frac{1}{N} \sum_i \tilde v_i

    after hidden layers on each site (L1 in the paper). What is predicted for a crystal
    is the mean of what its sites contribute.

    Parameters
    ----------
    n_channels : int
        Width of the last site vectors.
    pooling : MeanPooling
        Makes crystals of sites.
    n_outputs : int, default=1
        Number of values predicted for each crystal.
    n_hidden_layers : int, default=1
        Number of hidden layers before pooling.
    n_hidden_channels : int, default=128
        Their width.
    activation : callable, default=softplus
        Function of a tensor, which follows each hidden layer.
    dropout : float, default=0.0
        Probability of dropping a hidden channel, at all sites of a crystal, during
        training, after each hidden layer.

    Raises
    ------
    ValueError
        If the pooling is no mean.
    """

    def __init__(
        self,
        n_channels: int,
        pooling: Pooling,
        n_outputs: int = 1,
        n_hidden_layers: int = 1,
        n_hidden_channels: int = 128,
        activation: Callable[[Tensor], Tensor] = softplus,
        dropout: float = 0.0,
    ) -> None:
        if type(pooling) is not MeanPooling:
            raise ValueError(
                "readout='site' predicts the mean of what the sites contribute, which "
                f"pooling={type(pooling).__name__} is not; set pooling='mean', or "
                "readout='crystal'"
            )
        super().__init__(
            n_channels,
            pooling,
            n_outputs,
            n_hidden_layers,
            n_hidden_channels,
            activation,
            dropout,
        )

    def contributions(
        self, layers: Sequence[Tensor], crystal_index: Tensor, n_crystals: int
    ) -> Tensor:
        """Predict what each site contributes.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, ...)
            The features of the sites, and their vectors after each convolution.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_sites, n_outputs)
        """
        return self._read(layers[-1], n_crystals, crystal_index)

    def forward(
        self,
        layers: Sequence[Tensor],
        multiplicity: Tensor,
        crystal_index: Tensor,
        n_crystals: int,
    ) -> Tensor:
        """Predict.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, ...)
            The features of the sites, and their vectors after each convolution.
        multiplicity : Tensor of shape (n_sites,)
            How many sites of the crystal each stands for, of the type of `layers`.
        crystal_index : Tensor of shape (n_sites,), int64
            Which crystal each site belongs to.
        n_crystals : int

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
        """
        values = self.contributions(layers, crystal_index, n_crystals)
        mean: Tensor = self.pooling([values], multiplicity, crystal_index, n_crystals)
        return mean


READOUTS: dict[str, type[Readout]] = {"crystal": CrystalReadout, "site": SiteReadout}
