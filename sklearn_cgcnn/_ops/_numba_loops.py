"""Loops over edges that Numba compiles.

Each loop runs over the edges of a range of centers, from ``start`` to ``stop``, unless
its docstring says otherwise. What it computes for one edge stays in the fastest cache.
The arrays are contiguous. Numbers are in single precision unless the docstring says
otherwise, and indices are 32-bit integers:

first_edges : (n_sites + 1,)
    Index of the first edge of each center, followed by the number of edges.
neighbors : (n_edges,)
    Neighbor of each edge.
columns, values : (n_edges, n_entries)
    Sparse edge features: their indices and their values.
weights : (n_edges,)
    Number of equal edges of the same center that each edge stands for.
multiplicity : (n_sites,)
    Number of equivalent sites of its crystal that each site stands for.
fractions : (n_edges,)
    Weight of each edge in the statistics: the fraction of all edges of the crystals
    that it stands for.
terms : (2 * n_sites + n_features, width)
    Terms of the sites as centers, of the sites as neighbors, and of the edge features.
scale, shift : (width,)
    Applied to the sum of terms of each edge. The first half belongs to the gates, the
    second half to the cores (the arguments of the activation).
is_silu : bool
    Whether the activation is the SiLU, and not the softplus.

The remaining arrays are buffers and results.
"""

from typing import Any

from sklearn_cgcnn._ops._numba_math import (
    ONE,
    ZERO,
    compile_loop,
    inline,
    sigmoid,
    softplus,
    softplus_slope,
)

#: What `index_edges` found.
INDEXED, OUT_OF_RANGE, NOT_SORTED = 0, 1, 2


