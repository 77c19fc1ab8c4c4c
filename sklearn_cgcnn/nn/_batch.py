"""The batch: several crystals as one graph, which every part of the network takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import accumulate
from operator import sub
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import linear

from sklearn_cgcnn._ops import (
    EdgeList,
    EdgeMoments,
    EdgeSums,
    combine_rows,
    edge_sums,
    supports_fused_sums,
    to_dense,
)


@dataclass(frozen=True, eq=False)
class CrystalGraphBatch:
    """Several crystals as one disconnected graph.

    A site may stand for several equivalent sites of its crystal, and an edge for
    several equal edges of its center. Sums and statistics must therefore be weighted:
    those over sites by `multiplicity`, sums over the neighbors of one site by
    `edge_weights`, and statistics over all edges by `edge_counts`.

    The network receives a batch without edge features. It computes them from the
    distances, attaches them with :meth:`with_edge_features`, and passes the result to
    convolutions, pooling and readout. What several convolutions need, such as
    `edge_counts`, is computed once, on first use.

    Attributes
    ----------
    atomic_numbers : Tensor of shape (n_sites,), int64
        Atomic number of each site.
    edge_index : Tensor of shape (2, n_edges), int64
        Center and neighbor of each edge, as positions in the batch.
    distances : Tensor of shape (n_edges,), float64
        Length of each edge, in Å. Single precision on devices without double precision.
    multiplicity : Tensor of shape (n_sites,)
        Number of equivalent sites of its crystal that each site stands for. An integer
        type, or the type of the edge features once they are attached.
    edge_weights : Tensor of shape (n_edges,)
        Number of equal edges of its center that each edge stands for. An integer type,
        or the type of the edge features once they are attached.
    crystal_index : Tensor of shape (n_sites,), int64
        Position in the batch of the crystal that each site belongs to.
    n_crystals : int
        Number of crystals, which is also the length of the batch.
    edge_columns, edge_values : Tensor of shape (n_edges, n_entries) or None
        Sparse edge features, as :meth:`EdgeBasis.entries` returns them. None until they
        are attached.
    n_edge_features : int
        Number of edge features.
    edge_table : Tensor of shape (n_rows, n_edge_features) or None
        What the entries refer to, as :meth:`EdgeBasis.table` returns it. None means
        that entries are features themselves.

    Examples
    --------
    Cesium chloride as a batch of one crystal, with two sites. Each site has eight equal
    edges to the other:

    >>> import torch
    >>> from sklearn_cgcnn.nn import CrystalGraphBatch
    >>> batch = CrystalGraphBatch(
    ...     atomic_numbers=torch.tensor([55, 17]),
    ...     edge_index=torch.tensor([[0, 1], [1, 0]]),
    ...     distances=torch.tensor([3.57, 3.57], dtype=torch.float64),
    ...     multiplicity=torch.tensor([1, 1]),
    ...     edge_weights=torch.tensor([8, 8]),
    ...     crystal_index=torch.tensor([0, 0]),
    ...     n_crystals=1,
    ... )
    >>> batch.edge_counts
    tensor([8, 8])
    >>> batch.mean_over_sites(torch.tensor([[1.0], [3.0]]))
    tensor([[2.]])
    """

    atomic_numbers: Tensor
    edge_index: Tensor
    distances: Tensor
    multiplicity: Tensor
    edge_weights: Tensor
    crystal_index: Tensor
    n_crystals: int
    edge_columns: Tensor | None = None
    edge_values: Tensor | None = None
    n_edge_features: int = 0
    edge_table: Tensor | None = None

    def __len__(self) -> int:
        return self.n_crystals

    def to(self, device: torch.device | str) -> Self:
        """Move the batch to a device.

        Parameters
        ----------
        device : torch.device or str
            The device.

        Returns
        -------
        CrystalGraphBatch
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        tensors: dict[str, Any] = {
            k: v.to(device) for k, v in values.items() if isinstance(v, Tensor)
        }
        return replace(self, **tensors)

    def split(
        self,
        n_crystals: Sequence[int],
        n_sites: Sequence[int],
        n_edges: Sequence[int],
    ) -> list[Self]:
        """Split the batch into smaller ones.

        Parameters
        ----------
        n_crystals, n_sites, n_edges : sequence of int
            Number of crystals, sites and edges of each of them. They are not read from
            the batch, because reading waits for a GPU.

        Returns
        -------
        list of CrystalGraphBatch
        """
        if len(n_crystals) == 1:
            return [self]
        first_sites = accumulate(n_sites, initial=0)
        first_crystals = accumulate(n_crystals, initial=0)
        no_features = [None] * len(n_crystals)
        columns, values = (
            no_features if each is None else each.split(n_edges)
            for each in (self.edge_columns, self.edge_values)
        )
        parts: dict[str, Iterable[Any]] = {
            "atomic_numbers": self.atomic_numbers.split(n_sites),
            "edge_index": map(sub, self.edge_index.split(n_edges, dim=1), first_sites),
            "distances": self.distances.split(n_edges),
            "multiplicity": self.multiplicity.split(n_sites),
            "edge_weights": self.edge_weights.split(n_edges),
            "crystal_index": map(
                sub, self.crystal_index.split(n_sites), first_crystals
            ),
            "n_crystals": n_crystals,
            "edge_columns": columns,
            "edge_values": values,
        }
        return [
            replace(self, **dict(zip(parts, each, strict=True)))
            for each in zip(*parts.values(), strict=True)
        ]

    def with_edge_features(
        self, columns: Tensor, values: Tensor, n_features: int
    ) -> Self:
        """Attach edge features.

        Parameters
        ----------
        columns, values : Tensor of shape (n_edges, n_entries)
            Sparse edge features, as :meth:`EdgeBasis.entries` returns them.
        n_features : int
            Number of edge features.

        Returns
        -------
        CrystalGraphBatch
            A new batch. Its `multiplicity` and `edge_weights` have the type of
            `values`, so that sums weighted by them are taken in this type.
        """
        return replace(
            self,
            multiplicity=self.multiplicity.to(values.dtype),
            edge_weights=self.edge_weights.to(values.dtype),
            edge_columns=columns,
            edge_values=values,
            n_edge_features=n_features,
        )

    def with_edge_features_of_type(self, dtype: torch.dtype) -> Self:
        """Convert the edge features, and the counts with them.

        Parameters
        ----------
        dtype : torch.dtype

        Returns
        -------
        CrystalGraphBatch
            The batch itself if its edge features are of this type.
        """
        columns, values = self._sparse_features()
        if values.dtype == dtype:
            return self
        return self.with_edge_features(columns, values.to(dtype), self.n_edge_features)

    def with_edge_table(self, table: Tensor | None) -> Self:
        """Attach the table that the entries of the edges refer to.

        Parameters
        ----------
        table : Tensor of shape (n_rows, n_edge_features) or None
            As :meth:`EdgeBasis.table` returns it.

        Returns
        -------
        CrystalGraphBatch
            A new batch, or the batch itself if it has this table already.
        """
        if table is self.edge_table:
            return self
        return replace(self, edge_table=table)

    @cached_property
    def edge_features(self) -> Tensor:
        """Dense edge features, of shape (n_edges, n_edge_features)."""
        columns, values = self._sparse_features()
        # With gradient even if the first caller needs none: the next one may.
        with torch.enable_grad():
            if self.edge_table is not None:
                return combine_rows(columns, values, self.edge_table)
            return to_dense(columns, values, self.n_edge_features)

    def weight_of_entries(self, weight: Tensor) -> Tensor:
        """Convert a linear map of edge features to one of their entries.

        Parameters
        ----------
        weight : Tensor of shape (width, n_inputs + n_edge_features)
            The map. Its last columns act on the edge features.

        Returns
        -------
        Tensor of shape (width, n_inputs + n_rows)
            Its last columns act on the rows of the table. Without a table it is
            `weight` itself.
        """
        if self.edge_table is None:
            return weight
        n_inputs = weight.shape[1] - self.n_edge_features
        others, of_edges = weight.split([n_inputs, self.n_edge_features], dim=1)
        return torch.cat([others, linear(of_edges, self.edge_table)], dim=1)

    @cached_property
    def edge_counts(self) -> Tensor:
        """Number of edges of the crystal that each edge stands for.

        Shape (n_edges,).
        """
        return self.edge_weights * self.multiplicity.index_select(0, self.edge_index[0])

    @cached_property
    def site_fractions(self) -> Tensor:
        """Fraction of all sites of the crystals that each site stands for.

        Shape (n_sites,).
        """
        return self.multiplicity / self.multiplicity.sum()

    @cached_property
    def edge_sums(self) -> EdgeSums:
        """Back end that computes the fused sums over the edges."""
        columns, values = self._sparse_features()
        return edge_sums(
            EdgeList(
                edge_index=self.edge_index,
                weights=self.edge_weights,
                n_sites=len(self.multiplicity),
                columns=columns,
                values=values,
                n_features=(
                    self.n_edge_features
                    if self.edge_table is None
                    else len(self.edge_table)
                ),
            )
        )

    @property
    def supports_fused_sums(self) -> bool:
        """Whether fused kernels support the entries of the edge features.

        This depends on their type, their device, and whether they need a gradient.
        """
        return supports_fused_sums(self._sparse_features()[1])

    @cached_property
    def edge_moments(self) -> EdgeMoments:
        """The means and covariances over the edges, for batch normalization."""
        return self.edge_sums.moments(self.multiplicity)

    def mean_over_sites(self, values: Tensor) -> Tensor:
        """Average over the sites of each crystal, weighted by `multiplicity`.

        Parameters
        ----------
        values : Tensor of shape (n_sites, width)
            Values of the sites.

        Returns
        -------
        Tensor of shape (n_crystals, width)
            Of the type of `values`, or of `multiplicity` if that is wider: autocast may
            have rounded the values, and sums must not be rounded.
        """
        weighted = values * self.multiplicity[:, None]
        total = weighted.new_zeros(self.n_crystals, values.shape[1])
        total = total.index_add(0, self.crystal_index, weighted)
        counts = weighted.new_zeros(self.n_crystals)
        counts = counts.index_add(
            0, self.crystal_index, self.multiplicity.to(weighted.dtype)
        )
        return total / counts[:, None]

    def _sparse_features(self) -> tuple[Tensor, Tensor]:
        if self.edge_columns is None or self.edge_values is None:
            raise ValueError(
                "the batch has no edge features yet; attach them first, with "
                "batch.with_edge_features(columns, values, n_features)"
            )
        return self.edge_columns, self.edge_values
