"""The optimizer Muon, which makes the updates of matrices orthogonal."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from sklearn_cgcnn._ops import multiply_stacks

# Matrices with fewer rows or columns are left to AdamW, above all the output layer.
_SMALLEST_SIDE = 8
# Blocks of rows take less than half the time of whole matrices, with which errors are
# no lower. Gate and message of the default convolution are one block each.
_BLOCK_ROWS = 64
_N_ITERATIONS = 5
_COEFFICIENTS = 3.4445, -4.775, 2.0315  # of X, X^3 and X^5


class Muon(AdamW):
    """Muon for matrices, and AdamW for all other parameters.

    The momentum of the gradient of a matrix is replaced by a nearly orthogonal matrix:
    all its singular values are brought close to one. An update then changes all
    directions alike, instead of a few that dominate the gradient. It is scaled to the
    size of an update by AdamW, so that both share a learning rate and a weight decay.
    If the number of rows is a multiple of 64, each block of 64 rows is treated as a
    matrix of its own.

    Parameters
    ----------
    params, lr, betas, weight_decay, **kwargs
        Parameters of :class:`torch.optim.AdamW`. The first of `betas` is the momentum
        of matrices too.

    References
    ----------
    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
    https://kellerjordan.github.io/posts/muon. J. Liu et al., arXiv:2502.16982 (2025),
    for the scale of the updates.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Parameters
        ----------
        closure : callable, default=None
            Computes gradients and loss.

        Returns
        -------
        object
            What the closure returns.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = {}
        for group in self.param_groups:
            matrices = [each for each in group["params"] if _has_muon(each)]
            # AdamW passes over parameters without a gradient.
            for each in matrices:
                gradients[each], each.grad = each.grad, None
            if matrices:
                self._update(matrices, [gradients[each] for each in matrices], group)
        super().step()
        for each, gradient in gradients.items():
            each.grad = gradient
        return loss

    @torch.no_grad()
    def _update(
        self, matrices: list[Tensor], gradients: list[Tensor], group: dict[str, Any]
    ) -> None:
        momentum, lr = group["betas"][0], group["lr"]
        averages = [self._average(each) for each in matrices]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        directions = torch._foreach_lerp(gradients, averages, momentum)  # as Nesterov's
        torch._foreach_mul_(matrices, 1 - lr * group["weight_decay"])
        torch._foreach_add_(matrices, _updates(directions), alpha=-lr)

    def _average(self, matrix: Tensor) -> Tensor:
        """Return the momentum of a matrix, which begins with zero."""
        state = self.state[matrix]
        if not state:
            # AdamW asks for the number of steps when it loads a state.
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(matrix)
        average: Tensor = state["exp_avg"]
        return average


def _has_muon(parameter: nn.Parameter) -> bool:
    is_matrix = parameter.ndim == 2 and min(parameter.shape) >= _SMALLEST_SIDE
    return is_matrix and parameter.grad is not None


def _updates(directions: Sequence[Tensor]) -> list[Tensor]:
    """Make matrices orthogonal, block by block, and scale them as updates by AdamW."""
    of_shape = defaultdict(list)
    for i, direction in enumerate(directions):
        n_rows, n_columns = direction.shape
        height = n_rows if n_rows % _BLOCK_ROWS else _BLOCK_ROWS
        of_shape[height, n_columns].append(i)
    stacks = [
        torch.cat([directions[i] for i in indices]).view(-1, *shape)
        for shape, indices in of_shape.items()
    ]
    updates = list(directions)
    for indices, stack in zip(of_shape.values(), orthogonalize(stacks), strict=True):
        stack.mul_(0.2 * max(stack.shape[1:]) ** 0.5)
        lengths = [len(directions[i]) for i in indices]
        for i, update in zip(indices, stack.flatten(0, 1).split(lengths), strict=True):
            updates[i] = update
    return updates


def orthogonalize(stacks: Sequence[Tensor]) -> list[Tensor]:
    r"""Bring all singular values of matrices near one.

    The iteration of Newton and Schulz, with the coefficients of Jordan et al. (2024):
    after five steps, singular values from 0.03 to 1 of the largest lie between 0.6
    and 1.3.

    Parameters
    ----------
    stacks : sequence of Tensor of shape (n_matrices, n_rows, n_columns)
        Each stack has matrices of another shape. They must be finite.

    Returns
    -------
    list of Tensor of shape (n_matrices, n_rows, n_columns)

    Notes
    -----
    A step replaces X by :math:`p(X X^T) X`, with a polynomial p. The result is
    therefore the first X times a factor that depends on :math:`X X^T` alone. This is a
    smaller matrix than X, and all stacks with the same number of rows share its steps.
    """
    wide = [each.mT if each.shape[1] > each.shape[2] else each for each in stacks]
    of_side = defaultdict(list)
    for i, stack in enumerate(wide):
        wide[i] = stack / (torch.linalg.matrix_norm(stack, keepdim=True) + 1e-7)
        of_side[stack.shape[1]].append(i)
    for indices in of_side.values():
        lengths = [len(wide[i]) for i in indices]
        squares = torch.cat([multiply_stacks(wide[i], wide[i].mT) for i in indices])
        factors = _factors(squares).split(lengths)
        for i, factor in zip(indices, factors, strict=True):
            wide[i] = multiply_stacks(factor, wide[i])
    return [
        result.mT if stack.shape[1] > stack.shape[2] else result
        for stack, result in zip(stacks, wide, strict=True)
    ]


def _factors(squares: Tensor) -> Tensor:
    """Compute the factors that :func:`orthogonalize` multiplies matrices X by.

    Parameters
    ----------
    squares : Tensor of shape (n_matrices, n_rows, n_rows)
        The products :math:`X X^T`, which are overwritten.

    Returns
    -------
    Tensor of the shape of `squares`
    """
    first, second, third = _COEFFICIENTS
    # Their memory is used again in each step, because new memory is slow at first.
    polynomial, product, factors = (torch.empty_like(squares) for _ in range(3))
    for step in range(_N_ITERATIONS):
        multiply_stacks(squares, squares, out=polynomial)
        polynomial.mul_(third).add_(squares, alpha=second)
        polynomial.diagonal(dim1=1, dim2=2).add_(first)
        # All of these matrices commute, because they are polynomials of one matrix.
        if step == 0:
            factors.copy_(polynomial)
        else:
            multiply_stacks(polynomial, factors, out=product)
            factors, product = product, factors
        if step < _N_ITERATIONS - 1:
            multiply_stacks(polynomial, squares, out=product)
            multiply_stacks(polynomial, product, out=squares)
    return factors
