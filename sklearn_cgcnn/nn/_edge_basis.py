"""Edge features: functions of the distance between two sites."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import threshold

# Of a Gaussian's exponent, beyond which it counts as nothing: it is 2e-22.
_FAR = 50.0


class EdgeBasis(nn.Module, ABC):
    """Base of the edge bases: turns the length of an edge into features.

    A basis of one's own inherits from it and gives the two members below.
    """

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Number of features per edge."""

    @abstractmethod
    def forward(self, distances: Tensor) -> Tensor:
        """Expand distances.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            In Å, of any floating-point type.

        Returns
        -------
        Tensor of shape (n_edges, n_features)
            Of the basis's own type.
        """


class GaussianBasis(EdgeBasis):
    r"""Gaussians of the distance, as in the authors' program.

    .. math:: u_k(d) = \exp(-(d - \mu_k)^2 / \sigma^2)

    with centres :math:`\mu_k` at equal steps from `start` to `stop` and a width
    :math:`\sigma` of one step.

    Parameters
    ----------
    start, stop : float, default=0.0, 8.0
        First and last centre in Å.
    step : float, default=0.2
        From one centre to the next, in Å.
    """

    centers: Tensor

    def __init__(
        self, start: float = 0.0, stop: float = 8.0, step: float = 0.2
    ) -> None:
        super().__init__()
        if not (step > 0 and stop > start):
            raise ValueError(
                f"GaussianBasis needs stop > start and step > 0, got start={start}, "
                f"stop={stop}, step={step}"
            )
        n_steps = round((stop - start) / step)
        if abs(n_steps * step - (stop - start)) > 1e-6 * step:
            raise ValueError(
                f"GaussianBasis needs stop - start to be a multiple of step, got "
                f"start={start}, stop={stop}, step={step}"
            )
        n_features = n_steps + 1
        self.step = step
        self.register_buffer("centers", torch.linspace(start, stop, n_features))

    @property
    def n_features(self) -> int:
        """Number of features per edge."""
        return len(self.centers)

    def forward(self, distances: Tensor) -> Tensor:
        """Expand distances.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            In Å, of any floating-point type.

        Returns
        -------
        Tensor of shape (n_edges, n_features)
            Of the basis's own type.
        """
        d = distances.to(self.centers.dtype)
        gap = (d[:, None] - self.centers) * (1 / self.step)
        # The tails would end in subnormal numbers, on which a processor is many times
        # slower, here and in the products with the weights.
        exponent = (gap * gap).clamp(max=_FAR)
        return threshold(torch.exp(-exponent), 1.1 * math.exp(-_FAR), 0.0)


class OneHotBasis(EdgeBasis):
    """Which of several bins of equal width the distance falls into (paper, Table III).

    A distance outside the range falls into the nearest bin.

    Parameters
    ----------
    start, stop : float, default=0.7, 5.2
        Range in Å.
    n_bins : int, default=10
        Number of bins.
    """

    one_hot: Tensor

    def __init__(self, start: float = 0.7, stop: float = 5.2, n_bins: int = 10) -> None:
        super().__init__()
        if not (n_bins > 0 and stop > start):
            raise ValueError(
                f"OneHotBasis needs stop > start and n_bins > 0, got start={start}, "
                f"stop={stop}, n_bins={n_bins}"
            )
        self.start, self.width = start, (stop - start) / n_bins
        self.register_buffer("one_hot", torch.eye(n_bins))

    @property
    def n_features(self) -> int:
        """Number of features per edge."""
        return len(self.one_hot)

    def forward(self, distances: Tensor) -> Tensor:
        """Expand distances.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            In Å, of any floating-point type.

        Returns
        -------
        Tensor of shape (n_edges, n_features)
            Of the basis's own type.
        """
        # A distance on the edge between two bins belongs to the upper one, and rounding
        # must not decide otherwise.
        bins = ((distances - self.start) / self.width + 1e-6).floor().long()
        return self.one_hot.index_select(0, bins.clamp(0, self.n_features - 1))


class NoEdgeFeatures(EdgeBasis):
    """No features: edges only say which sites are neighbours."""

    empty: Tensor

    def __init__(self) -> None:
        super().__init__()
        # For its device and type, which are the network's.
        self.register_buffer("empty", torch.empty(0), persistent=False)

    @property
    def n_features(self) -> int:
        """Number of features per edge."""
        return 0

    def forward(self, distances: Tensor) -> Tensor:
        """Expand distances.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            In Å, of any floating-point type.

        Returns
        -------
        Tensor of shape (n_edges, 0)
            Of the basis's own type.
        """
        return self.empty.expand(len(distances), 0)


EDGE_BASES: dict[str, type[GaussianBasis] | type[OneHotBasis]] = {
    "gaussian": GaussianBasis,
    "one-hot": OneHotBasis,
}
