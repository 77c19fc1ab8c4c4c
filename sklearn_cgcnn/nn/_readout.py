"""Readout: from site vectors to the prediction, with pooling before or after."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from sklearn_cgcnn.nn._attribution import mean_gradients
from sklearn_cgcnn.nn._batch import CrystalGraphBatch
from sklearn_cgcnn.nn._dropout import Dropout
from sklearn_cgcnn.nn._pooling import MeanPooling, Pooling


class Readout(nn.Module, ABC):
    """Base class of readouts: hidden layers, a linear output, and a pooling.

    To write your own readout, inherit from this class, accept its parameters in this
    order and implement :meth:`forward`.

    Parameters
    ----------
    n_channels : int
        Width of the input of the first layer, which is the output layer if there are no
        hidden layers.
    pooling : Pooling
        Computes values of crystals from values of sites.
    n_outputs : int, default=1
        Number of values predicted for each crystal.
    n_hidden_layers : int, default=1
        Number of hidden layers.
    n_hidden_channels : int, default=128
        Width of the hidden layers.
    activation : callable, default=softplus
        Function of a tensor, applied after each hidden layer.
    dropout : float, default=0.0
        Probability of dropping a hidden channel during training, after each hidden
        layer.

    Examples
    --------
    A readout that pools first, and applies no activation before the first layer:

    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.nn import Readout
    >>> class PlainReadout(Readout):
    ...     def forward(self, layers, batch):
    ...         values = self.pooling(layers, batch)
    ...         for layer in self.hidden:
    ...             values = self.dropout(self.activation(layer(values)), len(batch))
    ...         return self.output(values)
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(readout=PlainReadout, max_epochs=1)
    >>> model.fit(structures, energy).predict(structures).shape
    (20,)
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
    def forward(self, layers: Sequence[Tensor], batch: CrystalGraphBatch) -> Tensor:
        """Compute the outputs of the network.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, ...)
            Site features, and site vectors after each convolution.
        batch : CrystalGraphBatch
            The crystals that the sites belong to.

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
        """

    def _apply_layers(
        self, values: Tensor, n_crystals: int, crystal_index: Tensor | None = None
    ) -> Tensor:
        """Apply hidden layers and output to rows of crystals, or of sites."""
        for layer in self.hidden:
            hidden = self.activation(layer(values))
            values = self.dropout(hidden, n_crystals, crystal_index)
        output: Tensor = self.output(values)
        return output


class CrystalReadout(Readout):  # numpydoc ignore=PR02
    """Pool first, then apply hidden layers and output to crystals (L2 in the paper).

    The activation is applied to the pooled vector before the first layer, as in the
    authors' program.

    Parameters
    ----------
    n_channels : int
        Width of the pooled vectors.
    pooling : Pooling
        Computes crystal vectors from site vectors.
    n_outputs : int, default=1
        Number of values predicted for each crystal.
    n_hidden_layers : int, default=1
        Number of hidden layers after pooling.
    n_hidden_channels : int, default=128
        Width of the hidden layers.
    activation : callable, default=softplus
        Function of a tensor, applied after pooling and after each hidden layer.
    dropout : float, default=0.0
        Probability of dropping a hidden channel during training, after each hidden
        layer.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(readout="crystal", n_hidden_channels=32, max_epochs=1)
    >>> model.fit(structures, energy).net_.module_.readout
    CrystalReadout(
      (pooling): MeanPooling()
      (hidden): ModuleList(
        (0): Linear(in_features=64, out_features=32, bias=True)
      )
      (output): Linear(in_features=32, out_features=1, bias=True)
      (dropout): Dropout()
    )
    """

    def forward(self, layers: Sequence[Tensor], batch: CrystalGraphBatch) -> Tensor:
        """Compute the outputs of the network.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, ...)
            Site features, and site vectors after each convolution.
        batch : CrystalGraphBatch
            The crystals that the sites belong to.

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
        """
        return self._outputs(self.pooling(layers, batch))

    def attributions(
        self, layers: Sequence[Tensor], batch: CrystalGraphBatch
    ) -> Tensor:
        """Divide the outputs among the sites, by integrated gradients.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, ...)
            Site features, and site vectors after each convolution.
        batch : CrystalGraphBatch
            The crystals that the sites belong to.

        Returns
        -------
        Tensor of shape (n_sites, n_outputs)
            The mean over the sites of a crystal is its output.

        Raises
        ------
        ValueError
            If the pooling is not a mean over the sites.
        """
        pooled = self.pooling(layers, batch)
        of_sites = self.pooling(layers, _each_alone(batch))
        if not torch.allclose(batch.mean_over_sites(of_sites), pooled, 1e-3, 1e-4):
            raise ValueError(
                f"the pooling {type(self.pooling).__name__} is not a mean over the "
                "sites, so that its vectors cannot be divided among them; fit the "
                'estimator with pooling="mean"'
            )
        gradients = mean_gradients(self._outputs, pooled)[batch.crystal_index]
        values = (gradients @ of_sites[:, :, None]).squeeze(2)
        # The output for the zero vector, and the error of the quadrature.
        rest = self._outputs(pooled) - batch.mean_over_sites(values)
        attributions: Tensor = values + rest[batch.crystal_index]
        return attributions

    def _outputs(self, pooled: Tensor) -> Tensor:
        """Apply the layers after pooling."""
        return self._apply_layers(self.activation(pooled), len(pooled))


