"""Normalisation over sites and over edges."""

from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that also takes what has no spread of its own.

    A batch of a single row has no variance: it is normalised by the running statistics,
    as in prediction, and leaves them alone.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """Normalise.

        Parameters
        ----------
        rows : Tensor of shape (n_rows, n_channels)

        Returns
        -------
        Tensor of shape (n_rows, n_channels)
        """
        if self.training and len(rows) < 2:
            return nn.functional.batch_norm(
                rows,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                eps=self.eps,
            )
        return super().forward(rows)
