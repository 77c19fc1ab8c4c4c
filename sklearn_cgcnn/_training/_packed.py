"""Packed graphs as tensors, and the batches gathered from them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.dataset import Dataset
from torch import Tensor

from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.nn import CrystalGraphBatch

# Largest number of edges that are gathered at once, unless a single batch has more.
_MAX_EDGES_AT_ONCE = 2**15


@dataclass(frozen=True, eq=False)
class BatchTargets:
    """Targets and sample weights of a batch.

    Attributes
    ----------
    values : Tensor of shape (n_crystals, ...)
        Targets of the network: standardized numbers, or codes of classes.
    weights : Tensor of shape (n_crystals,)
        Sample weights.
    rows : Tensor of shape (n_crystals,), int64
        Positions of the crystals in their dataset, on the CPU.
    dataset : CrystalDataset
        The dataset that the batch was gathered from.
    """

    values: Tensor
    weights: Tensor
    rows: Tensor
    dataset: "CrystalDataset"

    @property
    def y(self) -> NDArray[Any]:
        """Targets as they were passed to the estimator, in their own unit."""
        y: NDArray[Any] = self.dataset.y[self.rows.numpy()]
        return y


#: Adds to crystals what can be computed for several batches at once.
Prepare = Callable[[CrystalGraphBatch], CrystalGraphBatch]
#: A batch with its targets.
Sample = tuple[CrystalGraphBatch, BatchTargets]


# A Dataset of skorch, whose scoring callbacks then find X and y.
class CrystalDataset(Dataset, ABC):  # type: ignore[misc]
    """Crystals with targets and sample weights, from which batches are gathered.

    Parameters
    ----------
    sizes : ndarray of shape (n_crystals, 2), int64
        Number of sites and edges of each crystal.
    targets : Tensor of shape (n_crystals, ...) or None, default=None
        Targets. None means zeros.
    weights : Tensor of shape (n_crystals,) or None, default=None
        Sample weights. None means ones.
    device : torch.device or str, default="cpu"
        Device that stores the tensors.
    y : ndarray of shape (n_crystals, ...) or None, default=None
        Targets as they were passed to the estimator. None means `targets` itself.
    """

    def __init__(
        self,
        sizes: NDArray[np.int64],
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        device: torch.device | str = "cpu",
        y: NDArray[Any] | None = None,
    ) -> None:
        # Kept on the CPU: the size of a batch must be known without reading the GPU.
        self.sizes = torch.tensor(sizes)  # (n_crystals, 2): sites and edges
        if targets is None:
            targets = torch.zeros(len(sizes))
        if weights is None:
            weights = torch.ones(len(sizes))
        self.targets, self.weights = targets.to(device), weights.to(device)
        self.y = targets.cpu().numpy() if y is None else y

    @property
    def X(self) -> "CrystalDataset":  # noqa: N802
        """The dataset itself, which `predict` of the net accepts."""
        return self

    @property
    def n_edges(self) -> int:
        """Number of edges of all crystals together."""
        return int(self.sizes[:, 1].sum())

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, rows: Tensor) -> Sample:
        """Gather crystals, their targets and their weights.

        Parameters
        ----------
        rows : Tensor of shape (n_crystals,), int64
            Positions of the crystals.

        Returns
        -------
        batch : CrystalGraphBatch
        targets : BatchTargets
        """
        return next(self.batches(rows, [len(rows)]))

    def shuffle(self, generator: torch.Generator | None) -> Tensor:
        """Draw the order of an epoch.

        Parameters
        ----------
        generator : torch.Generator or None
            Source of randomness.

        Returns
        -------
        Tensor of shape (n_crystals,), int64
            Positions of the crystals.
        """
        return torch.randperm(len(self), generator=generator)

    @abstractmethod
    def batches(
        self,
        rows: Tensor,
        lengths: Sequence[int],
        prepare: Prepare | None = None,
    ) -> Iterator[Sample]:
        """Gather crystals batch by batch, as :meth:`PackedDataset.batches` does."""


class PackedDataset(CrystalDataset):
    """Graphs, targets and sample weights as tensors on one device.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.
    targets, weights, device, y
        As in :class:`CrystalDataset`.
    """

    def __init__(
        self,
        graphs: CrystalGraphs,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        device: torch.device | str = "cpu",
        y: NDArray[Any] | None = None,
    ) -> None:
        def tensor(array: NDArray[Any]) -> Tensor:
            # A copy, because joblib passes read-only arrays to its workers.
            return torch.tensor(array, device=device)

        self.atomic_numbers = tensor(graphs.atomic_numbers)
        self.neighbors = tensor(graphs.neighbors)
        # Apple's GPUs do not support double precision.
        is_mps = torch.device(device).type == "mps"
        dtype = np.float32 if is_mps else np.float64
        self.distances = tensor(graphs.distances.astype(dtype, copy=False))
        self.multiplicity = tensor(graphs.multiplicity)
        # torch supports few operations on unsigned integers other than bytes.
        self.edge_weights = tensor(graphs.edge_weights.astype(np.int32))
        self.site_offsets = tensor(graphs.site_offsets)
        self.edge_offsets = tensor(graphs.edge_offsets)
        edge_ends = graphs.edge_offsets[graphs.site_offsets]
        sizes = np.diff([graphs.site_offsets, edge_ends]).T
        super().__init__(sizes, targets, weights, device, y)

    def batches(
        self,
        rows: Tensor,
        lengths: Sequence[int],
        prepare: Prepare | None = None,
    ) -> Iterator[Sample]:
        """Gather crystals batch by batch, without waiting for a GPU between batches.

        Small batches are gathered several at a time, because the number of operations
        decides the time for them, not their size.

        Parameters
        ----------
        rows : Tensor of shape (n_crystals,), int64
            Positions of the crystals, on the CPU.
        lengths : sequence of int
            Number of crystals in each batch. They sum to the length of `rows`.
        prepare : callable or None, default=None
            Called with the crystals of one or several batches, which it returns with
            edge features. None leaves this to the network.

        Yields
        ------
        batch : CrystalGraphBatch
        targets : BatchTargets
        """
        sizes = [part.sum(dim=0).tolist() for part in self.sizes[rows].split(lengths)]
        # All positions are copied at once, because each copy waits for a GPU.
        on_device, start = rows.to(self.targets.device), 0
        for group in groups_of([n_edges for _, n_edges in sizes], _MAX_EDGES_AT_ONCE):
            n_crystals = lengths[group]
            n_sites, n_edges = zip(*sizes[group], strict=True)
            stop = start + sum(n_crystals)
            selected = on_device[start:stop]
            joint = self._gather(selected, sum(n_sites), sum(n_edges))
            if prepare is not None:
                joint = prepare(joint)
            parts = (
                joint.split(n_crystals, n_sites, n_edges),
                self.targets[selected].split(n_crystals),
                self.weights[selected].split(n_crystals),
                rows[start:stop].split(n_crystals),
            )
            for batch, targets, weights, on_cpu in zip(*parts, strict=True):
                yield batch, BatchTargets(targets, weights, on_cpu, self)
            start = stop

    def _gather(self, rows: Tensor, n_sites: int, n_edges: int) -> CrystalGraphBatch:
        sites, site_offsets = _take_ragged(self.site_offsets, rows, n_sites)
        edges, edge_offsets = _take_ragged(self.edge_offsets, sites, n_edges)
        crystal_index = _owners(site_offsets, n_sites)
        center = _owners(edge_offsets, n_edges)
        first_site = site_offsets[crystal_index]
        neighbor = self.neighbors[edges] + first_site[center]
        return CrystalGraphBatch(
            atomic_numbers=self.atomic_numbers[sites].long(),
            edge_index=torch.stack([center, neighbor]),
            distances=self.distances[edges],
            multiplicity=self.multiplicity[sites],
            edge_weights=self.edge_weights[edges],
            crystal_index=crystal_index,
            n_crystals=len(rows),
        )


class BatchIterator:
    """Iterate over a dataset in batches of nearly equal size.

    The crystals are distributed evenly over the batches. A short last batch of one or
    two crystals would not have meaningful statistics for batch normalization.

    Parameters
    ----------
    dataset : CrystalDataset
        The crystals.
    batch_size : int
        Largest number of crystals in a batch.
    shuffle : bool, default=False
        Whether to shuffle the crystals in each pass.
    generator : torch.Generator or None, default=None
        Source of randomness for the shuffles.
    prepare : callable or None, default=None
        As in :meth:`PackedDataset.batches`.
    """

    def __init__(
        self,
        dataset: CrystalDataset,
        batch_size: int,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.generator = generator
        self.prepare = prepare

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Sample]:
        if self.shuffle:
            order = self.dataset.shuffle(self.generator)
        else:
            order = torch.arange(len(self.dataset))
        lengths = [len(part) for part in order.tensor_split(len(self))]
        return self.dataset.batches(order, lengths, self.prepare)


class EdgeBoundedIterator:
    """Iterate over a dataset in order, with a bounded number of edges per batch.

    Time and memory of a batch grow with its edges. A crystal with thousands of sites is
    a batch of its own, while thousands of crystals with one site share a batch.

    Parameters
    ----------
    dataset : CrystalDataset
        The crystals.
    max_edges : int
        Largest number of edges and sites together in a batch. A single crystal may
        exceed it. Sites count too, so that sites without edges are bounded as well.
    """

    def __init__(self, dataset: CrystalDataset, max_edges: int) -> None:
        self.dataset = dataset
        groups = groups_of(dataset.sizes.sum(dim=1).tolist(), max_edges)
        self._lengths = [group.stop - group.start for group in groups]

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[Sample]:
        return self.dataset.batches(torch.arange(len(self.dataset)), self._lengths)


def groups_of(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Divide items into groups of successive ones with a bounded total size.

    Parameters
    ----------
    sizes : sequence of int
        Size of each item.
    limit : int
        Largest total size of a group, unless a single item is larger.

    Yields
    ------
    slice
    """
    start, total = 0, 0
    for i, size in enumerate(sizes):
        if i > start and total + size > limit:
            yield slice(start, i)
            start, total = i, 0
        total += size
    yield slice(start, len(sizes))


def _take_ragged(offsets: Tensor, rows: Tensor, n_items: int) -> tuple[Tensor, Tensor]:
    """Return the positions of the items of `rows`, and the offsets of the selection."""
    first = offsets[rows]
    counts = offsets[rows + 1] - first
    selected = torch.cumsum(torch.cat([counts.new_zeros(1), counts]), dim=0)
    shift = torch.repeat_interleave(first - selected[:-1], counts, output_size=n_items)
    return shift + torch.arange(n_items, device=offsets.device), selected


def _owners(offsets: Tensor, n_items: int) -> Tensor:
    """Return the owner of each item, given the segment offsets."""
    owners = torch.arange(len(offsets) - 1, device=offsets.device)
    return torch.repeat_interleave(owners, offsets.diff(), output_size=n_items)
