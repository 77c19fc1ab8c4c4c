"""Make a net around a network."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_cgcnn._training._net import CrystalNet
from sklearn_cgcnn._training._packed import BatchIterator, CrystalDataset
from sklearn_cgcnn._training._targets import TargetEncoding
from sklearn_cgcnn.nn import Dropout


def build_net(
    module: nn.Module,
    *,
    criterion: nn.Module,
    device: torch.device,
    batch_size: int,
    callbacks: Iterable[Callback | tuple[str, Callback]] = (),
    encoding: TargetEncoding | None = None,
    valid: CrystalDataset | None = None,
    seed: int = 0,
    has_trained_weights: bool = False,
    compiled: bool | Literal["auto"] = False,
    matmul_precision: str = "float32",
    **params: Any,
) -> CrystalNet:
    """Return an initialized net around a module.

    Parameters
    ----------
    module : Module
        The network.
    criterion : Module
        The loss, which gives one value per target.
    device, batch_size, callbacks, **params
        Parameters of :class:`skorch.NeuralNet`.
    encoding : TargetEncoding or None, default=None
        What the outputs of the network mean.
    valid : CrystalDataset or None, default=None
        Held-out crystals, on which the validation loss is computed after every epoch.
    seed, has_trained_weights, compiled, matmul_precision
        Attributes of :class:`CrystalNet`.

    Returns
    -------
    CrystalNet
    """
    net = CrystalNet(
        module,
        criterion,
        device=device,
        batch_size=batch_size,
        callbacks=list(callbacks),
        iterator_train=BatchIterator,
        iterator_train__shuffle=True,
        iterator_train__generator=torch.Generator().manual_seed(seed),
        iterator_valid=BatchIterator,
        train_split=None if valid is None else (lambda dataset: (dataset, valid)),
        verbose=1,  # callbacks that print are the user's own
        **params,
    )
    net.encoding = encoding
    net.seed, net.has_trained_weights = seed, has_trained_weights
    net.compiled, net.matmul_precision = compiled, matmul_precision
    net.initialize()
    for layer in net.module_.modules():
        if isinstance(layer, Dropout):
            layer.generator = torch.Generator(device).manual_seed(seed)
    return net
