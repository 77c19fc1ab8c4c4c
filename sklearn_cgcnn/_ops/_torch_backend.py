"""Edges with sums over a block of them at a time.

Written out, the messages of a batch take a dozen passes over tensors of the size of the
edges times twice the channels, and memory sets the pace: a processor could compute many
times faster than these come and go. Here each step is done for a block of edges that
stays in its cache, and none of them is kept: to compute them again for the gradient
takes less time than to write them to memory and to read them.
"""

from functools import cached_property

import torch
from torch import Tensor

from sklearn_cgcnn._ops._interface import EdgeList, Messages
from sklearn_cgcnn._ops._linear_terms import split_terms
from sklearn_cgcnn._ops._torch_blocks import divide

# Beyond it a softplus is its argument or 0, and the exponential of more would leave the
# range of single precision.
_FAR = 80.0


class TorchEdges:
    """Edges with sums by operations of torch, over a block of them at a time.

    Parameters
    ----------
    edges : EdgeList
    block_size : int or None
        Number of edges of a block. The edges are then to be sorted by their centers.
        None for all of them in one, without a look at any value.
    """

    def __init__(self, edges: EdgeList, block_size: int | None) -> None:
        self.edges, self.blocks = edges, divide(edges, block_size)
        self._may_look = block_size is not None

    @property
    def parts(self) -> list[tuple[int, int]]:
        """As :attr:`Edges.parts`: torch has its own threads."""
        return [(0, self.edges.n_sites)]

    def messages(self, terms: Tensor, scale: Tensor, shift: Tensor) -> Messages:
        """As :meth:`Edges.messages`."""
        tables = _tables(terms, scale, shift, self.edges.n_sites)
        near = self._may_look and self._is_near(tables[1])
        return _TorchMessages(self, tables, near)

    def _is_near(self, table: Tensor) -> bool:
        """Say whether nothing that is gathered from a table can be far from zero."""
        if not self.blocks:
            return True
        n = 2 * self.edges.n_sites
        bound = 2 * _largest(table[:n])
        if len(table) > n:
            bound = bound + _largest(table[n:]) * self._largest_features
        return bool(bound < _FAR)

    @cached_property
    def _largest_features(self) -> Tensor:
        """Give the largest sum of an edge's features, by their absolute values."""
        return self.edges.values.abs().sum(dim=1).max()

    def sum_features(self, shares: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As :meth:`Edges.sum_features`."""
        features, width = self.edges.features, self.edges.n_features
        mean = features.T @ shares
        by_site = shares.new_zeros(2 * self.edges.n_sites, width + 1)
        by_center, by_neighbor = by_site.chunk(2)
        covariance = shares.new_zeros(width, width)
        for block in self.blocks:
            share = shares[block.edges]
            rows = shares.new_ones(len(block), width + 1)
            centerd = torch.sub(features[block.edges], mean, out=rows[:, :-1])
            block.add_to_centers(by_center, rows, factors=share)
            block.add_to_neighbors(by_neighbor, rows, factors=share)
            covariance.addmm_(centerd.T, centerd * share[:, None])
        return mean, covariance, by_site[:, :-1], by_site[:, -1]

    def add_ends(
        self, shares: Tensor, share_of_site: Tensor, terms: Tensor, sums: Tensor
    ) -> Tensor:
        """As :meth:`Edges.add_ends`."""
        sums.addcmul_(terms, share_of_site[:, None])
        (of_centers, of_neighbors), (by_center, by_neighbor) = (
            rows.chunk(2) for rows in (terms, sums)
        )
        for block in self.blocks:
            share = shares[block.edges]
            block.add_to_centers(by_center, of_neighbors, block.neighbor, share)
            block.add_to_neighbors(by_neighbor, of_centers, block.center, share)
        return (terms * sums).sum(dim=0)

    def take_out(
        self,
        sums: Tensor,
        terms: Tensor,
        shares: Tensor,
        to_shift: Tensor,
        covariances: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """As :meth:`Edges.take_out`."""
        sums.addr_(shares, to_shift, alpha=-1)
        to_scale = (terms * sums).sum(dim=0).mul_(inverse_std)
        sums.addcmul_(covariances, inverse_std * to_scale, value=-1)
        return to_scale


class _TorchMessages:
    """Messages of tables of what is to be added up for minus the gates, and cores."""

    def __init__(self, edges: TorchEdges, tables: Tensor, near: bool) -> None:
        self._sums, self._tables, self._near = edges, tables, near

    def sum(self) -> Tensor:
        """As :meth:`Messages.sum`."""
        n_sites = self._sums.edges.n_sites
        summed = self._tables.new_zeros(n_sites, self._tables.shape[2])
        for block in self._sums.blocks:
            minus_gate, core = (block.gather(table) for table in self._tables)
            _, messages = _exp_and_softplus(core, self._near)
            messages /= minus_gate.exp_().add_(1)
            block.add_to_centers(summed, messages, factors=block.weights)
        return summed

    def sum_gradients(self, grad: Tensor) -> Tensor:
        """As :meth:`Messages.sum_gradients`."""
        n_sites, half = grad.shape
        blocks, tables = self._sums.blocks, self._tables
        all_features = self._sums.edges.features
        sums = grad.new_zeros(tables.shape[1], 2 * half)
        to_center, to_neighbor, to_edge = split_terms(sums, n_sites)
        room = grad.new_empty(max(map(len, blocks), default=0), 2 * half)
        for block in blocks:
            minus_gate, core = (block.gather(table) for table in tables)
            gate = minus_gate.exp_().add_(1).reciprocal_()
            one_plus_exp, softplus = _exp_and_softplus(core, self._near)
            to_y = room[: len(block)]
            to_core = block.at_center(grad).mul_(gate)
            # The slope of a softplus is what the inverse of 1 + exp lacks to 1, and
            # that of a gate itself times what it lacks to 1.
            torch.addcdiv(to_core, to_core, one_plus_exp, value=-1, out=to_y[:, half:])
            to_gate = to_core.mul_(softplus)
            torch.addcmul(to_gate, to_gate, gate, value=-1, out=to_y[:, :half])
            block.add_to_centers(to_center, to_y)
            block.add_to_neighbors(to_neighbor, to_y)
            features = all_features[block.edges, block.features]
            to_edge[block.features].addmm_(features.T, to_y)
        return sums


def _tables(terms: Tensor, scale: Tensor, shift: Tensor, n_sites: int) -> Tensor:
    """Lay out the terms of minus the gates, and of the cores, scaled and shifted.

    In tables of their own: with half of the rows of one, strided, torch would take
    twice the time.
    """
    half = terms.shape[1] // 2
    scale, shift = (_with_minus_gates(each).view(2, half) for each in (scale, shift))
    tables = terms.new_empty(2, len(terms), half)
    rows, of_rows = terms.view(-1, 2, half), tables.transpose(0, 1)
    torch.addcmul(shift, rows[:n_sites], scale, out=of_rows[:n_sites])
    torch.mul(rows[n_sites:], scale, out=of_rows[n_sites:])
    return tables


def _with_minus_gates(values: Tensor) -> Tensor:
    """Change the sign of the first half."""
    gates, cores = values.chunk(2)
    return torch.cat([-gates, cores])


def _largest(values: Tensor) -> Tensor:
    """Give the largest absolute value, in one pass."""
    return torch.stack(values.aminmax()).abs().max()


def _exp_and_softplus(core: Tensor, near: bool) -> tuple[Tensor, Tensor]:
    """Compute 1 + exp(core), held finite, and its logarithm, the softplus.

    The latter is exact to the last digit of one, not of itself, which counts among
    sums. The core may be used up.
    """
    if near:
        one_plus_exp = core.exp_().add_(1)
        return one_plus_exp, one_plus_exp.log()
    one_plus_exp = core.clamp(-_FAR, _FAR).exp_().add_(1)
    return one_plus_exp, torch.maximum(one_plus_exp.log(), core)
