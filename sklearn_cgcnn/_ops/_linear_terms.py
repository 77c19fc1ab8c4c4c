r"""What sites and edge features add to the arguments of gates and cores.

The linear map of :math:`v_i \oplus v_j \oplus u_k` for an edge k from site i to site j
is a sum of terms. There is one for each site as a center, one for each site as a
neighbor, and one for each edge feature, here one below the other in this order.
"""

from collections.abc import Sequence

from torch import Tensor

from sklearn_cgcnn._ops._precision import multiply
from sklearn_cgcnn._ops._threads import run_parts


def terms_of(
    sites: Tensor,
    weight: Tensor,
    parts: Sequence[tuple[int, int]],
    means: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Compute the terms of a linear map.

    Parameters
    ----------
    sites : Tensor of shape (n_sites, n_channels)
    weight : Tensor of shape (width, 2 * n_channels + n_edge_features)
        Its type is what the sites are rounded to.
    parts : sequence of tuple of int and int
        Runs of the sites, one for each thread.
    means : tuple of Tensor of shape (n_channels,) or None, default=None
        What to subtract from sites as centers, and as neighbors. None for nothing.

    Returns
    -------
    Tensor of shape (2 * n_sites + n_edge_features, width)
    """
    of_center, of_neighbor, of_edge = split_terms(weight.T, sites.shape[1])
    terms = sites.new_empty(2 * len(sites) + len(of_edge), len(weight))
    as_centers, as_neighbors, of_features = split_terms(terms, len(sites))

    def map_part(start: int, stop: int) -> None:
        part = slice(start, stop)
        centers = neighbors = sites[part]
        if means is not None:
            centers, neighbors = (sites[part] - mean for mean in means)
        multiply(centers, of_center, out=as_centers[part])
        multiply(neighbors, of_neighbor, out=as_neighbors[part])

    run_parts(map_part, parts)
    of_features.copy_(of_edge)
    return terms


def split_terms(rows: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Part off n rows, the next n, and the rest.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, width)
    n : int

    Returns
    -------
    tuple of Tensor
    """
    return rows[:n], rows[n : 2 * n], rows[2 * n :]
