"""Baseline: a linear model of mean properties, whose error the network learns."""

import torch
from torch import Tensor, nn

from sklearn_cgcnn.nn._batch import CrystalGraphBatch


class LinearBaseline(nn.Module):
    r"""Predict linearly from mean properties of the elements and mean edge lengths.

    .. math::
        b_c = w_0 + \frac{1}{N} \sum_i \Big(
        p_i \oplus \overline{\ln d_i} \oplus \operatorname{var}(\ln d_i)
        \oplus \overline{(p_i^* - p_j^*)^2} \Big) w

    Site i has properties p of its element, and the means and the variance are those
    over its edges, of length d, to neighbors j. The squared difference of
    electronegativities, p*, is Pauling's measure of how ionic a bond is. The network
    adds its own output to the baseline.

    The coefficients are not trained with the network: they are the solution of a ridge
    regression, which is passed to :meth:`set_coefficients` before.

    Parameters
    ----------
    table : Tensor of shape (n_elements, n_properties)
        Row ``Z`` holds the properties of the element with atomic number ``Z``.
    i_electronegativity : int
        Column of `table` that holds the electronegativity.
    n_outputs : int, default=1
        Number of values predicted for each crystal.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(baseline="linear", max_epochs=1, random_state=0)
    >>> baseline = model.fit(structures, energy).net_.module_.baseline
    >>> baseline.weight.shape  # nine properties of elements, and three of edges
    torch.Size([1, 12])
    """

    table: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self, table: Tensor, i_electronegativity: int, n_outputs: int = 1
    ) -> None:
        super().__init__()
        table = table.to(torch.get_default_dtype())
        self.register_buffer("table", table, persistent=False)
        self.i_electronegativity = i_electronegativity
        n_descriptors = table.shape[1] + 3
        self.register_buffer("weight", torch.zeros(n_outputs, n_descriptors))
        self.register_buffer("bias", torch.zeros(n_outputs))

    def set_coefficients(self, weight: Tensor, bias: Tensor) -> None:
        """Set the coefficients of the linear model.

        Parameters
        ----------
        weight : Tensor of shape (n_outputs, n_descriptors)
            Coefficients of the descriptors.
        bias : Tensor of shape (n_outputs,)
            Constant terms.
        """
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def site_descriptors(self, batch: CrystalGraphBatch) -> Tensor:
        """Compute the descriptors of each site.

        Parameters
        ----------
        batch : CrystalGraphBatch
            The crystals.

        Returns
        -------
        Tensor of shape (n_sites, n_descriptors)
        """
        properties = self.table.index_select(0, batch.atomic_numbers)
        center, neighbor = batch.edge_index
        lengths = batch.distances.log().to(properties.dtype)
        values = properties[:, self.i_electronegativity]
        squares = (values[center] - values[neighbor]) ** 2
        of_edges = torch.stack([lengths, lengths**2, squares], dim=1)
        weights = batch.edge_weights.to(properties.dtype)
        sums = of_edges.new_zeros(len(properties), 3)
        sums = sums.index_add(0, center, of_edges * weights[:, None])
        counts = weights.new_zeros(len(properties)).index_add(0, center, weights)
        # The descriptors of edges are zero for a site that has none.
        mean, mean_square, difference = (sums / counts.clamp(min=1)[:, None]).unbind(1)
        variance = mean_square - mean**2
        others = torch.stack([mean, variance, difference], dim=1)
        return torch.cat([properties, others], dim=1)

    def site_values(self, batch: CrystalGraphBatch) -> Tensor:
        """Predict the contribution of each site. Their mean is the prediction.

        Parameters
        ----------
        batch : CrystalGraphBatch
            The crystals.

        Returns
        -------
        Tensor of shape (n_sites, n_outputs)
        """
        # Not a matrix product, which autocast would round.
        descriptors = self.site_descriptors(batch)[:, None]
        return (descriptors * self.weight).sum(dim=2) + self.bias

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
        return batch.mean_over_sites(self.site_values(batch))
