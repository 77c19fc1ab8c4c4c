"""The graph of a batch, and what is the same for every convolution over it."""

from functools import cached_property

import torch
from torch import Tensor

from sklearn_cgcnn._ops._inductor_backend import InductorEdges
from sklearn_cgcnn._ops._interface import EdgeList, Edges, to_dense
from sklearn_cgcnn._ops._moments import EdgeMoments
from sklearn_cgcnn._ops._torch_backend import TorchEdges
from sklearn_cgcnn._ops._torch_blocks import block_size


class Graph:
    """Sites and edges of a batch, as the convolutions see them.

    What follows from them for every convolution alike is worked out when it is first
    asked for, and kept.

    Parameters
    ----------
    edge_index : Tensor of shape (2, n_edges), int64
        Center and neighbor of each edge.
    edge_weights : Tensor of shape (n_edges,)
        How many equal edges of its center each stands for.
    multiplicity : Tensor of shape (n_sites,)
        How many sites of its crystal each stands for.
    columns, values : Tensor of shape (n_edges, n_entries)
        Edge features, as :meth:`EdgeBasis.entries` gives them. The two counts above are
        taken in the type of `values`.
    n_edge_features : int
        Number of features per edge.
    n_threads : int or None, default=None
        Number of threads for sums in compiled loops: by Numba for single precision on a
        CPU, by torch for a GPU, which takes none. None for operations of torch.
    for_cpu : bool or None, default=None
        Whether to sum as suits a CPU, over blocks of sorted edges or in Numba's loops,
        or as suits a GPU, over all edges at once and with no look at any value, for
        which it would have to wait. None chooses by the device.

    Attributes
    ----------
    edge_index, edge_weights, multiplicity, columns, values, n_edge_features, n_threads,
    for_cpu
        As given, except that for a CPU the edges are sorted by their centers if they
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
        n_threads: int | None = None,
        for_cpu: bool | None = None,
    ) -> None:
        self.for_cpu = edge_index.is_cpu if for_cpu is None else for_cpu
        if self.for_cpu and bool((edge_index[0].diff() < 0).any()):
            order = edge_index[0].argsort(stable=True)
            edge_index, edge_weights = edge_index[:, order], edge_weights[order]
            columns, values = columns[order], values[order]
        self.edge_index = edge_index
        self.edge_weights = edge_weights.to(values.dtype)
        self.multiplicity = multiplicity.to(values.dtype)
        self.columns, self.values = columns, values
        self.n_edge_features = n_edge_features
        self.n_threads = n_threads
        # Here, as the sums that ask for the blocks do so with gradients disabled.
        self._block_size = block_size(torch.is_grad_enabled())

    @cached_property
    def edge_features(self) -> Tensor:
        """Lay out the features of the edges, of shape (n_edges, n_edge_features)."""
        # Whoever asks first may need no gradient of them, but the next.
        with torch.enable_grad():
            return to_dense(self.columns, self.values, self.n_edge_features)

    @cached_property
    def edge_counts(self) -> Tensor:
        """Count the edges of its crystal that each stands for, of shape (n_edges,)."""
        return self.edge_weights * self.multiplicity.index_select(0, self.edge_index[0])

    @cached_property
    def edges(self) -> Edges:
        """Prepare the edges for the sums over them."""
        edges = EdgeList(
            self.edge_index,
            self.edge_weights,
            len(self.multiplicity),
            self.columns,
            self.values.detach(),
            self.n_edge_features,
        )
        if self.n_threads is not None and not self.for_cpu:
            return InductorEdges(edges)
        if self.n_threads is not None and edges.values.dtype == torch.float32:
            # Numba is not there for everyone, and takes a while to be imported.
            from sklearn_cgcnn._ops._numba_backend import NumbaEdges

            return NumbaEdges(edges, self.n_threads)
        return TorchEdges(edges, self._block_size if self.for_cpu else None)

    @cached_property
    def moments(self) -> EdgeMoments:
        """Compute what the statistics of a linear map over the edges follow from."""
        with torch.no_grad():
            return EdgeMoments(self.edges, self.edge_counts)