def _each_alone(batch: CrystalGraphBatch) -> CrystalGraphBatch:
    """Return a batch in which each site is a crystal of its own."""
    n_sites = len(batch.atomic_numbers)
    return replace(
        batch,
        multiplicity=torch.ones_like(batch.multiplicity),
        crystal_index=torch.arange(n_sites, device=batch.crystal_index.device),
        n_crystals=n_sites,
    )


class SiteReadout(Readout):
    r"""Apply hidden layers and output to sites, then pool (paper, Eqs. S14 and S15).

    .. math:: \tilde v_i = W^T v_i + b, \qquad y = \frac{1}{N} \sum_i \tilde v_i

    Hidden layers (L1 in the paper) first act on each site, and :math:`v_i` is their
    result. The prediction for a crystal is the mean of the contributions
    :math:`\tilde v_i` of its N sites.

    Parameters
    ----------
    n_channels : int
        Width of the site vectors after the last convolution.
    pooling : MeanPooling
        Averages the contributions of the sites.
    n_outputs : int, default=1
        Number of values predicted for each crystal.
    n_hidden_layers : int, default=1
        Number of hidden layers before pooling.
    n_hidden_channels : int, default=128
        Width of the hidden layers.
    activation : callable, default=softplus
        Function of a tensor, applied after each hidden layer.
    dropout : float, default=0.0
        Probability of dropping a hidden channel during training, after each hidden
        layer. All sites of a crystal lose the same channels.

    Raises
    ------
    ValueError
        If `pooling` is not exactly a :class:`MeanPooling`; subclasses are refused too.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import site_contributions
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(readout="site", max_epochs=1, random_state=0)
    >>> model = model.fit(structures, energy)
    >>> means = [sites.mean() for sites in site_contributions(model, structures)]
    >>> np.allclose(model.predict(structures), means, atol=1e-4)
    True
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
                "readout='site' predicts the mean of the site contributions, but "
                f"pooling={type(pooling).__name__} is not a mean; set pooling='mean', "
                "or readout='crystal'"
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
        self, layers: Sequence[Tensor], batch: CrystalGraphBatch
    ) -> Tensor:
        """Compute the contribution of each site to the outputs.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, ...)
            Site features, and site vectors after each convolution.
        batch : CrystalGraphBatch
            The crystals that the sites belong to.

        Returns
        -------
        Tensor of shape (n_sites, n_outputs)
        """
        return self._apply_layers(layers[-1], len(batch), batch.crystal_index)

    def forward(self, layers: Sequence[Tensor], batch: CrystalGraphBatch) -> Tensor:
        """Compute the outputs of the network.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, ...)
            Site features, and site vectors after each convolution.
        batch : CrystalGraphBatch
            The crystals that the sites belong to.

        Returns
        -------
        Tensor of shape (n_crystals, n_outputs)
        """
        mean: Tensor = self.pooling([self.contributions(layers, batch)], batch)
        return mean
