"""Views of arrays that hold two sides, centers and neighbors, one after the other."""

from typing import Any


def columns_by_side(weight: Any, n_channels: int) -> Any:
    """Return what a weight applies to each half of its inputs.

    For the arguments of the gates these are the sites as centers and as neighbors.

    Parameters
    ----------
    weight : ndarray of shape (width, 2 * n_channels + n_others)
    n_channels : int

    Returns
    -------
    ndarray of shape (2, n_channels, width)
        A view of the weight.
    """
    columns = weight[:, : 2 * n_channels]
    return columns.reshape(len(weight), 2, n_channels).transpose(1, 2, 0)


def rows_by_side(rows: Any, n_sites: int) -> Any:
    """Return the rows that belong to the sites, as centers and as neighbors.

    Parameters
    ----------
    rows : ndarray of shape (2 * n_sites + n_others, width)
    n_sites : int

    Returns
    -------
    ndarray of shape (2, n_sites, width)
        A view of the rows.
    """
    return rows[: 2 * n_sites].reshape(2, n_sites, rows.shape[1])
