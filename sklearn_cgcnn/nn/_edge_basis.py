"""Edge features: functions of the distance between two sites."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from sklearn_cgcnn._ops._interface import to_dense


class EdgeBasis(nn.Module, ABC):
    """Base of the edge bases: turns the length of an edge into features.

    A basis of one's own inherits from it and gives `n_features` and `forward`. Where
    few features of an edge are not zero, `entries` says which, and makes it faster.
    Distances come in double precision, the network computes in single precision: cast
    them, ``distances.float()``, or what is made of them.
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

    def entries(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Expand distances, leaving out features that are zero.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            In Å, of any floating-point type.

        Returns
        -------
        columns : Tensor of shape (n_edges, n_entries), integer
            Which features are given. Those that are not are zero.
        values : Tensor of shape (n_edges, n_entries)
            What they are, of the basis's own type. Where a feature is named more than
            once, it is their sum.
        """
        values = self(distances)
        columns = torch.arange(self.n_features, device=values.device)
        return columns.expand_as(values), values


class GaussianBasis(EdgeBasis):
    r"""Gaussians of the distance, as in the authors' program.

    .. math:: u_k(d) = \exp(-(d - \mu_k)^2 / \sigma^2)

    with centers :math:`\mu_k` at equal steps from `start` to `stop` and a width
    :math:`\sigma` of one step.

    Parameters
    ----------
    start, stop : float, default=0.0, 8.0
        First and last center in Å.
    step : float, default=0.2
        From one center to the next, in Å.
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
        self.start, self.step = start, step
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
        return to_dense(*self.entries(distances), self.n_features)

    def entries(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Expand distances, leaving out Gaussians that are less than a rounding error.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            In Å, of any floating-point type.

        Returns
        -------
        columns : Tensor of shape (n_edges, n_entries), int32
            Those of the nearest centers.
        values : Tensor of shape (n_edges, n_entries)
            Their Gaussians, of the basis's own type; zero beyond either end.
        """
        kind = self.centers.dtype
        # What is left out is at least so many steps away.
        reach = math.ceil(math.sqrt(-math.log(torch.finfo(kind).eps)))
        nearby = torch.arange(
            1 - reach, reach + 1, dtype=torch.int32, device=distances.device
        )
        place = (distances - self.start) / self.step
        below = place.floor()
        gap = (place - below).to(kind)[:, None] - nearby.to(kind)
        columns = below.to(torch.int32)[:, None] + nearby
        inside = columns.clamp(0, self.n_features - 1)
        return inside, (gap * -gap).exp() * (inside == columns)


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
        return self.one_hot.index_select(0, self._bins(distances))

    def entries(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Expand distances, leaving out features that are zero.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            In Å, of any floating-point type.

        Returns
        -------
        columns : Tensor of shape (n_edges, 1), int64
            The bins.
        values : Tensor of shape (n_edges, 1)
            Ones, of the basis's own type.
        """
        columns = self._bins(distances)[:, None]
        return columns, self.one_hot.new_ones(columns.shape)

    def _bins(self, distances: Tensor) -> Tensor:
        # A distance on the edge between two bins belongs to the upper one, and rounding
        # must not decide otherwise.
        bins = ((distances - self.start) / self.width + 1e-6).floor().long()
        return bins.clamp(0, self.n_features - 1)


class NoEdgeFeatures(EdgeBasis):
    """No features: edges only say which sites are neighbors."""

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
