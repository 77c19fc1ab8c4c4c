"""Sums over edges by operations of torch, over one block of edges at a time.

Without blocks, the messages of a batch take a dozen passes over tensors of shape
(n_edges, 2 * n_channels). Memory bandwidth then limits the speed: a processor could
compute many times faster than it can read and write these tensors. Here each step is
done for a block of edges that fits into the processor's cache, and no intermediate
result is kept. Computing it again for the gradient takes less time than writing it to
memory and reading it back.
"""

from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import silu

from sklearn_cgcnn._ops._edge_list import EdgeList
from sklearn_cgcnn._ops._interface import (
    Activation,
    EdgeMoments,
    GatedMessages,
)
from sklearn_cgcnn._ops._linear_terms import split_terms
from sklearn_cgcnn._ops._moments import MomentsBySite
from sklearn_cgcnn._ops._torch_blocks import split_into_blocks

# Above this limit a softplus equals its argument, and below minus this limit it is
# negligible in a sum. In single precision exp overflows at 88.7.
_EXP_LIMIT = 80.0


class TorchEdgeSums:
    """Sums by operations of torch, over one block of edges at a time.

    Parameters
    ----------
    edges : EdgeList
        Sorted by their centers, unless `block_size` is None.
    block_size : int or None
        Number of edges in a block. None puts all edges into one block, and reads no
        value.
    """

    has_update_layers: ClassVar[bool] = False

    def __init__(self, edges: EdgeList, block_size: int | None) -> None:
        self.edges, self.blocks = edges, split_into_blocks(edges, block_size)
        self._can_read_values = block_size is not None

    @property
    def site_ranges(self) -> list[tuple[int, int]]:
        """Return a single range with all sites: torch has threads of its own."""
        return [(0, self.edges.n_sites)]

    def messages(
        self,
        terms: Tensor,
        scale: Tensor,
        shift: Tensor,
        activation: Activation = "softplus",
    ) -> GatedMessages:
        """Implement :meth:`EdgeSums.messages`."""
        tables = _scaled_tables(terms, scale, shift, self.edges.n_sites)
        if activation == "silu":
            return _TorchMessages(self, tables, _Silu())
        is_small = self._can_read_values and self._has_small_sums(tables[1])
        return _TorchMessages(self, tables, _Softplus(is_small))

    def _has_small_sums(self, table: Tensor) -> bool:
        """Return whether no edge's sum of table rows can exceed the limit of exp."""
        if not self.blocks:
            return True
        n = 2 * self.edges.n_sites
        bound = 2 * _max_abs(table[:n])
        if len(table) > n:
            bound = bound + _max_abs(table[n:]) * self._max_feature_sum
        return bool(bound < _EXP_LIMIT)

    @cached_property
    def _max_feature_sum(self) -> Tensor:
        """Return the largest sum of the absolute values of an edge's features."""
        return self.edges.values.abs().sum(dim=1).max()

    def moments(self, multiplicity: Tensor) -> EdgeMoments:
        """Implement :meth:`EdgeSums.moments`."""
        return MomentsBySite(self, multiplicity)

    def feature_moments(
        self, fractions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Implement :meth:`MomentSums.feature_moments`."""
        features, width = self.edges.features, self.edges.n_features
        mean = features.T @ fractions
        # The last column sums ones, and thus the fractions.
        by_site = fractions.new_zeros(2 * self.edges.n_sites, width + 1)
        by_center, by_neighbor = by_site.chunk(2)
        covariance = fractions.new_zeros(width, width)
        for block in self.blocks:
            factors = fractions[block.edge_range]
            rows = fractions.new_ones(len(block), width + 1)
            centered = torch.sub(features[block.edge_range], mean, out=rows[:, :-1])
            block.add_to_centers(by_center, rows, factors=factors)
            block.add_to_neighbors(by_neighbor, rows, factors=factors)
            covariance.addmm_(centered.T, centered * factors[:, None])
        return mean, covariance, by_site[:, :-1], by_site[:, -1]

    def add_endpoint_terms(
        self, fractions: Tensor, site_coefficients: Tensor, terms: Tensor, sums: Tensor
    ) -> Tensor:
        """Implement :meth:`MomentSums.add_endpoint_terms`."""
        sums.addcmul_(terms, site_coefficients[:, None])
        center_terms, neighbor_terms = terms.chunk(2)
        center_sums, neighbor_sums = sums.chunk(2)
        for block in self.blocks:
            factors = fractions[block.edge_range]
            block.add_to_centers(center_sums, neighbor_terms, block.neighbor, factors)
            block.add_to_neighbors(neighbor_sums, center_terms, block.center, factors)
        return (terms * sums).sum(dim=0)

    def project_gradients(
        self,
        sums: Tensor,
        terms: Tensor,
        mean_coefficients: Tensor,
        grad_shift: Tensor,
        covariances: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """Implement :meth:`MomentSums.project_gradients`."""
        sums.addr_(mean_coefficients, grad_shift, alpha=-1)
        grad_scale = (terms * sums).sum(dim=0).mul_(inverse_std)
        sums.addcmul_(covariances, inverse_std * grad_scale, value=-1)
        return grad_scale


class _TorchMessages:
    """Messages of the edges in blocks.

    Parameters
    ----------
    sums : TorchEdgeSums
    tables : Tensor of shape (2, n_terms, n_channels)
        Scaled and shifted terms of the negative gate arguments, and of the core
        arguments. The arguments of an edge are sums of their rows.
    activation : _Softplus or _Silu
    """

    def __init__(
        self, sums: TorchEdgeSums, tables: Tensor, activation: "_Softplus | _Silu"
    ) -> None:
        self._sums, self._tables, self._activation = sums, tables, activation

    def sum(self, keep: bool = True) -> Tensor:
        """Implement :meth:`GatedMessages.sum`."""
        n_sites = self._sums.edges.n_sites
        summed = self._tables.new_zeros(n_sites, self._tables.shape[2])
        for block in self._sums.blocks:
            negative_gate, core = (block.sum_terms(table) for table in self._tables)
            messages = self._activation.value(core)
            messages /= negative_gate.exp_().add_(1)
            block.add_to_centers(summed, messages, factors=block.weights)
        return summed

    def sum_gradients(self, grad: Tensor) -> Tensor:
        """Implement :meth:`GatedMessages.sum_gradients`."""
        n_sites, half = grad.shape
        blocks, tables = self._sums.blocks, self._tables
        all_features = self._sums.edges.features
        sums = grad.new_zeros(tables.shape[1], 2 * half)
        center_sums, neighbor_sums, feature_sums = split_terms(sums, n_sites)
        buffer = grad.new_empty(max(map(len, blocks), default=0), 2 * half)
        for block in blocks:
            negative_gate, core = (block.sum_terms(table) for table in tables)
            gate = negative_gate.exp_().add_(1).reciprocal_()
            grad_y = buffer[: len(block)]
            grad_core = block.weighted_rows_of_centers(grad).mul_(gate)
            value = self._activation.backward(core, grad_core, out=grad_y[:, half:])
            # The derivative of a gate s is s * (1 - s).
            grad_gate = grad_core.mul_(value)
            torch.addcmul(grad_gate, grad_gate, gate, value=-1, out=grad_y[:, :half])
            block.add_to_centers(center_sums, grad_y)
            block.add_to_neighbors(neighbor_sums, grad_y)
            features = all_features[block.edge_range, block.feature_range]
            feature_sums[block.feature_range].addmm_(features.T, grad_y)
        return sums


def _scaled_tables(terms: Tensor, scale: Tensor, shift: Tensor, n_sites: int) -> Tensor:
    """Scale and shift the terms, and split them into two contiguous tables.

    One is for the negative gate arguments and one for the core arguments. torch would
    take twice the time to gather rows from a strided half of a single table.
    """
    half = terms.shape[1] // 2
    scale, shift = (_negate_gates(each).view(2, half) for each in (scale, shift))
    tables = terms.new_empty(2, len(terms), half)
    rows, out = terms.view(-1, 2, half), tables.transpose(0, 1)
    # Each edge has one center, so only the rows of the centers are shifted.
    torch.addcmul(shift, rows[:n_sites], scale, out=out[:n_sites])
    torch.mul(rows[n_sites:], scale, out=out[n_sites:])
    return tables


def _negate_gates(values: Tensor) -> Tensor:
    """Change the sign of the first half, which belongs to the gates."""
    gates, cores = values.chunk(2)
    return torch.cat([-gates, cores])


def _max_abs(values: Tensor) -> Tensor:
    """Return the largest absolute value, in one pass over the values."""
    return torch.stack(values.aminmax()).abs().max()


class _Softplus:
    """The softplus of core arguments, log(1 + exp(x)).

    The absolute error is that of a number near one, even where the softplus is much
    smaller. That is enough for terms of a sum. Arguments may be overwritten.

    Parameters
    ----------
    is_small : bool
        Whether no argument can exceed the limit of exp.
    """

    def __init__(self, is_small: bool) -> None:
        self._is_small = is_small

    def value(self, core: Tensor) -> Tensor:
        """Compute the softplus."""
        return self._from_exp(core, self._one_plus_exp(core))

    def backward(self, core: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        """Return the softplus, and multiply a gradient by its slope into `out`."""
        one_plus_exp = self._one_plus_exp(core)
        # The slope is 1 - 1 / (1 + exp(x)).
        torch.addcdiv(grad, grad, one_plus_exp, value=-1, out=out)
        return self._from_exp(core, one_plus_exp)

    def _one_plus_exp(self, core: Tensor) -> Tensor:
        if self._is_small:
            return core.exp_().add_(1)
        return core.clamp(-_EXP_LIMIT, _EXP_LIMIT).exp_().add_(1)

    def _from_exp(self, core: Tensor, one_plus_exp: Tensor) -> Tensor:
        if self._is_small:  # the argument is overwritten
            return one_plus_exp.log()
        return torch.maximum(one_plus_exp.log(), core)


class _Silu:
    """The SiLU of core arguments, x / (1 + exp(-x))."""

    def value(self, core: Tensor) -> Tensor:
        """Compute the SiLU."""
        return silu(core)

    def backward(self, core: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        """Return the SiLU, and multiply a gradient by its slope into `out`."""
        sigmoid = torch.sigmoid(core)
        value = core.mul_(sigmoid)
        # The slope is s + x s (1 - s), with s the sigmoid.
        torch.addcmul(sigmoid + value, value, sigmoid, value=-1, out=out).mul_(grad)
        return value
