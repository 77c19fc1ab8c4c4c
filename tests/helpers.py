"""What several test modules need, besides the fixtures of conftest."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._training import PackedDataset
from sklearn_cgcnn.graphs import in_memory
from sklearn_cgcnn.graphs._invariants import DTYPES

# A network that trains within a second.
SMALL = {
    "n_conv_layers": 1,
    "n_site_channels": 8,
    "n_hidden_channels": 8,
    "max_epochs": 3,
    "random_state": 0,
}

# A training that can be continued: its learning rate does not depend on its length.
CONSTANT = {**SMALL, "lr_schedule": "constant", "dropout": 0.2}

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


def small(**params):
    """A regressor that trains within a second."""
    return CGCNNRegressor(**{**SMALL, **params})


def outputs(model, X):
    """Predictions of a regressor, or probabilities of a classifier."""
    is_regressor = isinstance(model, CGCNNRegressor)
    return model.predict(X) if is_regressor else model.predict_proba(X)


def weights_of(model):
    """A copy of all parameters and buffers of a fitted model."""
    return {k: v.clone() for k, v in model.net_.module_.state_dict().items()}


def assert_same_weights(left, right):
    """Check that two fitted models are equal bit by bit."""
    ours, theirs = weights_of(left), weights_of(right)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def assert_same_graphs(left, right):
    """Check that graphs, in memory or on disk, are valid, and equal bit by bit."""
    left, right = in_memory(left), in_memory(right)
    left.check()
    assert left.settings == right.settings
    assert left.failed == right.failed
    for name in DTYPES:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def object_array(items):
    """A 1-D array of objects, whatever they contain."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def flip_bit(data, place, bit=0):
    """Return a copy of bytes in which one bit is flipped."""
    damaged = bytearray(data)
    damaged[place] ^= 1 << bit
    return bytes(damaged)


@contextmanager
def full_disk(n_bytes):
    """Let the system refuse to write more than `n_bytes` to a file."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class KeepHeldOut(Callback):
    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        self.dataset_ = dataset_valid


class CountEpochs(Callback):
    def initialize(self):
        self.n_ = 0
        return self

    def on_epoch_end(self, net, **kwargs):
        self.n_ += 1


def assert_statistics_fit_the_weights(model, graphs):
    """Check that the running statistics are those of the final weights."""
    before = weights_of(model)
    model.net_.recompute_statistics(PackedDataset(graphs))
    for name, value in weights_of(model).items():
        torch.testing.assert_close(value, before[name], rtol=1e-6, atol=1e-7, msg=name)
