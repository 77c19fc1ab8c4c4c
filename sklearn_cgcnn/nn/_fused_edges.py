"""Edges with sums that torch compiles, each to a few kernels of a GPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sklearn_cgcnn.nn._edge_basis import lay_out
from sklearn_cgcnn.nn._edges import Messages
from sklearn_cgcnn.nn._terms import terms_of


class FusedEdges:
    """All edges of a batch at once, with messages that never leave a kernel.

    Parameters
    ----------
    edge_index : Tensor of shape (2, n_edges), int64
    edge_weights : Tensor of shape (n_edges,)
        How many equal edges of its centre each stands for.
    n_sites : int
    columns, values : Tensor of shape (n_edges, n_entries)
        Edge features, as :meth:`EdgeBasis.entries` gives them.
    n_edge_features : int
    """

    def __init__(
        self,
        edge_index: Tensor,
        edge_weights: Tensor,
        n_sites: int,
        columns: Tensor,
        values: Tensor,
        n_edge_features: int,
    ) -> None:
        self.n_sites, self.values, self.weights = n_sites, values, edge_weights
        self.features = lay_out(columns, values, n_edge_features)
        centre, neighbour = edge_index
        # Of the terms, which make up each edge, of shape (2 + n_entries, n_edges).
        features = (columns.long() + 2 * n_sites).unbind(dim=1)
        self.rows = torch.stack([centre, neighbour + n_sites, *features])

    @property
    def parts(self) -> list[tuple[int, int]]:
        """As :attr:`Edges.parts`."""
        return [(0, self.n_sites)]

    def messages_of_terms(
        self, terms: Tensor, scale: Tensor, shift: Tensor
    ) -> Messages:
        """As :meth:`Edges.messages_of_terms`."""
        return _FusedMessages(self, terms, scale, shift)

    def messages_of_map(
        self, sites: Tensor, weight: Tensor, scale: Tensor, shift: Tensor
    ) -> Messages:
        """As :meth:`Edges.messages_of_map`."""
        return _FusedMessages(self, terms_of(sites, weight, self.parts), scale, shift)

    def sum_features(self, shares: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As :meth:`Edges.sum_features`."""
        sums: tuple[Tensor, Tensor, Tensor, Tensor] = _compiled(_sum_features)(
            self.rows, self.features, shares, self.n_sites
        )
        return sums

    def add_ends(
        self, shares: Tensor, share_of_site: Tensor, terms: Tensor, sums: Tensor
    ) -> Tensor:
        """As :meth:`Edges.add_ends`."""
        var: Tensor = _compiled(_add_ends)(
            self.rows, shares, share_of_site, terms, sums
        )
        return var

    def take_out(
        self,
        sums: Tensor,
        terms: Tensor,
        shares: Tensor,
        mean: Tensor,
        covariances: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """As :meth:`Edges.take_out`."""
        to_scale: Tensor = _compiled(_take_out)(
            sums, terms, shares, mean, covariances, inverse_std
        )
        return to_scale


class _FusedMessages:
    """Messages of terms, scaled and shifted."""

    def __init__(
        self, edges: FusedEdges, terms: Tensor, scale: Tensor, shift: Tensor
    ) -> None:
        self._edges = edges
        self._args = edges.rows, edges.values, edges.weights, terms, scale, shift

    def sum(self) -> Tensor:
        """As :meth:`Messages.sum`."""
        summed: Tensor = _compiled(_sum_messages)(*self._args, self._edges.n_sites)
        return summed

    def sum_gradients(self, grad: Tensor) -> Tensor:
        """As :meth:`Messages.sum_gradients`."""
        sums: Tensor = _compiled(_sum_gradients)(
            *self._args, grad, self._edges.features
        )
        return sums


def _sum_features(
    rows: Tensor, features: Tensor, shares: Tensor, n_sites: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    mean = shares @ features
    centred = features - mean
    weighted = centred * shares[:, None]
    by_site = shares.new_zeros(2 * n_sites, features.shape[1])
    by_site = by_site.index_add(0, rows[0], weighted).index_add(0, rows[1], weighted)
    share_of_site = shares.new_zeros(2 * n_sites)
    share_of_site = share_of_site.index_add(0, rows[0], shares)
    share_of_site = share_of_site.index_add(0, rows[1], shares)
    return mean, centred.T @ weighted, by_site, share_of_site


def _add_ends(
    rows: Tensor, shares: Tensor, share_of_site: Tensor, terms: Tensor, sums: Tensor
) -> Tensor:
    sums.addcmul_(terms, share_of_site[:, None])
    sums.index_add_(0, rows[0], terms[rows[1]] * shares[:, None])
    sums.index_add_(0, rows[1], terms[rows[0]] * shares[:, None])
    return (terms * sums).sum(dim=0)


def _take_out(
    sums: Tensor,
    terms: Tensor,
    shares: Tensor,
    mean: Tensor,
    covariances: Tensor,
    inverse_std: Tensor,
) -> Tensor:
    sums -= shares[:, None] * mean
    to_scale = (terms * sums).sum(dim=0) * inverse_std
    sums -= covariances * (inverse_std * to_scale)
    return to_scale


def _gather(
    rows: Tensor, values: Tensor, terms: Tensor, scale: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute what the gates and the cores are functions of."""
    y = terms[rows[0]] + terms[rows[1]]
    for k in range(values.shape[1]):  # one by one, which is not a sum to a compiler
        y = y + values[:, k, None] * terms[rows[2 + k]]
    gate, core = torch.addcmul(shift, y, scale).chunk(2, dim=1)
    return gate, core


def _sum_messages(
    rows: Tensor,
    values: Tensor,
    weights: Tensor,
    terms: Tensor,
    scale: Tensor,
    shift: Tensor,
    n_sites: int,
) -> Tensor:
    gate, core = _gather(rows, values, terms, scale, shift)
    messages = torch.sigmoid(gate) * softplus(core) * weights[:, None]
    return terms.new_zeros(n_sites, core.shape[1]).index_add(0, rows[0], messages)


def _sum_gradients(
    rows: Tensor,
    values: Tensor,
    weights: Tensor,
    terms: Tensor,
    scale: Tensor,
    shift: Tensor,
    grad: Tensor,
    features: Tensor,
) -> Tensor:
    gate, core = _gather(rows, values, terms, scale, shift)
    gate = torch.sigmoid(gate)
    to_core = grad[rows[0]] * weights[:, None] * gate
    to_gate = to_core * softplus(core) * (1 - gate)
    to_y = torch.cat([to_gate, to_core * torch.sigmoid(core)], dim=1)
    of_ends = terms.new_zeros(2 * len(grad), terms.shape[1])
    of_ends = of_ends.index_add(0, rows[0], to_y).index_add(0, rows[1], to_y)
    return torch.cat([of_ends, features.T @ to_y])


@cache
def _compiled(function: Any) -> Any:
    """Compile for batches of any size, when it is first asked for."""
    return torch.compile(function, dynamic=True)
