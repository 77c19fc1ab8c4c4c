"""Edges with sums that torch compiles, each to a few kernels of a GPU."""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sklearn_cgcnn._ops._interface import EdgeList, Messages

# So many features are added up by a matrix product, rather than one by one.
_MANY = 16


class InductorEdges:
    """Edges with sums that torch compiles, of all of them at once.

    Parameters
    ----------
    edges : EdgeList
    """

    def __init__(self, edges: EdgeList) -> None:
        self.edges = edges
        center, neighbor = edges.edge_index
        features = (edges.columns.long() + 2 * edges.n_sites).unbind(dim=1)
        # Of the terms, which make up each edge, of shape (2 + n_entries, n_edges).
        self.rows = torch.stack([center, neighbor + edges.n_sites, *features])

    @property
    def parts(self) -> list[tuple[int, int]]:
        """As :attr:`Edges.parts`."""
        return [(0, self.edges.n_sites)]

    def messages(self, terms: Tensor, scale: Tensor, shift: Tensor) -> Messages:
        """As :meth:`Edges.messages`."""
        return _InductorMessages(self, terms, scale, shift)

    def sum_features(self, shares: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As :meth:`Edges.sum_features`."""
        sums: tuple[Tensor, Tensor, Tensor, Tensor] = _compiled(_sum_features)(
            self.rows, self.edges.features, shares, self.edges.n_sites
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
        to_shift: Tensor,
        covariances: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """As :meth:`Edges.take_out`."""
        to_scale: Tensor = _compiled(_take_out)(
            sums, terms, shares, to_shift, covariances, inverse_std
        )
        return to_scale


class _InductorMessages:
    """Messages of terms, scaled and shifted."""

    def __init__(
        self, edges: InductorEdges, terms: Tensor, scale: Tensor, shift: Tensor
    ) -> None:
        self._edges = edges.edges
        of_edges = self._edges.values, self._edges.features, self._edges.weights
        self._args = edges.rows, *of_edges, terms, scale, shift

    def sum(self) -> Tensor:
        """As :meth:`Messages.sum`."""
        summed: Tensor = _compiled(_sum_messages)(*self._args, self._edges.n_sites)
        return summed

    def sum_gradients(self, grad: Tensor) -> Tensor:
        """As :meth:`Messages.sum_gradients`."""
        sums: Tensor = _compiled(_sum_gradients)(*self._args, grad)
        return sums


def _sum_features(
    rows: Tensor, features: Tensor, shares: Tensor, n_sites: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute what :meth:`Edges.sum_features` does."""
    mean = shares @ features
    centerd = features - mean
    weighted = centerd * shares[:, None]
    by_site = shares.new_zeros(2 * n_sites, features.shape[1])
    by_site = by_site.index_add(0, rows[0], weighted).index_add(0, rows[1], weighted)
    share_of_site = shares.new_zeros(2 * n_sites)
    share_of_site = share_of_site.index_add(0, rows[0], shares)
    share_of_site = share_of_site.index_add(0, rows[1], shares)
    return mean, centerd.T @ weighted, by_site, share_of_site


def _add_ends(
    rows: Tensor, shares: Tensor, share_of_site: Tensor, terms: Tensor, sums: Tensor
) -> Tensor:
    """Compute what :meth:`Edges.add_ends` does."""
    sums.addcmul_(terms, share_of_site[:, None])
    sums.index_add_(0, rows[0], terms[rows[1]] * shares[:, None])
    sums.index_add_(0, rows[1], terms[rows[0]] * shares[:, None])
    return (terms * sums).sum(dim=0)


def _take_out(
    sums: Tensor,
    terms: Tensor,
    shares: Tensor,
    to_shift: Tensor,
    covariances: Tensor,
    inverse_std: Tensor,
) -> Tensor:
    """Compute what :meth:`Edges.take_out` does."""
    sums -= shares[:, None] * to_shift
    to_scale = (terms * sums).sum(dim=0) * inverse_std
    sums -= covariances * (inverse_std * to_scale)
    return to_scale


def _gather(
    rows: Tensor,
    values: Tensor,
    features: Tensor,
    terms: Tensor,
    scale: Tensor,
    shift: Tensor,
) -> tuple[Tensor, Tensor]:
    """Compute what the gates and the cores are functions of."""
    y = terms[rows[0]] + terms[rows[1]]
    if values.shape[1] > _MANY:
        y = y + features @ terms[len(terms) - features.shape[1] :]
    else:  # one by one, which is not a sum to a compiler
        for k in range(values.shape[1]):
            y = y + values[:, k, None] * terms[rows[2 + k]]
    gate, core = torch.addcmul(shift, y, scale).chunk(2, dim=1)
    return gate, core


def _sum_messages(
    rows: Tensor,
    values: Tensor,
    features: Tensor,
    weights: Tensor,
    terms: Tensor,
    scale: Tensor,
    shift: Tensor,
    n_sites: int,
) -> Tensor:
    """Compute what :meth:`Messages.sum` does."""
    gate, core = _gather(rows, values, features, terms, scale, shift)
    messages = torch.sigmoid(gate) * softplus(core) * weights[:, None]
    return terms.new_zeros(n_sites, core.shape[1]).index_add(0, rows[0], messages)


def _sum_gradients(
    rows: Tensor,
    values: Tensor,
    features: Tensor,
    weights: Tensor,
    terms: Tensor,
    scale: Tensor,
    shift: Tensor,
    grad: Tensor,
) -> Tensor:
    """Compute what :meth:`Messages.sum_gradients` does."""
    gate, core = _gather(rows, values, features, terms, scale, shift)
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
