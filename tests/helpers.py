"""What several test modules need, besides the fixtures of conftest."""

import torch
from skorch.callbacks import Callback

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._training import PackedDataset

# A network that trains within a second.
SMALL = {
    "n_conv_layers": 1,
    "n_site_channels": 8,
    "n_hidden_channels": 8,
    "max_epochs": 3,
    "random_state": 0,
}

# The network of the original program.
EQ_5 = {
    "conv": "gated",
    "site_features": "properties",
    "edge_basis": "gaussian",
    "activation": "softplus",
}

# Parts of the network that take different ways through it.
PARTS = {
    "default": {},
    "Eq. 4": {"conv": "shared", "pooling": "all_layers", "edge_basis": "one-hot"},
    "Eq. 5": EQ_5,
    "Eq. 5 as printed": {**EQ_5, "norm": None, "lr": 1e-3},
    "site readout": {"readout": "site", "edge_basis": None},
    "other activation": {"activation": "tanh", "dropout": 0.1},
}


def outputs(model, X):
    """Predictions of a regressor, or probabilities of a classifier."""
    is_regressor = isinstance(model, CGCNNRegressor)
    return model.predict(X) if is_regressor else model.predict_proba(X)


def weights_of(model):
    """A copy of all parameters and buffers of a fitted model."""
    return {k: v.clone() for k, v in model.net_.module_.state_dict().items()}


def assert_same_weights(left, right):
    """Check that two fitted models are equal bit by bit."""
    for name, value in weights_of(left).items():
        assert torch.equal(value, weights_of(right)[name]), name


# The held-out dataset that `CatchHeldOut` has seen last.
HELD_OUT = []


class CatchHeldOut(Callback):
    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        HELD_OUT[:] = [dataset_valid]


class CountEpochs(Callback):
    def initialize(self):
        self.n_ = 0
        return self

    def on_epoch_end(self, net, **kwargs):
        self.n_ += 1


def assert_statistics_fit_the_weights(model, graphs):
    """Check that the running statistics are those of the final weights."""
    before = weights_of(model)
    net = model.net_
    net.recompute_statistics(PackedDataset(graphs))
    for name, value in weights_of(model).items():
        torch.testing.assert_close(value, before[name], rtol=1e-6, atol=1e-7, msg=name)
