"""Gradients averaged along lines, which integrated gradients are made of."""

from collections.abc import Callable

import torch
from torch import Tensor

# Exact for polynomials of degree 31. The functions of a readout are smooth.
_N_POINTS = 16


def mean_gradients(function: Callable[[Tensor], Tensor], ends: Tensor) -> Tensor:
    r"""Average the gradients of a function along the lines from zero to some points.

    .. math:: \int_0^1 \nabla f(\alpha x) \, d\alpha

    Parameters
    ----------
    function : callable
        Takes a tensor of shape (n_rows, n_channels), and returns one of shape
        (n_rows, n_outputs). Each row of the result depends on the same row alone.
    ends : Tensor of shape (n_rows, n_channels)
        The points x.

    Returns
    -------
    Tensor of shape (n_rows, n_outputs, n_channels)
    """
    total = torch.zeros((), dtype=ends.dtype, device=ends.device)
    for place, weight in zip(*_gauss_legendre(_N_POINTS), strict=True):
        with torch.enable_grad():
            points = (place * ends).detach().requires_grad_()
            columns = function(points).unbind(dim=1)
            gradients = [
                torch.autograd.grad(column.sum(), points, retain_graph=True)[0]
                for column in columns
            ]
        total = total + weight * torch.stack(gradients, dim=1)
    return total


def _gauss_legendre(n_points: int) -> tuple[list[float], list[float]]:
    """Return places in [0, 1] and weights of Gauss's quadrature (Golub and Welsch)."""
    k = torch.arange(1, n_points, dtype=torch.float64)
    beside_diagonal = k / torch.sqrt(4 * k**2 - 1)
    jacobi = torch.diag(beside_diagonal, 1) + torch.diag(beside_diagonal, -1)
    places, vectors = torch.linalg.eigh(jacobi)
    return ((1 + places) / 2).tolist(), (vectors[0] ** 2).tolist()
