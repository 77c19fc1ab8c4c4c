"""A net whose training steps and predictions the benchmarks time."""

import time

import numpy as np
import torch

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._training._packed import PackedDataset


class TimedSteps:
    """A net that takes the steps of an epoch as in a training, and predicts.

    Parameters
    ----------
    graphs : CrystalGraphs
        Crystals, of which it takes enough for `n_batches`.
    batch_size : int
        Crystals of a batch.
    n_batches : int, default=8
        Batches of an epoch.
    **params
        Parameters of the estimator.
    """

    def __init__(self, graphs, batch_size, n_batches=8, **params):
        n_crystals = min(len(graphs), n_batches * batch_size)
        y = np.random.RandomState(0).randn(n_crystals)
        model = CGCNNRegressor(max_epochs=1, batch_size=batch_size, **params)
        few = min(100, n_crystals)
        self.net = model.fit(graphs[:few], y[:few]).net_
        self.device = torch.device(self.net.device)
        self.data = PackedDataset(
            graphs[:n_crystals], torch.tensor(y[:, None]).float(), device=self.device
        )
        self.net.training_data_ = self.data

    def milliseconds_a_step(self):
        """Time one step, in the mean over an epoch."""
        batches = self.net.get_iterator(self.data, training=True)
        self.net.history.new_epoch()
        start = self._time()
        with self.net._execution(self.data):
            self.net.run_single_epoch(
                batches, training=True, prefix="train", step_fn=self.net.train_step
            )
        return 1e3 * (self._time() - start) / len(batches)

    def crystals_a_second_predicted(self):
        """Rate of predictions, in batches of the net's own choice."""
        start = self._time()
        self.net.predict_batches(self.data)
        return len(self.data) / (self._time() - start)

    def _time(self):
        """Read the clock, once the GPU has done all it was asked to."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
