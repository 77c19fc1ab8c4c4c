"""Sums over edges that torch compiles, each to a few kernels of a GPU."""

from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import silu, softplus

from sklearn_cgcnn._ops._edge_list import EdgeList
from sklearn_cgcnn._ops._interface import (
    Activation,
    EdgeMoments,
    GatedMessages,
)
from sklearn_cgcnn._ops._moments import MomentsBySite

# Above this number of entries per edge, a matrix product with the dense features takes
# less time than adding the term of one entry after the other.
_MAX_SEPARATE_ENTRIES = 16


class InductorEdgeSums:
    """Sums over all edges at once, compiled by torch.

    Parameters
    ----------
    edges : EdgeList
    """

    has_update_layers: ClassVar[bool] = False

    def __init__(self, edges: EdgeList) -> None:
        self.edges = edges
        center, neighbor = edges.edge_index
        feature_rows = (edges.columns.long() + 2 * edges.n_sites).unbind(dim=1)
        #: Rows of the terms that each edge is the sum of, of shape
        #: (2 + n_entries, n_edges).
        self.term_index = torch.stack([center, neighbor + edges.n_sites, *feature_rows])

    @property
    def site_ranges(self) -> list[tuple[int, int]]:
        """Return a single range with all sites: a GPU divides the work itself."""
        return [(0, self.edges.n_sites)]

    def messages(
        self,
        terms: Tensor,
        scale: Tensor,
        shift: Tensor,
        activation: Activation = "softplus",
    ) -> GatedMessages:
        """Implement :meth:`EdgeSums.messages`."""
        return _InductorMessages(self, terms, scale, shift, activation)

    def moments(self, multiplicity: Tensor) -> EdgeMoments:
        """Implement :meth:`EdgeSums.moments`."""
        return MomentsBySite(self, multiplicity)

    def feature_moments(
        self, fractions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Implement :meth:`MomentSums.feature_moments`."""
        moments: tuple[Tensor, Tensor, Tensor, Tensor] = _compiled(_feature_moments)(
            self.term_index, self.edges.features, fractions, self.edges.n_sites
        )
        return moments

    def add_endpoint_terms(
        self, fractions: Tensor, site_coefficients: Tensor, terms: Tensor, sums: Tensor
    ) -> Tensor:
        """Implement :meth:`MomentSums.add_endpoint_terms`."""
        var: Tensor = _compiled(_add_endpoint_terms)(
            self.term_index, fractions, site_coefficients, terms, sums
        )
        return var

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
        grad_scale: Tensor = _compiled(_project_gradients)(
            sums, terms, mean_coefficients, grad_shift, covariances, inverse_std
        )
        return grad_scale


class _InductorMessages:
    """Messages of all edges, computed anew for their sum and for their gradients."""

    def __init__(
        self,
        sums: InductorEdgeSums,
        terms: Tensor,
        scale: Tensor,
        shift: Tensor,
        activation: Activation,
    ) -> None:
        self._edges = edges = sums.edges
        edge_args = sums.term_index, edges.values, edges.features, edges.weights
        self._args = *edge_args, terms, scale, shift, activation

    def sum(self, keep: bool = True) -> Tensor:
        """Implement :meth:`GatedMessages.sum`."""
        summed: Tensor = _compiled(_sum_messages)(*self._args, self._edges.n_sites)
        return summed

    def sum_gradients(self, grad: Tensor) -> Tensor:
        """Implement :meth:`GatedMessages.sum_gradients`."""
        sums: Tensor = _compiled(_sum_gradients)(*self._args, grad)
        return sums


def _feature_moments(
    term_index: Tensor, features: Tensor, fractions: Tensor, n_sites: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute :meth:`MomentSums.feature_moments`."""
    center, neighbor = term_index[0], term_index[1]
    mean = fractions @ features
    centered = features - mean
    weighted = centered * fractions[:, None]
    by_site = fractions.new_zeros(2 * n_sites, features.shape[1])
    by_site = by_site.index_add(0, center, weighted).index_add(0, neighbor, weighted)
    site_coefficients = fractions.new_zeros(2 * n_sites)
    site_coefficients = site_coefficients.index_add(0, center, fractions)
    site_coefficients = site_coefficients.index_add(0, neighbor, fractions)
    return mean, centered.T @ weighted, by_site, site_coefficients


def _add_endpoint_terms(
    term_index: Tensor,
    fractions: Tensor,
    site_coefficients: Tensor,
    terms: Tensor,
    sums: Tensor,
) -> Tensor:
    """Compute :meth:`MomentSums.add_endpoint_terms`."""
    center, neighbor = term_index[0], term_index[1]
    sums.addcmul_(terms, site_coefficients[:, None])
    sums.index_add_(0, center, terms[neighbor] * fractions[:, None])
    sums.index_add_(0, neighbor, terms[center] * fractions[:, None])
    return (terms * sums).sum(dim=0)


def _project_gradients(
    sums: Tensor,
    terms: Tensor,
    mean_coefficients: Tensor,
    grad_shift: Tensor,
    covariances: Tensor,
    inverse_std: Tensor,
) -> Tensor:
    """Compute :meth:`MomentSums.project_gradients`."""
    sums -= mean_coefficients[:, None] * grad_shift
    grad_scale = (terms * sums).sum(dim=0) * inverse_std
    sums -= covariances * (inverse_std * grad_scale)
    return grad_scale


def _gate_and_core_arguments(
    term_index: Tensor,
    values: Tensor,
    features: Tensor,
    terms: Tensor,
    scale: Tensor,
    shift: Tensor,
) -> tuple[Tensor, Tensor]:
    """Compute the arguments of the sigmoid and of the activation for each edge."""
    z = terms[term_index[0]] + terms[term_index[1]]
    if values.shape[1] > _MAX_SEPARATE_ENTRIES:
        z = z + features @ terms[len(terms) - features.shape[1] :]
    else:  # the compiler unrolls this loop into one expression, without a reduction
        for k in range(values.shape[1]):
            z = z + values[:, k, None] * terms[term_index[2 + k]]
    gate, core = torch.addcmul(shift, z, scale).chunk(2, dim=1)
    return gate, core


def _sum_messages(
    term_index: Tensor,
    values: Tensor,
    features: Tensor,
    weights: Tensor,
    terms: Tensor,
    scale: Tensor,
    shift: Tensor,
    activation: Activation,
    n_sites: int,
) -> Tensor:
    """Compute :meth:`GatedMessages.sum`."""
    gate, core = _gate_and_core_arguments(
        term_index, values, features, terms, scale, shift
    )
    activated = silu(core) if activation == "silu" else softplus(core)
    messages = torch.sigmoid(gate) * activated * weights[:, None]
    return terms.new_zeros(n_sites, core.shape[1]).index_add(0, term_index[0], messages)


def _sum_gradients(
    term_index: Tensor,
    values: Tensor,
    features: Tensor,
    weights: Tensor,
    terms: Tensor,
    scale: Tensor,
    shift: Tensor,
    activation: Activation,
    grad: Tensor,
) -> Tensor:
    """Compute :meth:`GatedMessages.sum_gradients`."""
    center, neighbor = term_index[0], term_index[1]
    gate, core = _gate_and_core_arguments(
        term_index, values, features, terms, scale, shift
    )
    gate = torch.sigmoid(gate)
    grad_core = grad[center] * weights[:, None] * gate
    activated, slope = softplus(core), torch.sigmoid(core)
    if activation == "silu":
        activated = core * slope
        slope = slope + activated * (1 - slope)
    grad_gate = grad_core * activated * (1 - gate)
    grad_y = torch.cat([grad_gate, grad_core * slope], dim=1)
    site_sums = terms.new_zeros(2 * len(grad), terms.shape[1])
    site_sums = site_sums.index_add(0, center, grad_y).index_add(0, neighbor, grad_y)
    return torch.cat([site_sums, features.T @ grad_y])


@cache
def _compiled(function: Any) -> Any:
    """Compile a function at its first use, for batches of any size."""
    return torch.compile(function, dynamic=True)
