"""Graphs on disk as batches: read, converted and forgotten part by part."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_cgcnn._training._packed import (
    CrystalDataset,
    PackedDataset,
    Prepare,
    Sample,
    groups_of,
)
from sklearn_cgcnn.graphs import AnyGraphs, CrystalGraphs, ShardedCrystalGraphs


def make_dataset(
    graphs: AnyGraphs,
    targets: Tensor | None = None,
    weights: Tensor | None = None,
    device: torch.device | str = "cpu",
    y: NDArray[Any] | None = None,
) -> CrystalDataset:
    """Return graphs, targets and sample weights as a dataset.

    Parameters
    ----------
    graphs : CrystalGraphs or ShardedCrystalGraphs
        The crystals.
    targets, weights, device, y
        As in :class:`PackedDataset`.

    Returns
    -------
    CrystalDataset
    """
    if isinstance(graphs, CrystalGraphs):
        return PackedDataset(graphs, targets, weights, device, y)
    return StreamedDataset(graphs, targets, weights, device, y)


class StreamedDataset(CrystalDataset):
    """Graphs on disk, with targets and sample weights in memory.

    The graphs of successive batches are read together, as many as fit into a buffer,
    and become tensors on the device. They are freed before the next ones are read. The
    order of the batches must therefore visit few shards at a time. That of
    :meth:`shuffle` does so.

    Parameters
    ----------
    graphs : ShardedCrystalGraphs
        The crystals. None of them may have failed.
    targets, weights, device, y
        As in :class:`PackedDataset`.
    """

    def __init__(
        self,
        graphs: ShardedCrystalGraphs,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        device: torch.device | str = "cpu",
        y: NDArray[Any] | None = None,
    ) -> None:
        n_sites, n_edges, _ = graphs.sizes()
        super().__init__(
            np.stack([n_sites, n_edges], axis=1), targets, weights, device, y
        )
        self.graphs = graphs
        self._nbytes = graphs.crystal_nbytes()

    def shuffle(self, generator: torch.Generator | None) -> Tensor:
        """Draw the order of an epoch.

        The order of the shards is random. As many shards as fit into a buffer follow
        each other, and their crystals are shuffled together. If all crystals fit, the
        order is that of :class:`PackedDataset`.

        Parameters
        ----------
        generator : torch.Generator or None
            Source of randomness.

        Returns
        -------
        Tensor of shape (n_crystals,), int64
        """
        if self.graphs.fits_into_buffer():
            return super().shuffle(generator)
        shards = self.graphs.positions_by_shard()
        drawn = torch.randperm(len(shards), generator=generator).tolist()
        nbytes = [int(self._nbytes[shards[each]].sum()) for each in drawn]
        pieces = []
        for group in groups_of(nbytes, self.graphs.buffer_nbytes):
            together = torch.from_numpy(
                np.concatenate([shards[each] for each in drawn[group]])
            )
            order = torch.randperm(len(together), generator=generator)
            pieces.append(together[order])
        return torch.cat(pieces)

    def batches(
        self,
        rows: Tensor,
        lengths: Sequence[int],
        prepare: Prepare | None = None,
    ) -> Iterator[Sample]:
        """Read crystals, and gather them batch by batch.

        Parameters
        ----------
        rows, lengths, prepare
            As in :meth:`PackedDataset.batches`.

        Yields
        ------
        batch : CrystalGraphBatch
        targets : BatchTargets
        """
        nbytes = [int(self._nbytes[part.numpy()].sum()) for part in rows.split(lengths)]
        start = 0
        for group in groups_of(nbytes, self.graphs.buffer_nbytes):
            stop = start + sum(lengths[group])
            positions, order = self._in_order_of_files(rows[start:stop])
            part = self._pack(positions)
            for batch, targets in part.batches(order, lengths[group], prepare):
                found = positions[targets.rows]
                yield batch, replace(targets, rows=found, dataset=self)
            # Before the next ones are read, so that there is one buffer at a time.
            del part, batch, targets
            start = stop

    def _in_order_of_files(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows in the order of the files, and where each row went."""
        stored = torch.from_numpy(self.graphs.rows())[rows]
        by_file = torch.argsort(stored, stable=True)
        return rows[by_file], torch.argsort(by_file)

    def _pack(self, positions: Tensor) -> PackedDataset:
        on_device = positions.to(self.targets.device)
        return PackedDataset(
            self.graphs[positions.numpy()].to_memory(),
            self.targets[on_device],
            self.weights[on_device],
            self.targets.device,
            self.y[positions.numpy()],
        )
