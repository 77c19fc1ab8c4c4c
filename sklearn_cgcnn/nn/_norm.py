"""Normalization over sites and over edges."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sklearn_cgcnn._ops._precision import rounded_type


class BatchNorm(nn.Module):
    """Batch normalization of rows that stand for several equal ones.

    Mean and variance are those of the rows written out as often as they count, and the
    running variance is corrected by that number (Bessel). With all counts one it is
    torch's :class:`~torch.nn.BatchNorm1d`, whose parameters, buffers and constants it
    has, except that a batch of a single row, which has no variance, is normalized by
    the running statistics and leaves them alone. So is every batch while `weight` is
    frozen (``requires_grad=False``).

    Parameters
    ----------
    n_channels : int
        Width of the rows.
    """

    eps = 1e-5
    #: Whether a bias added to the rows makes no difference.
    cancels_bias = True
    #: Share of the last batch in the running statistics; None averages all batches.
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
        counts : Tensor of shape (n_rows,)
            How many equal rows each stands for, of the type of `rows`.

        Returns
        -------
        Tensor of shape (n_rows, n_channels)
        """
        if rounded_type(rows) is not None:  # statistics are not to be rounded
            with torch.autocast(rows.device.type, enabled=False):
                return self(rows.to(self.weight.dtype), counts)  # type: ignore[no-any-return]
        if not self.takes_statistics(counts):
            scale, shift = self.linear_map()
            return torch.addcmul(shift, rows, scale)
        normalized, mean, var = _Normalize.apply(  # type: ignore[no-untyped-call]
            rows, self.weight, self.bias, counts, self.eps
        )
        self.track(mean, var, counts.sum())
        result: Tensor = normalized
        return result

    def takes_statistics(self, counts: Tensor) -> bool:
        """Say whether rows are to be normalized by their own statistics.

        Parameters
        ----------
        counts : Tensor of shape (n_rows,)
            How many equal rows each stands for.

        Returns
        -------
        bool
            Otherwise they are by the running statistics.
        """
        # A row that stands for several has a variance, of zero; the sum is only looked
        # at where there is no more than one row, as it costs a GPU a wait.
        if not self.training or not self.weight.requires_grad:
            return False
        return len(counts) > 1 or bool(counts.sum() > 1)

    def linear_map(self) -> tuple[Tensor, Tensor]:
        """Give what normalizing by the running statistics amounts to.

        Returns
        -------
        scale, shift : Tensor of shape (n_channels,)
        """
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    @torch.no_grad()
    def track(self, mean: Tensor, var: Tensor, n_rows: Tensor) -> None:
        """Update the running statistics.

        Parameters
        ----------
        mean, var : Tensor of shape (n_channels,)
            Of the rows of a batch, the variance without correction.
        n_rows : Tensor of shape ()
            How many rows there are.
        """
        self.num_batches_tracked += 1
        share: Tensor | float | None = self.momentum
        if share is None:
            share = self.num_batches_tracked.reciprocal().to(mean.dtype)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var * (n_rows / (n_rows - 1)), share)


class _Normalize(torch.autograd.Function):
    r"""Normalize rows by their weighted mean and variance.

    With the share :math:`p_i` of row i in the total count,

    .. math::
        \mu = \sum_i p_i x_i, \qquad
        \sigma^2 = \sum_i p_i (x_i - \mu)^2, \qquad
        \hat x_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad
        y_i = \gamma \hat x_i + \beta,

    and a gradient :math:`g` of y gives

    .. math:: \partial x_i = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} \Big(
        g_i - p_i \big(\sum_k g_k + \hat x_i \sum_k g_k \hat x_k\big)\Big).

    By hand, because autograd would keep, and pass over, several times as many tensors
    of the size of the rows.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, counts: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        share = counts / counts.sum()
        mean = share @ rows
        standard = rows - mean
        var = share @ standard.square()
        inverse_std = (var + eps).rsqrt()
        standard.mul_(inverse_std)
        ctx.save_for_backward(standard, share, weight, inverse_std)
        ctx.mark_non_differentiable(mean, var)
        return torch.addcmul(bias, standard, weight), mean, var

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        standard, share, weight, inverse_std = ctx.saved_tensors
        to_bias = grad.sum(dim=0)
        to_weight = (grad * standard).sum(dim=0)
        to_rows = torch.addcmul(to_bias, standard, to_weight)
        to_rows.mul_(-share[:, None]).add_(grad).mul_(weight * inverse_std)
        return to_rows, to_weight, to_bias, None, None


NORMS: dict[str, type[nn.Module]] = {"batch": BatchNorm}
