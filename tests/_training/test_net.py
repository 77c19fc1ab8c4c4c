"""The net: its loop, interrupts and running statistics."""

import pickle
import weakref

import numpy as np
import pytest
import skorch
import torch

from helpers import SMALL, outputs
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._training._net import CrystalNet
from sklearn_cgcnn._training._packed import PackedDataset


def test_keyboard_interrupt_goes_through(estimator, target, ionic, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(CrystalNet, "infer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(ionic.data, target)


def test_statistics_are_those_of_the_trained_weights(ionic):
    """A short training leaves no trace of the first batches in the norms."""
    model = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    net = model.net_
    graphs = model.featurizer_.transform(ionic.data)
    batch, _ = PackedDataset(graphs)[torch.arange(60)]
    norm = net.module_.convs[0].site_norm
    seen = []
    norm.register_forward_pre_hook(lambda module, args: seen.append(args))
    net.module_.eval()
    net.infer(batch)
    rows, counts = seen[0]
    share = counts / counts.sum()
    torch.testing.assert_close(norm.running_mean, share @ rows, rtol=1e-4, atol=1e-5)


class Interrupt(skorch.callbacks.Callback):
    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == 3:
            raise KeyboardInterrupt


def test_interrupting_leaves_what_was_learned(estimator_class, target, graphs):
    model = estimator_class(callbacks=[Interrupt()], **SMALL).set_params(
        max_epochs=9, batch_size=20
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(graphs, target)
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert np.isfinite(outputs(model, graphs)).all()
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(outputs(twin, graphs), outputs(model, graphs))


class LetGo(skorch.callbacks.Callback):
    """Asserts that nothing of a step is left when the next begins."""

    last = staticmethod(lambda: None)

    def on_batch_end(self, net, y_pred, **kwargs):
        self.last = weakref.ref(y_pred)

    def on_batch_begin(self, net, **kwargs):
        assert self.last() is None


def test_a_step_leaves_nothing_behind(estimator_class, target, graphs):
    model = estimator_class(callbacks=[LetGo()], **SMALL).set_params(batch_size=20)
    model.fit(graphs, target)
