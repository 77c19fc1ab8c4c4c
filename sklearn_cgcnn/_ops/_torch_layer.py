"""A gated layer from its parts, with operations of torch."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sklearn_cgcnn._ops._interface import EdgeMoments, LayerParameters


class TorchLayer:
    r"""Implement :class:`GatedLayer`.

    From the gradient :math:`g` of the new site vectors :math:`v'`, the argument of the
    softplus gets the gradient :math:`h = g \, (1 - e^{-v'})`. With :math:`p_i` the
    fraction of site i, :math:`\sigma^2` the variance of the sums of messages s, and
    :math:`\hat s` these sums with mean zero and variance one, the gradient of the sums
    is

    .. math:: \partial s_i = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} \Big(
        h_i - p_i \big(\sum_k h_k + \hat s_i \sum_k h_k \hat s_k\big)\Big).

    Parameters
    ----------
    moments : EdgeMoments
    sites : Tensor of shape (n_sites, n_channels)
    site_fractions : Tensor of shape (n_sites,)
    parameters : LayerParameters
    """

    def __init__(
        self,
        moments: EdgeMoments,
        sites: Tensor,
        site_fractions: Tensor,
        parameters: LayerParameters,
    ) -> None:
        weight, edge_scale, edge_shift, scale, shift, eps = parameters
        self._z = moments.normalize(sites, weight, edge_scale, edge_shift, eps)
        self._messages = self._z.messages()
        self._fractions, self._scale = site_fractions, scale
        summed = self._messages.sum()
        self._mean = site_fractions @ summed
        self._standard = summed - self._mean
        self._var = site_fractions @ self._standard.square()
        self._inverse_std = (self._var + eps).rsqrt()
        self._standard *= self._inverse_std
        self._sites = softplus(sites + torch.addcmul(shift, self._standard, scale))

    def outputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Implement :meth:`GatedLayer.outputs`."""
        # An alias: autograd would never free an output that its own context holds.
        sites = self._sites.detach()
        return sites, self._z.mean, self._z.var, self._mean, self._var

    def backward(self, grad: Tensor) -> tuple[Tensor, ...]:
        """Implement :meth:`GatedLayer.backward`."""
        standard = self._standard
        grad_sites = grad * -torch.expm1(-self._sites)
        grad_shift = grad_sites.sum(dim=0)
        grad_scale = (grad_sites * standard).sum(dim=0)
        along = torch.addcmul(grad_shift, standard, grad_scale)
        grad_summed = torch.addcmul(
            grad_sites, along, self._fractions[:, None], value=-1
        )
        grad_summed *= self._scale * self._inverse_std
        grad_sums = self._messages.sum_gradients(grad_summed)
        from_sums, *edge_gradients = self._z.backward(grad_sums)
        return grad_sites + from_sums, *edge_gradients, grad_scale, grad_shift
