"""How a training ends early: by a callback, or by Ctrl-C."""

import signal
import threading

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback, EarlyStopping

from helpers import SMALL, CountEpochs, assert_statistics_fit_the_weights
from sklearn_cgcnn import CGCNNRegressor

LONG = {**SMALL, "max_epochs": 40, "batch_size": 20}


def test_early_stopping_of_skorch_ends_the_fit(estimator_class, target, graphs):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=1e3, sink=len)
    model = estimator_class(callbacks=[stop], **LONG).fit(graphs, target)
    assert model.n_iter_ == len(model.loss_curve_) == 3
    assert_statistics_fit_the_weights(model, graphs)
    scores = cross_val_score(model, graphs, target, cv=2, error_score="raise")
    assert np.isfinite(scores).all()


class StopAsSkorchDoes(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


def test_all_callbacks_see_the_epoch_in_which_one_stops(graphs, ionic):
    model = CGCNNRegressor(callbacks=[StopAsSkorchDoes(), CountEpochs()], **LONG)
    model.fit(graphs, ionic.target)
    assert model.n_iter_ == 2
    assert dict(model.net_.callbacks_)["CountEpochs"].n_ == 2


class PressCtrlC(Callback):
    """Sends the signal that Ctrl-C sends, at one moment of a training."""

    def __init__(self, moment, epoch):
        self.moment, self.epoch = moment, epoch

    def press(self, net, moment):
        if moment == self.moment and len(net.history) == self.epoch:
            signal.raise_signal(signal.SIGINT)

    def on_train_begin(self, net, **kwargs):
        self.press(net, "train_begin")

    def on_epoch_begin(self, net, **kwargs):
        self.press(net, "epoch_begin")

    def on_batch_end(self, net, **kwargs):
        self.press(net, "batch_end")

    def on_epoch_end(self, net, **kwargs):
        self.press(net, "epoch_end")


@pytest.mark.parametrize(
    ("moment", "epoch", "learned"),
    [
        ("train_begin", 0, 0),
        ("epoch_begin", 1, 0),
        ("batch_end", 1, 0),
        ("epoch_end", 1, 1),
        ("epoch_begin", 3, 2),
        ("batch_end", 3, 2),
        ("epoch_end", 3, 3),
    ],
)
@pytest.mark.usefixtures("ctrl_c_raises")
def test_ctrl_c_goes_through_everywhere(graphs, ionic, moment, epoch, learned):
    handler = signal.getsignal(signal.SIGINT)
    model = CGCNNRegressor(callbacks=[PressCtrlC(moment, epoch)], **LONG)
    with pytest.raises(KeyboardInterrupt):
        model.fit(graphs, ionic.target)
    assert signal.getsignal(signal.SIGINT) is handler
    assert hasattr(model, "net_") == (learned > 0)
    if learned:
        assert model.n_iter_ == learned
        assert np.isfinite(model.predict(graphs)).all()
        assert_statistics_fit_the_weights(model, graphs)


@pytest.mark.usefixtures("ctrl_c_raises")
def test_ctrl_c_while_a_callback_runs_goes_through_a_search(graphs, ionic):
    model = CGCNNRegressor(callbacks=[PressCtrlC("epoch_end", 1)], **LONG)
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(model, graphs, ionic.target, cv=2)


def test_stopping_works_in_a_thread_which_gets_no_signals(graphs, ionic):
    fitted = []

    def fit():
        model = CGCNNRegressor(callbacks=[StopAsSkorchDoes()], **LONG)
        fitted.append(model.fit(graphs, ionic.target))

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert fitted[0].n_iter_ == 2
