"""The graph of a batch, and what is the same for every convolution over it."""

from functools import cached_property

import torch
from torch import Tensor

from sklearn_cgcnn.nn._blocked_edges import BlockedEdges
from sklearn_cgcnn.nn._edge_basis import lay_out
from sklearn_cgcnn.nn._edge_blocks import block_size
from sklearn_cgcnn.nn._edge_moments import EdgeMoments
from sklearn_cgcnn.nn._edges import Edges
from sklearn_cgcnn.nn._fused_edges import FusedEdges


class Graph:
    """Sites and edges of a batch, as the convolutions see them.

    What follows from them for every convolution alike is worked out when it is first
    asked for, and kept.

    Parameters
    ----------
    edge_index : Tensor of shape (2, n_edges), int64
        Centre and neighbour of each edge.
    edge_weights : Tensor of shape (n_edges,)
        How many equal edges of its centre each stands for.
    multiplicity : Tensor of shape (n_sites,)
        How many sites of its crystal each stands for.
    columns, values : Tensor of shape (n_edges, n_entries)
        Edge features, as :meth:`EdgeBasis.entries` gives them. The two counts above are
        taken in the type of `values`.
    n_edge_features : int
        Number of features per edge.
    compiled : bool, default=False
        Whether to sum over the edges in compiled loops, for which there are two
        compilers: Numba for single precision on a CPU, and torch's own for a GPU.
    n_threads : int, default=1
        Number of threads for the loops on a CPU.
    in_blocks : bool or None, default=None
        Whether to work on blocks of edges, which suits the caches of a CPU, or on all
        edges at once, with no need to look at any value, for which a GPU would have to
        wait. None chooses by the device.

    Attributes
    ----------
    edge_index, edge_weights, multiplicity, columns, values, n_edge_features, compiled,
    n_threads, in_blocks
        As given, except that for blocks the edges are sorted by their centres if they
        were not.
    """

    def __init__(
        self,
        edge_index: Tensor,
        edge_weights: Tensor,
        multiplicity: Tensor,
        columns: Tensor,
        values: Tensor,
        n_edge_features: int,
        compiled: bool = False,
        n_threads: int = 1,
        in_blocks: bool | None = None,
    ) -> None:
        self.in_blocks = edge_index.is_cpu if in_blocks is None else in_blocks
        if self.in_blocks and bool((edge_index[0].diff() < 0).any()):
            order = edge_index[0].argsort(stable=True)
            edge_index, edge_weights = edge_index[:, order], edge_weights[order]
            columns, values = columns[order], values[order]
        self.edge_index = edge_index
        self.edge_weights = edge_weights.to(values.dtype)
        self.multiplicity = multiplicity.to(values.dtype)
        self.columns, self.values = columns, values
        self.n_edge_features = n_edge_features
        self.compiled, self.n_threads = compiled, n_threads
        # Here, as the sums that ask for the blocks do so with gradients disabled.
        self._block_size = block_size(torch.is_grad_enabled())

    @cached_property
    def edge_features(self) -> Tensor:
        """Lay out the features of the edges, of shape (n_edges, n_edge_features)."""
        # Whoever asks first may need no gradient of them, but the next.
        with torch.enable_grad():
            return lay_out(self.columns, self.values, self.n_edge_features)

    @cached_property
    def edge_counts(self) -> Tensor:
        """Count the edges of its crystal that each stands for, of shape (n_edges,)."""
        return self.edge_weights * self.multiplicity.index_select(0, self.edge_index[0])

    @cached_property
    def edges(self) -> Edges:
        """Prepare the edges for the sums over them."""
        args = (
            self.edge_index,
            self.edge_weights,
            len(self.multiplicity),
            self.columns.detach(),
            self.values.detach(),
            self.n_edge_features,
        )
        if self.compiled and not self.in_blocks:
            return FusedEdges(*args)
        if self.compiled and self.values.dtype == torch.float32:
            # Numba is not there for everyone, and takes a while to be imported.
            from sklearn_cgcnn.nn._compiled_edges import CompiledEdges

            return CompiledEdges(*args, self.n_threads)
        return BlockedEdges(*args, self._block_size if self.in_blocks else None)

    @cached_property
    def moments(self) -> EdgeMoments:
        """Compute what the statistics of a linear map over the edges follow from."""
        with torch.no_grad():
            return EdgeMoments(self.edges, self.edge_counts)