@inline
def _sum_terms(
    terms: Any,
    columns: Any,
    values: Any,
    center: Any,
    neighbor: Any,
    edge: Any,
    first_feature_row: Any,
    y: Any,
) -> None:
    """Compute y, the sum of the terms of one edge."""
    width = len(y)
    for c in range(width):
        y[c] = terms[center, c] + terms[neighbor, c]
    n_entries = values.shape[1]
    # Four entries at a time, so that y is read and written less often.
    for k in range(0, n_entries - 3, 4):
        u0, r0 = values[edge, k], first_feature_row + columns[edge, k]
        u1, r1 = values[edge, k + 1], first_feature_row + columns[edge, k + 1]
        u2, r2 = values[edge, k + 2], first_feature_row + columns[edge, k + 2]
        u3, r3 = values[edge, k + 3], first_feature_row + columns[edge, k + 3]
        for c in range(width):
            y[c] += (u0 * terms[r0, c] + u1 * terms[r1, c]) + (
                u2 * terms[r2, c] + u3 * terms[r3, c]
            )
    for k in range(n_entries // 4 * 4, n_entries):
        u0, r0 = values[edge, k], first_feature_row + columns[edge, k]
        for c in range(width):
            y[c] += u0 * terms[r0, c]


@compile_loop
def index_edges(
    edge_index: Any,
    columns: Any,
    n_features: int,
    first_edges: Any,
    neighbors: Any,
) -> int:
    """Check the indices, and find the first edge of each center.

    `edge_index`, of shape (2, n_edges), is in 64-bit integers. Returns `OUT_OF_RANGE`
    if an index of a site or of a feature is, `NOT_SORTED` if the edges are not sorted
    by their centers, and otherwise `INDEXED`.
    """
    n_sites, last = len(first_edges) - 1, 0
    for e in range(edge_index.shape[1]):
        i, j = edge_index[0, e], edge_index[1, e]
        if i < 0 or i >= n_sites or j < 0 or j >= n_sites:
            return OUT_OF_RANGE
    for e in range(edge_index.shape[1]):
        i = edge_index[0, e]
        if i < last:
            return NOT_SORTED
        last = i
        first_edges[i + 1] = e + 1
        neighbors[e] = edge_index[1, e]
    for i in range(n_sites):
        first_edges[i + 1] = max(first_edges[i], first_edges[i + 1])
    least, most = 0, -1
    for e in range(columns.shape[0]):
        for k in range(columns.shape[1]):
            least, most = min(least, columns[e, k]), max(most, columns[e, k])
    return OUT_OF_RANGE if least < 0 or most >= n_features else INDEXED


@compile_loop
def sum_messages(
    start: int,
    stop: int,
    first_edges: Any,
    neighbors: Any,
    columns: Any,
    values: Any,
    weights: Any,
    terms: Any,
    scale: Any,
    shift: Any,
    is_silu: bool,
    buffer: Any,
    summed: Any,
    kept: Any,
) -> None:
    """Sum the weighted messages to each center, in `summed`.

    The gates of each edge, and its softplus or the arguments of its SiLU, are written
    to `kept`, of shape (n_edges, width), unless it has no rows. `buffer` has the shape
    (2, width).
    """
    n_sites, half = summed.shape
    width, y = 2 * half, buffer[0]
    for i in range(start, stop):
        for c in range(half):
            summed[i, c] = ZERO
        for e in range(first_edges[i], first_edges[i + 1]):
            j = n_sites + neighbors[e]
            _sum_terms(terms, columns, values, i, j, e, 2 * n_sites, y)
            for c in range(width):
                y[c] = y[c] * scale[c] + shift[c]
            weight, out = weights[e], kept[e] if len(kept) else buffer[1]
            if is_silu:
                for c in range(half):
                    gate, core = sigmoid(y[c]), y[half + c]
                    out[c], out[half + c] = gate, core
                    summed[i, c] += weight * gate * (core * sigmoid(core))
            else:
                for c in range(half):
                    gate, activated = sigmoid(y[c]), softplus(y[half + c])
                    out[c], out[half + c] = gate, activated
                    summed[i, c] += weight * gate * activated


@compile_loop
def sum_gradients(
    start: int,
    stop: int,
    first_edges: Any,
    neighbors: Any,
    columns: Any,
    values: Any,
    weights: Any,
    is_silu: bool,
    kept: Any,
    grad: Any,
    grad_y: Any,
    sums: Any,
    feature_sums: Any,
) -> None:
    """Sum the gradients of y over the edges that each term contributes to.

    `kept` is what `sum_messages` wrote. The rows of the centers in `sums` are
    overwritten. The sums of the neighbors, in `sums`, and those of the features, in
    `feature_sums`, are added to the values that these arrays hold.
    """
    n_sites, half = grad.shape
    width, n_entries = 2 * half, values.shape[1]
    for i in range(start, stop):
        for c in range(width):
            sums[i, c] = ZERO
        for e in range(first_edges[i], first_edges[i + 1]):
            j, weight = n_sites + neighbors[e], weights[e]
            if is_silu:
                for c in range(half):
                    gate, core = kept[e, c], kept[e, half + c]
                    grad_core, slope = weight * grad[i, c] * gate, sigmoid(core)
                    activated = core * slope
                    grad_y[c] = grad_core * activated * (ONE - gate)
                    grad_y[half + c] = grad_core * (slope + activated * (ONE - slope))
            else:
                for c in range(half):
                    gate, activated = kept[e, c], kept[e, half + c]
                    grad_core = weight * grad[i, c] * gate
                    grad_y[c] = grad_core * activated * (ONE - gate)
                    grad_y[half + c] = grad_core * softplus_slope(activated)
            for c in range(width):
                sums[i, c] += grad_y[c]
            for c in range(width):
                sums[j, c] += grad_y[c]
            for k in range(n_entries):
                u, r = values[e, k], columns[e, k]
                for c in range(width):
                    feature_sums[r, c] += u * grad_y[c]


@compile_loop
def sum_features(
    first_edges: Any,
    neighbors: Any,
    columns: Any,
    values: Any,
    weights: Any,
    multiplicity: Any,
    fractions: Any,
    mean_coefficients: Any,
    by_site: Any,
    covariance: Any,
) -> None:
    """Compute the fraction of each edge, and weighted moments of the edge features.

    This loop runs over all sites. `mean_coefficients`, of shape
    (2 * n_sites + n_features,), are the means of the coefficients of the terms.
    `covariance`, of shape (n_features, n_features), is the covariance matrix of the
    features. `by_site`, of shape (2 * n_sites, n_features), are the sums of fractions
    times features, without their mean, over the edges from each site and over those to
    each site. These three arrays are zero before. `mean_coefficients` and `covariance`
    are in double precision, because a number of almost the same size is subtracted from
    the covariances.
    """
    n_sites, n_entries, n_features = len(multiplicity), values.shape[1], len(covariance)
    total = 0.0
    for i in range(n_sites):
        for e in range(first_edges[i], first_edges[i + 1]):
            total += weights[e] * multiplicity[i]
    for i in range(n_sites):
        for e in range(first_edges[i], first_edges[i + 1]):
            j, fraction = n_sites + neighbors[e], weights[e] * multiplicity[i] / total
            fractions[e] = fraction
            mean_coefficients[i] += fraction
            mean_coefficients[j] += fraction
            for k in range(n_entries):
                u, r = fraction * values[e, k], columns[e, k]
                by_site[i, r] += u
                by_site[j, r] += u
                mean_coefficients[2 * n_sites + r] += u
                for m in range(n_entries):
                    covariance[r, columns[e, m]] += u * values[e, m]
    mean = mean_coefficients[2 * n_sites :]
    for r in range(n_features):
        for s in range(n_features):
            covariance[r, s] -= mean[r] * mean[s]
    for i in range(2 * n_sites):
        for r in range(n_features):
            by_site[i, r] -= mean_coefficients[i] * mean[r]
