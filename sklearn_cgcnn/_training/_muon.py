"""The optimizer Muon, which makes the updates of matrices orthogonal."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

# Matrices with fewer rows or columns are left to AdamW, above all the output layer.
_SMALLEST_SIDE = 8
# Blocks of rows take less than half the time of whole matrices, with which errors are
# no lower. Gate and message of the default convolution are one block each.
_BLOCK_ROWS = 64
_N_ITERATIONS = 5


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
            self._update(matrices, group)
            # AdamW passes over parameters without a gradient.
            for each in matrices:
                gradients[each], each.grad = each.grad, None
        super().step()
        for each, gradient in gradients.items():
            each.grad = gradient
        return loss

    @torch.no_grad()
    def _update(self, matrices: Iterable[nn.Parameter], group: dict[str, Any]) -> None:
        momentum, lr = group["betas"][0], group["lr"]
        directions = defaultdict(list)
        for matrix in matrices:
            gradient, state = matrix.grad, self.state[matrix]
            assert gradient is not None  # see `_has_muon`
            if not state:
                # AdamW asks for the number of steps when it loads a state.
                state["step"] = torch.zeros(())
                state["exp_avg"] = torch.zeros_like(matrix)
            state["exp_avg"].lerp_(gradient, 1 - momentum)
            direction = gradient.lerp(state["exp_avg"], momentum)  # as Nesterov's
            directions[matrix.shape].append((matrix, direction))
        for (n_rows, n_columns), pairs in directions.items():
            height = n_rows if n_rows % _BLOCK_ROWS else _BLOCK_ROWS
            blocks = torch.cat([each for _, each in pairs]).view(-1, height, n_columns)
            updates = orthogonalize(blocks).reshape(-1, n_rows, n_columns)
            scale = 0.2 * max(height, n_columns) ** 0.5
            for (matrix, _), update in zip(pairs, updates, strict=True):
                matrix.mul_(1 - lr * group["weight_decay"])
                matrix.add_(update, alpha=-lr * scale)


def _has_muon(parameter: nn.Parameter) -> bool:
    is_matrix = parameter.ndim == 2 and min(parameter.shape) >= _SMALLEST_SIDE
    return is_matrix and parameter.grad is not None


def orthogonalize(matrices: Tensor) -> Tensor:
    """Bring all singular values of matrices near one.

    The iteration of Newton and Schulz, with the coefficients of Jordan et al. (2024):
    after five steps, singular values from 0.03 to 1 of the largest lie between 0.6
    and 1.3.

    Parameters
    ----------
    matrices : Tensor of shape (n_matrices, n_rows, n_columns)
        They must be finite.

    Returns
    -------
    Tensor of shape (n_matrices, n_rows, n_columns)
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalize(matrices.mT).mT
    result: Tensor = matrices / (
        torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7
    )
    for _ in range(_N_ITERATIONS):
        square = result @ result.mT
        polynomial = torch.baddbmm(square, square, square, beta=-4.775, alpha=2.0315)
        result = torch.baddbmm(result, polynomial, result, beta=3.4445)
    return result
