"""Featurization, training and prediction beside other programs, on the same crystals.

Run by ``tox run -e bench -- -k speed``. The original program takes part where the
environment variable ``CGCNN_ORIGINAL`` names a folder with a clone of it, ``cgcnn2``
and ``torch_geometric`` where they are installed. Where ``SPEED_TABLE`` names a file,
what is measured is added to it; with ``-k "flushed or featurization"`` it is the table
that the documentation shows.

To train and to predict, each program has graphs of its own, made before, and passes
over 1,500 crystals in batches of 256, or of ``SPEED_BATCH`` (of ours in prediction, as
it chooses) follow each other in turn, on as many threads. The tails of the original's
Gaussians are subnormal numbers, which some processors are slow with: so all is measured
once as it is, and once with these flushed to zero.
"""

import csv
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pymatgen.optimization.neighbors import find_points_in_spheres
from torch import nn

from helpers import EQ_5
from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.graphs import one_hot_site_features
from timed_steps import TimedSteps

BATCH, ROUNDS = int(os.environ.get("SPEED_BATCH", "256")), 5


class Ours(TimedSteps):
    """The network of the original program with AdamW, or with `network` another."""

    def __init__(
        self, structures, y, compiled=False, network=EQ_5 | {"optimizer": "adamw"}
    ):
        graphs = CrystalGraphFeaturizer().transform(structures)
        n_batches = -(-len(y) // BATCH)
        super().__init__(graphs, BATCH, n_batches, compile=compiled, **network)

    train = TimedSteps.milliseconds_a_step
    predict = TimedSteps.crystals_a_second_predicted


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


def others_here():
    """Names and packages of the other programs that are here."""
    folder = os.environ.get("CGCNN_ORIGINAL")
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    programs = {
        "original": "cgcnn",
        "cgcnn2": "cgcnn2",
        "torch_geometric": "torch_geometric",
    }
    for name, package in programs.items():
        try:
            importlib.import_module(package)
        except ImportError:
            continue
        yield name, package


def others(structures, y):
    """Those of the other programs that are here, with their graphs."""
    return {
        name: Geometric(structures, y)
        if name == "torch_geometric"
        else OriginalLike(structures, y, package)
        for name, package in others_here()
    }


def report(task, n_threads, rates):
    """Print rates as ratios, and add them to the table where one is asked for."""
    ours = np.array(rates["ours"])
    compiled = np.array(rates.get("ours, compiled", ours))
    table = os.environ.get("SPEED_TABLE")
    for name, measured in rates.items():
        ratios = ours / np.array(measured)
        row = {
            "task": task,
            "threads": n_threads,
            "program": name,
            "crystals per second": f"{median(measured):.0f}",
            "ours is faster by": f"{median(ratios):.2f}",
            "from": f"{ratios.min():.2f}",
            "to": f"{ratios.max():.2f}",
            "compiled by": f"{median(compiled / np.array(measured)):.2f}",
        }
        print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
        if table:
            is_new = not Path(table).exists()
            with open(table, "a", newline="") as file:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                if is_new:
                    writer.writeheader()
                writer.writerow(row)


def in_turn(passes, n_crystals):
    """Crystals a second of functions that are called one after the other."""
    rates = {name: [] for name in passes}
    for round_ in range(ROUNDS + 1):
        for name, function in passes.items():
            start = time.perf_counter()
            function()
            if round_:  # the first is to get warm
                rates[name].append(n_crystals / (time.perf_counter() - start))
    return rates


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("flush", [False, True], ids=["as it is", "flushed"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_speed(load_real, n_threads, flush):
    structures, y = load_real(1500)
    programs = {
        "ours": Ours(structures, y),
        "ours, compiled": Ours(structures, y, compiled=True),
        "ours, default network": Ours(structures, y, compiled=True, network={}),
        **others(structures, y),
    }
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    torch.set_flush_denormal(flush)
    try:
        for task in ("train", "predict"):
            passes = {name: getattr(each, task) for name, each in programs.items()}
            print(f"\nsubnormals {'flushed' if flush else 'as they are'}:")
            rates = in_turn(passes, len(y))
            report(task if flush else f"{task}, with subnormals", n_threads, rates)
            of_others = [
                median(rates[name]) for name in rates if not name.startswith("ours")
            ]
            assert median(rates["ours, compiled"]) > 5 * max(of_others, default=0)
            assert median(rates["ours, compiled"]) > median(rates["ours"])
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)


def by_cif_data(package, folder, structures):
    """Featurize as the original and its descendant do, without reading CIF files."""
    module = importlib.import_module(f"{package}.data")
    module.Structure = SimpleNamespace(
        from_file=lambda path: structures[int(Path(path).stem)]
    )
    rows = one_hot_site_features()
    elements = {number: rows[number].tolist() for number in range(1, len(rows))}
    (folder / "atom_init.json").write_text(json.dumps(elements))
    lines = "".join(f"{row},0\n" for row in range(len(structures)))
    (folder / "id_prop.csv").write_text(lines)
    data = module.CIFData(str(folder))
    return [data[row] for row in range(len(structures))]


def by_neighbor_list(structures, radius=8.0, max_neighbors=12):
    """Featurize for torch_geometric, which knows no crystals, in plain numpy."""
    data = importlib.import_module("torch_geometric.data")
    table = torch.tensor(one_hot_site_features())
    made = []
    for structure in structures:
        center, neighbor, _, distances = structure.get_neighbor_list(radius)
        order = np.lexsort((distances, center))
        center, neighbor, distances = center[order], neighbor[order], distances[order]
        rank = np.arange(len(center)) - np.searchsorted(center, center)
        near = rank < max_neighbors
        made.append(
            data.Data(
                x=table[[site.specie.Z for site in structure]],
                edge_index=torch.tensor(np.stack([neighbor[near], center[near]])),
                edge_attr=gaussians(distances[near]),
            )
        )
    return made


def bare_search(structures, radius=8.0):
    for each in structures:
        coords, lattice = each.cart_coords, each.lattice.matrix
        find_points_in_spheres(coords, coords, radius, np.ones(3, int), lattice, 1e-8)


@pytest.mark.filterwarnings("ignore")
def test_speed_of_featurization(load_real, tmp_path):
    passes = {
        "ours": CrystalGraphFeaturizer().transform,
        "ours, not merged": CrystalGraphFeaturizer(merge_equivalent=False).transform,
        "bare search within 8 Å": bare_search,
    }
    for name, package in others_here():
        passes[name] = (
            by_neighbor_list
            if name == "torch_geometric"
            else partial(by_cif_data, package, tmp_path)
        )
    rates = {name: [] for name in passes}
    for round_ in range(4):
        for name, function in passes.items():
            # Read anew each time, as pymatgen keeps what it has once computed.
            structures, _ = load_real(300)
            start = time.perf_counter()
            function(structures)
            if round_:  # the first is to get warm
                rates[name].append(len(structures) / (time.perf_counter() - start))
    print()
    report("featurize", 1, rates)
    bare = median(rates["bare search within 8 Å"])
    assert median(rates["ours"]) > bare / 2.5
    assert median(rates["ours, not merged"]) > bare / 1.5


def test_bytes_of_graphs(load_real):
    structures, _ = load_real(1500)
    graphs = CrystalGraphFeaturizer().transform(structures)
    of_edges = sum(
        getattr(graphs, name).nbytes
        for name in ("neighbors", "distances", "edge_weights")
    )
    # The original's tensors: 92 features of a site, 12 times 41 of edges and an index.
    theirs = np.mean([len(each) for each in structures]) * 4 * (92 + 12 * 41 + 12 * 2)
    ours = graphs.nbytes / len(graphs)
    print(
        f"\n{of_edges / graphs.n_edges:.1f} bytes an edge; {ours / 1e3:.2f} kB a "
        f"crystal, {theirs / ours:.0f} times fewer than the original's "
        f"{theirs / 1e3:.0f} kB"
    )
    assert of_edges / graphs.n_edges <= 16
    assert theirs / ours >= 30
