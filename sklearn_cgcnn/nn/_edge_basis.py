"""Edge features: functions of the distance between two sites."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from sklearn_cgcnn._ops import combine_rows, to_dense


class EdgeBasis(nn.Module, ABC):
    """Base class of edge bases: compute edge features from distances.

    To write your own basis, inherit from this class and implement `n_features` and
    :meth:`forward`. If most features of an edge are zero, also override
    :meth:`entries`, which makes the network faster. Distances are given in double
    precision, while the network computes in single precision: convert the distances
    (``distances.float()``) or the features.

    Examples
    --------
    A basis of two powers of the distance:

    >>> import torch
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.nn import EdgeBasis
    >>> class InversePowers(EdgeBasis):
    ...     n_features = 2
    ...
    ...     def forward(self, distances):
    ...         inverse = 1 / distances.float()
    ...         return torch.stack([inverse, inverse**2], dim=1)
    >>> InversePowers()(torch.tensor([2.0, 4.0]))
    tensor([[0.5000, 0.2500],
            [0.2500, 0.0625]])
    >>> model = CGCNNRegressor(edge_basis=InversePowers())
    """

    #: Whether the entries depend on the distances alone, and on nothing that changes
    #: during a training. They are then computed for several batches at once. A class
    #: does not inherit it.
    is_constant: ClassVar[bool] = False

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Number of features per edge."""

    @abstractmethod
    def forward(self, distances: Tensor) -> Tensor:
        """Compute dense edge features.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            Distances in Å, of any floating-point type.

        Returns
        -------
        Tensor of shape (n_edges, n_features)
            Of the type of the basis.
        """

    def entries(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Compute sparse edge features, without those that are zero.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            Distances in Å, of any floating-point type.

        Returns
        -------
        columns : Tensor of shape (n_edges, n_entries), integer
            Positions of the features given in `values`. All other features are zero.
        values : Tensor of shape (n_edges, n_entries)
            Values of these features, of the type of the basis. If a feature appears
            more than once, its value is the sum.
        """
        values = self(distances)
        columns = torch.arange(self.n_features, device=values.device)
        return columns.expand_as(values), values

    def table(self) -> Tensor | None:
        """Compute the table that the entries refer to, if there is one.

        Returns
        -------
        Tensor of shape (n_rows, n_features) or None
            The features of an edge are the sum of the rows given by the columns of its
            entries, each times its value. None means that entries are features
            themselves.
        """
        return None


class GaussianBasis(EdgeBasis):
    r"""Gaussians of the distance, as in the authors' program.

    .. math:: u_k(d) = \exp(-(d - \mu_k)^2 / \sigma^2)

    The centers :math:`\mu_k` lie at equal steps from `start` to `stop`. The width
    :math:`\sigma` is one step.

    Parameters
    ----------
    start, stop : float, default=0.0, 8.0
        First and last center, in Å.
    step : float, default=0.2
        Distance between neighboring centers, in Å.

    Raises
    ------
    ValueError
        If `step` is not positive, or ``stop - start`` is not a positive multiple of
        `step`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.nn import GaussianBasis
    >>> GaussianBasis(start=1.0, stop=3.0, step=1.0)(torch.tensor([2.0]))
    tensor([[0.3679, 1.0000, 0.3679]])
    >>> model = CGCNNRegressor(edge_basis=GaussianBasis(stop=6.0, step=0.1))
    """

    is_constant = True
    centers: Tensor

    def __init__(
        self, start: float = 0.0, stop: float = 8.0, step: float = 0.2
    ) -> None:
        super().__init__()
        n_features = _n_points("GaussianBasis", start, stop, step)
        self.start, self.step = start, step
        self.register_buffer("centers", torch.linspace(start, stop, n_features))

    @property
    def n_features(self) -> int:
        """Number of features per edge."""
        return len(self.centers)

    def forward(self, distances: Tensor) -> Tensor:
        """Compute dense edge features.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            Distances in Å, of any floating-point type.

        Returns
        -------
        Tensor of shape (n_edges, n_features)
            Of the type of the basis.
        """
        return to_dense(*self.entries(distances), self.n_features)

    def entries(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Compute sparse edge features, without Gaussians below rounding error.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            Distances in Å, of any floating-point type.

        Returns
        -------
        columns : Tensor of shape (n_edges, n_entries), int32
            Positions of the nearest centers.
        values : Tensor of shape (n_edges, n_entries)
            Their Gaussians, of the type of the basis. Zero beyond either end.
        """
        dtype = self.centers.dtype
        # Beyond this number of steps a Gaussian is less than the rounding error of 1.
        reach = math.ceil(math.sqrt(-math.log(torch.finfo(dtype).eps)))
        offsets = torch.arange(
            1 - reach, reach + 1, dtype=torch.int32, device=distances.device
        )
        position = (distances - self.start) / self.step
        below = position.floor()
        gap = (position - below).to(dtype)[:, None] - offsets.to(dtype)
        columns = below.to(torch.int32)[:, None] + offsets
        inside = columns.clamp(0, self.n_features - 1)
        return inside, (gap * -gap).exp() * (inside == columns)


class EmbeddedDistances(EdgeBasis):
    r"""Learned function of the distance: a small network on Gaussians.

    .. math:: u(d) = g\big(g(e(d) W_1 + b_1) W_2 + b_2\big)

    with :math:`g` the SiLU and :math:`e` the Gaussians of :class:`GaussianBasis` from
    `start` to `stop`. The network is evaluated for distances at equal steps, and
    interpolated linearly between them. Its cost therefore does not depend on the number
    of edges, and an edge has two entries.

    Parameters
    ----------
    n_features : int, default=64
        Number of features per edge, and of hidden channels.
    start, stop : float, default=0.0, 8.0
        Range of the distances, in Å. Distances outside get the features of its ends.
    step : float, default=0.05
        Distance between the points of the interpolation, in Å.
    gaussian_step : float, default=0.2
        Distance between the centers of the Gaussians, and their width, in Å.

    Raises
    ------
    ValueError
        If ``stop - start`` is not a positive multiple of both steps.

    Examples
    --------
    >>> import torch
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.nn import EmbeddedDistances
    >>> basis = EmbeddedDistances(n_features=32, stop=6.0)
    >>> basis(torch.tensor([2.4, 3.1])).shape
    torch.Size([2, 32])
    >>> model = CGCNNRegressor(edge_basis=basis)
    """

    is_constant = True
    gaussians: Tensor

    def __init__(
        self,
        n_features: int = 64,
        start: float = 0.0,
        stop: float = 8.0,
        step: float = 0.05,
        gaussian_step: float = 0.2,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        points, centers = (
            [start + row * each for row in range(_n_points(kind, start, stop, each))]
            for each in (step, gaussian_step)
        )
        self.start, self.step = start, step
        # Not by torch, whose threads a process that is forked later would miss.
        gaussians = [
            [math.exp(-(((point - center) / gaussian_step) ** 2)) for center in centers]
            for point in points
        ]
        self.register_buffer("gaussians", torch.tensor(gaussians))
        self.hidden = nn.Linear(len(centers), n_features)
        self.output = nn.Linear(n_features, n_features)

    @property
    def n_features(self) -> int:
        """Number of features per edge."""
        return self.output.out_features

    def forward(self, distances: Tensor) -> Tensor:
        """Compute dense edge features.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            Distances in Å, of any floating-point type.

        Returns
        -------
        Tensor of shape (n_edges, n_features)
            Of the type of the basis.
        """
        return combine_rows(*self.entries(distances), self.table())

    def entries(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the weights of the two points that a distance lies between.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            Distances in Å, of any floating-point type.

        Returns
        -------
        columns : Tensor of shape (n_edges, 2), int32
            Positions of the points, which are rows of the table.
        values : Tensor of shape (n_edges, 2)
            Their weights, of the type of the basis, which sum to one.
        """
        last = len(self.gaussians) - 1
        position = ((distances - self.start) / self.step).clamp(0, last)
        below = position.floor().clamp(max=last - 1)
        above = (position - below).to(self.gaussians.dtype)
        first = below.to(torch.int32)
        return torch.stack([first, first + 1], 1), torch.stack([1 - above, above], 1)

    def table(self) -> Tensor:
        """Compute the features at the points of the interpolation.

        Returns
        -------
        Tensor of shape (n_points, n_features)
        """
        return silu(self.output(silu(self.hidden(self.gaussians))))


class OneHotBasis(EdgeBasis):
    """Bins of equal width, one-hot encoded (paper, Table III).

    A distance outside the range belongs to the nearest bin.

    Parameters
    ----------
    start, stop : float, default=0.7, 5.2
        Range of the distances, in Å.
    n_bins : int, default=10
        Number of bins.

    Raises
    ------
    ValueError
        If `stop` is not larger than `start`, or `n_bins` is not positive.

    Examples
    --------
    >>> import torch
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.nn import OneHotBasis
    >>> basis = OneHotBasis(start=1.0, stop=4.0, n_bins=3)
    >>> basis(torch.tensor([2.4, 7.0]))
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    >>> model = CGCNNRegressor(edge_basis=basis)
    """

    is_constant = True
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
        """Compute dense edge features.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            Distances in Å, of any floating-point type.

        Returns
        -------
        Tensor of shape (n_edges, n_features)
            Of the type of the basis.
        """
        return self.one_hot.index_select(0, self._bins(distances))

    def entries(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Compute sparse edge features, without those that are zero.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            Distances in Å, of any floating-point type.

        Returns
        -------
        columns : Tensor of shape (n_edges, 1), int64
            The bin of each distance.
        values : Tensor of shape (n_edges, 1)
            Ones, of the type of the basis.
        """
        columns = self._bins(distances)[:, None]
        return columns, self.one_hot.new_ones(columns.shape)

    def _bins(self, distances: Tensor) -> Tensor:
        # A distance on the boundary of two bins belongs to the upper one. The small
        # number keeps rounding from deciding otherwise.
        bins = ((distances - self.start) / self.width + 1e-6).floor().long()
        return bins.clamp(0, self.n_features - 1)


class NoEdgeFeatures(EdgeBasis):
    """No edge features: edges carry connectivity alone.

    Examples
    --------
    >>> import torch
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.nn import NoEdgeFeatures
    >>> NoEdgeFeatures()(torch.tensor([2.4, 3.1])).shape
    torch.Size([2, 0])
    >>> model = CGCNNRegressor(edge_basis=NoEdgeFeatures())  # or edge_basis=None
    """

    is_constant = True
    empty: Tensor

    def __init__(self) -> None:
        super().__init__()
        # An empty buffer follows the network to its device and type.
        self.register_buffer("empty", torch.empty(0), persistent=False)

    @property
    def n_features(self) -> int:
        """Number of features per edge."""
        return 0

    def forward(self, distances: Tensor) -> Tensor:
        """Compute dense edge features.

        Parameters
        ----------
        distances : Tensor of shape (n_edges,)
            Distances in Å, of any floating-point type.

        Returns
        -------
        Tensor of shape (n_edges, 0)
            Of the type of the basis.
        """
        return self.empty.expand(len(distances), 0)


def _n_points(kind: str, start: float, stop: float, step: float) -> int:
    """Return the number of points at equal steps, for a basis of this kind."""
    if not (step > 0 and stop > start):
        raise ValueError(
            f"{kind} needs stop > start and step > 0, got start={start}, stop={stop}, "
            f"step={step}"
        )
    n_steps = round((stop - start) / step)
    if abs(n_steps * step - (stop - start)) > 1e-6 * step:
        raise ValueError(
            f"{kind} needs stop - start to be a multiple of step, got start={start}, "
            f"stop={stop}, step={step}"
        )
    return n_steps + 1
