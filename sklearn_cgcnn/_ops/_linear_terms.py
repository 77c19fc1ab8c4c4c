r"""The terms that sites and edge features contribute to the arguments of the gates.

:mod:`sklearn_cgcnn._ops._interface` defines terms. They are rows of one tensor: first
those of the sites as centers, then those of the sites as neighbors, then those of the
edge features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sklearn_cgcnn._ops._precision import multiply
from sklearn_cgcnn._ops._threads import run_over_ranges, sum_over_ranges


def linear_terms(
    sites: Tensor,
    weight: Tensor,
    site_ranges: Sequence[tuple[int, int]],
    means: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Compute the terms of a linear map.

    Parameters
    ----------
    sites : Tensor of shape (n_sites, n_channels)
    weight : Tensor of shape (width, 2 * n_channels + n_features)
        Its dtype is what the sites are rounded to.
    site_ranges : sequence of tuple of int and int
        Ranges of sites (start, stop), one for each thread.
    means : tuple of Tensor of shape (n_channels,) or None, default=None
        Subtracted from the sites as centers and from the sites as neighbors. None
        subtracts nothing.

    Returns
    -------
    Tensor of shape (2 * n_sites + n_features, width)
    """
    center_weight, neighbor_weight, feature_weight = split_terms(
        weight.T, sites.shape[1]
    )
    terms = sites.new_empty(2 * len(sites) + len(feature_weight), len(weight))
    center_terms, neighbor_terms, feature_terms = split_terms(terms, len(sites))

    def multiply_range(start: int, stop: int) -> None:
        rows = slice(start, stop)
        centers = neighbors = sites[rows]
        if means is not None:
            centers, neighbors = (sites[rows] - mean for mean in means)
        multiply(centers, center_weight, out=center_terms[rows])
        multiply(neighbors, neighbor_weight, out=neighbor_terms[rows])

    run_over_ranges(multiply_range, site_ranges)
    feature_terms.copy_(feature_weight)
    return terms


def linear_map_gradients(
    grads: Tensor,
    sites: Tensor,
    weight: Tensor,
    site_ranges: Sequence[tuple[int, int]],
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of sites and weight from those of the terms.

    Parameters
    ----------
    grads : Tensor of shape (2 * n_sites + n_features, width)
        Gradients of the terms.
    sites : Tensor of shape (n_sites, n_channels)
    weight : Tensor of shape (width, 2 * n_channels + n_features)
    site_ranges : sequence of tuple of int and int
        Ranges of sites (start, stop), one for each thread.

    Returns
    -------
    grad_sites : Tensor of shape (n_sites, n_channels)
    grad_weight : Tensor of the shape of `weight`
    """
    n_sites, n_channels = sites.shape
    grad_sites = torch.empty_like(sites)
    sides = [slice(side * n_channels, (side + 1) * n_channels) for side in range(2)]

    def multiply_range(start: int, stop: int) -> Tensor:
        inputs = sites[start:stop].to(weight.dtype)
        grad_weight = grads.new_empty(weight.shape)
        out = grad_sites[start:stop]
        for side, columns in enumerate(sides):
            rows = grads[side * n_sites + start : side * n_sites + stop]
            rows = rows.to(weight.dtype)
            multiply(rows.T, inputs, out=grad_weight[:, columns])
            if side == 0:
                multiply(rows, weight[:, columns], out=out)
            elif weight.dtype == out.dtype:
                out.addmm_(rows, weight[:, columns])
            else:
                out += rows @ weight[:, columns]
        return grad_weight

    grad_weight = sum_over_ranges(multiply_range, site_ranges)
    grad_weight[:, 2 * n_channels :] = grads[2 * n_sites :].T
    return grad_sites, grad_weight


def split_terms(rows: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split rows into the first n, the next n, and the rest.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, width)
    n : int
        Number of rows for the centers, which is also the number for the neighbors.

    Returns
    -------
    centers, neighbors, features : Tensor of shape (n, width) or (n_rows - 2 * n, width)
        Views of `rows`.
    """
    return rows[:n], rows[n : 2 * n], rows[2 * n :]
