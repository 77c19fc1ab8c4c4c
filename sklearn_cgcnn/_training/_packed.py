"""From packed graphs to batches of tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sklearn_cgcnn.graphs import CrystalGraphs


@dataclass(frozen=True, eq=False)
class CrystalGraphBatch:
    """Several crystals as one disconnected graph.

    Its length is its number of crystals, which is what a loss over the batch is
    averaged over.

    Attributes
    ----------
    atomic_numbers : Tensor of shape (n_sites,), int64
    edge_index : Tensor of shape (2, n_edges), int64
        Center and neighbor of each edge, as positions in the batch.
    distances : Tensor of shape (n_edges,), float64
        In Å.
    multiplicity : Tensor of shape (n_sites,), int32
        How many sites of its crystal each site stands for.
    edge_weights : Tensor of shape (n_edges,), int32
        How many equal edges of its center each edge stands for.
    crystal_index : Tensor of shape (n_sites,), int64
        Which crystal of the batch each site belongs to.
    n_crystals : int
    """

    atomic_numbers: Tensor
    edge_index: Tensor
    distances: Tensor
    multiplicity: Tensor
    edge_weights: Tensor
    crystal_index: Tensor
    n_crystals: int

    def __len__(self) -> int:
        return self.n_crystals

    def tensors(self) -> dict[str, Any]:
        """Give the attributes by name, as a network takes them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def to(self, device: torch.device | str) -> Self:
        """Move to a device."""
        return replace(
            self,
            atomic_numbers=self.atomic_numbers.to(device),
            edge_index=self.edge_index.to(device),
            distances=self.distances.to(device),
            multiplicity=self.multiplicity.to(device),
            edge_weights=self.edge_weights.to(device),
            crystal_index=self.crystal_index.to(device),
        )


class PackedDataset(Dataset[tuple[CrystalGraphBatch, tuple[Tensor, Tensor]]]):
    """Graphs, targets and weights as tensors on one device, gathered into batches.

    Parameters
    ----------
    graphs : CrystalGraphs
    targets : Tensor of shape (n_crystals, ...) or None, default=None
        None stands for zeros.
    weights : Tensor of shape (n_crystals,) or None, default=None
        How much each crystal counts in the loss. None stands for ones.
    device : torch.device or str, default="cpu"
        Where the tensors live.
    """

    def __init__(
        self,
        graphs: CrystalGraphs,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        def tensor(array: NDArray[Any]) -> Tensor:
            # Copied, because joblib hands workers arrays that are read-only.
            return torch.tensor(array, device=device)

        self.atomic_numbers = tensor(graphs.atomic_numbers)
        self.neighbors = tensor(graphs.neighbors)
        # Apple's GPUs know no double precision.
        single = torch.device(device).type == "mps"
        kind = np.float32 if single else np.float64
        self.distances = tensor(graphs.distances.astype(kind, copy=False))
        self.multiplicity = tensor(graphs.multiplicity)
        # torch computes little with unsigned integers other than bytes.
        self.edge_weights = tensor(graphs.edge_weights.astype(np.int32))
        self.site_offsets = tensor(graphs.site_offsets)
        self.edge_offsets = tensor(graphs.edge_offsets)
        # On the CPU, so that to make a batch needs no look at the device's memory.
        edge_ends = graphs.edge_offsets[graphs.site_offsets]
        sizes = np.diff([graphs.site_offsets, edge_ends]).T
        self.sizes = torch.tensor(sizes)
        if targets is None:
            targets = torch.zeros(len(graphs))
        if weights is None:
            weights = torch.ones(len(graphs))
        self.targets, self.weights = targets.to(device), weights.to(device)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(
        self, rows: Tensor
    ) -> tuple[CrystalGraphBatch, tuple[Tensor, Tensor]]:
        """Gather crystals, their targets and their weights.

        Parameters
        ----------
        rows : Tensor of shape (n_crystals,), int64

        Returns
        -------
        batch : CrystalGraphBatch
        targets, weights : Tensor of shape (n_crystals, ...) and (n_crystals,)
        """
        return next(self.batches(rows, [len(rows)]))

    def batches(
        self, rows: Tensor, lengths: Sequence[int]
    ) -> Iterator[tuple[CrystalGraphBatch, tuple[Tensor, Tensor]]]:
        """Gather crystals batch by batch, and never wait for the device.

        Parameters
        ----------
        rows : Tensor of shape (n_crystals,), int64
            On the CPU.
        lengths : sequence of int
            How many of them make each batch.

        Yields
        ------
        batch : CrystalGraphBatch
        targets, weights : Tensor of shape (n_crystals, ...) and (n_crystals,)
        """
        sizes = [each.sum(dim=0).tolist() for each in self.sizes[rows].split(lengths)]
        there = rows.to(self.targets.device)  # all at once: each copy is a wait
        for picked, (n_sites, n_edges) in zip(there.split(lengths), sizes, strict=True):
            batch = self._gather(picked, n_sites, n_edges)
            yield batch, (self.targets[picked], self.weights[picked])

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
    """Pass over a dataset in batches of nearly equal size.

    The crystals are dealt out evenly, rather than leaving a remainder: a last batch of
    one or two crystals would have no statistics to be normalized by.

    Parameters
    ----------
    dataset : PackedDataset
    batch_size : int
        The largest size of a batch.
    shuffle : bool, default=False
    generator : torch.Generator or None, default=None
        Source of the shuffles.
    """

    def __init__(
        self,
        dataset: PackedDataset,
        batch_size: int,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.generator = generator

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[CrystalGraphBatch, tuple[Tensor, Tensor]]]:
        if self.shuffle:
            order = torch.randperm(len(self.dataset), generator=self.generator)
        else:
            order = torch.arange(len(self.dataset))
        lengths = [len(part) for part in order.tensor_split(len(self))]
        return self.dataset.batches(order, lengths)


class EdgeBoundedIterator:
    """Pass over a dataset in order, in batches of as many edges as are good for it.

    What a batch costs, in time and in memory, goes by its edges: a crystal of thousands
    of sites is a batch of its own, and thousands of crystals of one site are another.

    Parameters
    ----------
    dataset : PackedDataset
    max_edges : int
        The largest number of edges and sites together, unless a single crystal has
        more. Sites count too, so that those without edges do not pile up.
    """

    def __init__(self, dataset: PackedDataset, max_edges: int) -> None:
        self.dataset = dataset
        self._lengths, total = [0], 0
        for cost in dataset.sizes.sum(dim=1).tolist():
            if self._lengths[-1] and total + cost > max_edges:
                self._lengths.append(0)
                total = 0
            self._lengths[-1] += 1
            total += cost

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[tuple[CrystalGraphBatch, tuple[Tensor, Tensor]]]:
        return self.dataset.batches(torch.arange(len(self.dataset)), self._lengths)


def _take_ragged(offsets: Tensor, rows: Tensor, n_items: int) -> tuple[Tensor, Tensor]:
    """Positions of the items that `rows` own, and the offsets of the selection."""
    first = offsets[rows]
    counts = offsets[rows + 1] - first
    taken = torch.cumsum(torch.cat([counts.new_zeros(1), counts]), dim=0)
    shift = torch.repeat_interleave(first - taken[:-1], counts, output_size=n_items)
    return shift + torch.arange(n_items, device=offsets.device), taken


def _owners(offsets: Tensor, n_items: int) -> Tensor:
    """Whose each item is, where `offsets` says where each owner's items begin."""
    owners = torch.arange(len(offsets) - 1, device=offsets.device)
    return torch.repeat_interleave(owners, offsets.diff(), output_size=n_items)
