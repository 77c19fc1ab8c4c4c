"""Training and prediction beside other programs: same crystals, network and threads.

Run by ``tox run -e bench -- -k speed``. The original program takes part where the
environment variable ``CGCNN_ORIGINAL`` names a folder with a clone of it, ``cgcnn2``
and ``torch_geometric`` where they are installed. Each has graphs of its own, made
before; passes over 1,500 crystals in batches of 256 follow each other in turn. The
tails of the original's Gaussians are subnormal numbers, which some processors are slow
with: so all is measured once as it is, and once with these flushed to zero.
"""

import importlib
import os
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._batching import BatchIterator, PackedDataset
from sklearn_cgcnn.graphs import one_hot_site_features

BATCH, ROUNDS = 256, 5


class Ours:
    def __init__(self, structures, y):
        graphs = CrystalGraphFeaturizer().transform(structures)
        model = CGCNNRegressor(max_epochs=1, batch_size=BATCH).fit(
            graphs[:300], y[:300]
        )
        self.net = model.net_
        self.data = PackedDataset(graphs, torch.tensor(y[:, None]).float())

    def train(self):
        self.net._set_training(True)
        for batch in BatchIterator(self.data, BATCH, shuffle=True):
            self.net.train_step(batch)

    def predict(self):
        self.net.predict_batches(self.data)


class Other:
    """Batches of another program, and its network in a plain loop."""

    module: nn.Module
    items: list
    collate: Callable

    def _batches(self, order):
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            yield self.collate([self.items[row] for row in rows])

    def _output(self, batch):
        raise NotImplementedError

    def train(self):
        self.module.train()
        for batch in self._batches(torch.randperm(len(self.items)).tolist()):
            output, target = self._output(batch)
            loss = nn.functional.mse_loss(output, target)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def predict(self):
        self.module.eval()
        with torch.no_grad():
            for batch in self._batches(range(len(self.items))):
                self._output(batch)


def gaussians(distances):
    gaps = (distances[:, None] - np.arange(41) * 0.2) / 0.2
    return torch.tensor(np.exp(-(gaps**2))).float()


class OriginalLike(Other):
    """The original program and its descendant, with its own classes."""

    def __init__(self, structures, y, package):
        model = importlib.import_module(f"{package}.model")
        self.collate = importlib.import_module(f"{package}.data").collate_pool
        table = torch.tensor(one_hot_site_features())
        graphs = CrystalGraphFeaturizer(
            connectivity="original", merge_equivalent=False
        ).transform(structures)
        self.items = [
            (
                (
                    table[graph.atomic_numbers.astype(int)],
                    gaussians(graph.distances).view(-1, 12, 41),
                    torch.tensor(graph.neighbors).long().view(-1, 12),
                ),
                torch.tensor([value]).float(),
                row,
            )
            for row, (graph, value) in enumerate(zip(graphs, y, strict=True))
        ]
        self.module = model.CrystalGraphConvNet(93, 41, 64, 3, 128, 1)
        self.optimizer = torch.optim.SGD(self.module.parameters(), 0.01, momentum=0.9)

    def _output(self, batch):
        inputs, target, _ = batch
        output = self.module(*inputs)
        return (output[0] if isinstance(output, tuple) else output), target


class Geometric(Other):
    """The same network of torch_geometric's parts."""

    def __init__(self, structures, y):
        data = importlib.import_module("torch_geometric.data")
        parts = importlib.import_module("torch_geometric.nn")
        self.collate = data.Batch.from_data_list
        table = torch.tensor(one_hot_site_features())
        graphs = CrystalGraphFeaturizer(
            connectivity="original", merge_equivalent=False
        ).transform(structures)
        self.items = [
            data.Data(
                x=table[graph.atomic_numbers.astype(int)],
                edge_index=torch.tensor(graph.edge_index[::-1].copy()),
                edge_attr=gaussians(graph.distances),
                y=torch.tensor([[value]]).float(),
            )
            for graph, value in zip(graphs, y, strict=True)
        ]
        self.pool = parts.global_mean_pool
        self.module = nn.ModuleDict(
            {
                "embedding": nn.Linear(93, 64),
                "convs": nn.ModuleList(
                    parts.CGConv(64, dim=41, batch_norm=True) for _ in range(3)
                ),
                "readout": nn.Sequential(
                    nn.Softplus(), nn.Linear(64, 128), nn.Softplus(), nn.Linear(128, 1)
                ),
            }
        )
        self.optimizer = torch.optim.SGD(self.module.parameters(), 0.01, momentum=0.9)

    def _output(self, batch):
        sites = self.module["embedding"](batch.x)
        for conv in self.module["convs"]:
            sites = conv(sites, batch.edge_index, batch.edge_attr)
        return self.module["readout"](self.pool(sites, batch.batch)), batch.y


def others(structures, y):
    """Those of the other programs that are here."""
    found = {}
    folder = os.environ.get("CGCNN_ORIGINAL")
    if folder:
        sys.path.insert(0, folder)
        found["original"] = OriginalLike(structures, y, "cgcnn")
    for name, make in [
        ("cgcnn2", lambda: OriginalLike(structures, y, "cgcnn2")),
        ("torch_geometric", lambda: Geometric(structures, y)),
    ]:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        found[name] = make()
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("flush", [False, True], ids=["as it is", "flushed"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_speed(load_real, n_threads, flush):
    structures, y = load_real(1500)
    programs = {"ours": Ours(structures, y), **others(structures, y)}
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    torch.set_flush_denormal(flush)
    try:
        rates = {(name, what): [] for what in ("train", "predict") for name in programs}
        for round_ in range(ROUNDS + 1):
            for (name, what), measured in rates.items():
                start = time.perf_counter()
                getattr(programs[name], what)()
                if round_:  # the first is to get warm
                    measured.append(len(y) / (time.perf_counter() - start))
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)
    print(
        f"\n{n_threads} thread(s), subnormals {'flushed' if flush else 'as they are'}:"
    )
    for (name, what), measured in rates.items():
        ours = rates["ours", what]
        ratios = np.array(ours) / np.array(measured)
        print(
            f"  {what:8} {name:16} {median(measured):6.0f} crystals/s, ours is "
            f"{median(ratios):5.2f} times as fast ({ratios.min():.2f} to "
            f"{ratios.max():.2f})"
        )
    assert min(median(measured) for measured in rates.values()) > 0
