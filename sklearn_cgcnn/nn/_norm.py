"""Normalization over sites and over edges."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sklearn_cgcnn._ops import autocast_dtype

_is_paused: ContextVar[bool] = ContextVar("is_paused", default=False)


@contextmanager
def paused_statistics() -> Iterator[None]:
    """Leave the running statistics as they are, within a ``with`` statement.

    For trainings that compute them anew before they are used.
    """
    token = _is_paused.set(True)
    try:
        yield
    finally:
        _is_paused.reset(token)


class BatchNorm(nn.Module):
    """Batch normalization of rows that each stand for several equal rows.

    Mean and variance are weighted by the counts: they are those of the rows repeated
    as often as they count. The running variance is corrected by the total count
    (Bessel). If all counts are one, the result is that of torch's
    :class:`~torch.nn.BatchNorm1d`, with the same parameters, buffers and constants,
    except in two cases, which use the running statistics and leave them unchanged: a
    batch of a single row, which has no variance, and any batch while `weight` is
    frozen (``requires_grad=False``).

    Parameters
    ----------
    n_channels : int
        Width of the rows.

    Examples
    --------
    Rows that stand for the numbers 0, 0, 0 and 4, whose mean is 1 and whose variance
    is 3:

    >>> import torch
    >>> from sklearn_cgcnn.nn import BatchNorm
    >>> norm = BatchNorm(1)
    >>> norm(torch.tensor([[0.0], [4.0]]), torch.tensor([3.0, 1.0])).detach()
    tensor([[-0.5773],
            [ 1.7320]])
    """

    eps = 1e-5
    #: Whether a bias added to the rows before the norm has no effect.
    cancels_bias = True
    #: Fraction of the last batch in the running statistics. None averages all batches.
    momentum: float | None = 0.1
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_channels))
        self.bias = nn.Parameter(torch.zeros(n_channels))
        self.register_buffer("running_mean", torch.zeros(n_channels))
        self.register_buffer("running_var", torch.ones(n_channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, rows: Tensor, counts: Tensor) -> Tensor:
        """Normalize.

        Parameters
        ----------
        rows : Tensor of shape (n_rows, n_channels)
            Values to normalize.
        counts : Tensor of shape (n_rows,)
            Number of equal rows that each row stands for, of the type of `rows`.

        Returns
        -------
        Tensor of shape (n_rows, n_channels)
        """
        if autocast_dtype(rows) is not None:  # statistics must not be rounded
            with torch.autocast(rows.device.type, enabled=False):
                return self(rows.to(self.weight.dtype), counts)  # type: ignore[no-any-return]
        if not self.uses_batch_statistics(counts):
            scale, shift = self.scale_and_shift()
            return torch.addcmul(shift, rows, scale)
        normalized, mean, var = _Normalize.apply(  # type: ignore[no-untyped-call]
            rows, self.weight, self.bias, counts, self.eps
        )
        self.update_statistics(mean, var, counts)
        result: Tensor = normalized
        return result

    @property
    def is_frozen(self) -> bool:
        """Whether its weight is frozen, and its running statistics with it."""
        return not self.weight.requires_grad

    def uses_batch_statistics(self, counts: Tensor) -> bool:
        """Return whether rows are normalized by their own statistics.

        Parameters
        ----------
        counts : Tensor of shape (n_rows,)
            Number of equal rows that each row stands for.

        Returns
        -------
        bool
            False means that they are normalized by the running statistics.
        """
        if not self.training or self.is_frozen:
            return False
        # A row that stands for several has a variance, which is zero. The sum is read
        # only for a single row, because reading it makes a GPU wait.
        return len(counts) > 1 or bool(counts.sum() > 1)

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return the linear map that normalizes by the running statistics.

        Returns
        -------
        scale, shift : Tensor of shape (n_channels,)
            Factors and summands of the map.
        """
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def update_statistics(self, mean: Tensor, var: Tensor, counts: Tensor) -> None:
        """Update the running statistics with those of a batch.

        Parameters
        ----------
        mean, var : Tensor of shape (n_channels,)
            Statistics of the batch, without gradient. The variance is not corrected.
        counts : Tensor of shape (n_rows,)
            Number of equal rows that each row stands for.
        """
        if _is_paused.get():
            return
        self.num_batches_tracked.add_(1)
        fraction: Tensor | float | None = self.momentum
        if fraction is None:
            fraction = self.num_batches_tracked.reciprocal().to(mean.dtype)
        self.running_mean.lerp_(mean, fraction)
        n_rows = counts.sum()
        self.running_var.lerp_(var * (n_rows / (n_rows - 1)), fraction)

    @contextmanager
    def recomputing_statistics(self) -> Iterator[None]:
        """Recompute the running statistics as averages over the batches seen inside.

        Yields
        ------
        None
            The norm is in training mode inside the context, and stays so after it.
        """
        momentum = self.momentum
        self.num_batches_tracked.zero_()
        self.momentum = None
        self.train()
        try:
            yield
        finally:
            self.momentum = momentum


class _Normalize(torch.autograd.Function):
    r"""Normalize rows by their weighted mean and variance.

    With :math:`p_i` the fraction of row i in the total count,

    .. math::
        \mu = \sum_i p_i x_i, \qquad
        \sigma^2 = \sum_i p_i (x_i - \mu)^2, \qquad
        \hat x_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad
        y_i = \gamma \hat x_i + \beta,

    and a gradient :math:`g` of y gives

    .. math:: \partial x_i = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} \Big(
        g_i - p_i \big(\sum_k g_k + \hat x_i \sum_k g_k \hat x_k\big)\Big).

    The gradient is written by hand because autograd would store, and pass over, several
    times as many tensors of the size of the rows.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, counts: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        fraction = counts / counts.sum()
        mean = fraction @ rows
        standard = rows - mean
        var = fraction @ standard.square()
        inverse_std = (var + eps).rsqrt()
        standard.mul_(inverse_std)
        ctx.save_for_backward(standard, fraction, weight, inverse_std)
        ctx.mark_non_differentiable(mean, var)
        return torch.addcmul(bias, standard, weight), mean, var

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        standard, fraction, weight, inverse_std = ctx.saved_tensors
        grad_bias = grad.sum(dim=0)
        grad_weight = (grad * standard).sum(dim=0)
        grad_rows = torch.addcmul(grad_bias, standard, grad_weight)
        grad_rows.mul_(-fraction[:, None]).add_(grad).mul_(weight * inverse_std)
        return grad_rows, grad_weight, grad_bias, None, None
