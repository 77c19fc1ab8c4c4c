"""Pooling: from the vectors of the sites to one vector of the crystal."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from sklearn_cgcnn.nn._batch import CrystalGraphBatch


class Pooling(nn.Module, ABC):
    """Base class of poolings: compute one vector per crystal from its site vectors.

    To write your own pooling, inherit from this class and implement :meth:`forward`.

    Parameters
    ----------
    widths : sequence of int
        Widths of the site features and of the site vectors after each convolution. The
        last one is also the width of the pooled vectors.

    Examples
    --------
    A pooling that averages over the convolutions too:

    >>> import torch
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.nn import Pooling
    >>> class MeanOverLayers(Pooling):
    ...     def forward(self, layers, batch):
    ...         convolved = torch.stack(layers[1:])  # without the site features
    ...         return batch.mean_over_sites(convolved.mean(dim=0))
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(pooling=MeanOverLayers, max_epochs=1)
    >>> model.fit(structures, energy).predict(structures).shape
    (20,)
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.n_channels = widths[-1]

    @abstractmethod
    def forward(self, layers: Sequence[Tensor], batch: CrystalGraphBatch) -> Tensor:
        """Pool.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, widths[t])
            Site features, and site vectors after each convolution.
        batch : CrystalGraphBatch
            The crystals that the sites belong to.

        Returns
        -------
        Tensor of shape (n_crystals, n_channels)
        """


class MeanPooling(Pooling):  # numpydoc ignore=PR02
    r"""Mean over the sites of a crystal (paper, Eq. S16).

    .. math:: v_c = \frac{1}{N} \sum_i v_i^{(R)}

    The mean depends neither on the order of the sites nor on how many primitive cells
    the given cell contains.

    Parameters
    ----------
    widths : sequence of int
        Widths of the site vectors. Only the last one is used.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import crystal_embeddings, site_embeddings
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(pooling="mean", max_epochs=1, random_state=0)
    >>> model = model.fit(structures, energy)
    >>> means = [sites.mean(axis=0) for sites in site_embeddings(model, structures)]
    >>> np.allclose(crystal_embeddings(model, structures), means, atol=1e-5)
    True
    """

    def forward(self, layers: Sequence[Tensor], batch: CrystalGraphBatch) -> Tensor:
        """Pool.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, widths[t])
            Site features, and site vectors after each convolution.
        batch : CrystalGraphBatch
            The crystals that the sites belong to.

        Returns
        -------
        Tensor of shape (n_crystals, n_channels)
        """
        return batch.mean_over_sites(layers[-1])


class AllLayersPooling(Pooling):
    r"""Mean over the sites of a contribution from every layer (paper, Eqs. S11 to S13).

    .. math::
        \tilde v_i^{(t)} = \mathrm{softmax}(v_i^{(t)} W_t + b_t), \qquad
        v_c = \frac{1}{N} \sum_{t=0}^{R} \sum_i \tilde v_i^{(t)}

    Here :math:`v_i^{(0)}` are the site features, and :math:`v_i^{(t)}` the site vectors
    after t of the R convolutions.

    Parameters
    ----------
    widths : sequence of int
        Widths of the site vectors, layer by layer.

    Examples
    --------
    A softmax sums to one. With three convolutions there are four layers, so that the
    values of a pooled vector sum to four:

    >>> import numpy as np
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.inspection import crystal_embeddings
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(pooling="all_layers", max_epochs=1, random_state=0)
    >>> vectors = crystal_embeddings(model.fit(structures, energy), structures)
    >>> np.allclose(vectors.sum(axis=1), 4.0)
    True
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(widths)
        self.maps = nn.ModuleList(nn.Linear(width, self.n_channels) for width in widths)

    def forward(self, layers: Sequence[Tensor], batch: CrystalGraphBatch) -> Tensor:
        """Pool.

        Parameters
        ----------
        layers : sequence of Tensor of shape (n_sites, widths[t])
            Site features, and site vectors after each convolution.
        batch : CrystalGraphBatch
            The crystals that the sites belong to.

        Returns
        -------
        Tensor of shape (n_crystals, n_channels)
        """
        total = layers[0].new_zeros(len(layers[0]), self.n_channels)
        for layer, linear in zip(layers, self.maps, strict=True):
            total = total + linear(layer).softmax(dim=1)
        return batch.mean_over_sites(total)
