"""Featurization, training and prediction beside other programs, on the same crystals.

Run by ``tox run -e bench -- -k speed``. The original program takes part where the
environment variable ``CGCNN_ORIGINAL`` names a folder with a clone of it, ``cgcnn2``
and ``torch_geometric`` where they are installed. Where ``SPEED_TABLE`` names a file,
what is measured is added to it; with ``-k "flushed or featurization"`` it is the table
that the documentation shows.

To train and to predict, each program has graphs of its own, made before, and passes
over 1,500 crystals in batches of 256 (of ours in prediction, as it chooses) follow each
other in turn, on as many threads. The tails of the original's Gaussians are subnormal
numbers, which some processors are slow with: so all is measured once as it is, and once
with these flushed to zero.
"""

import csv
import importlib
import json
import os
import subprocess
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
from pymatgen.core import Lattice, Structure
from pymatgen.optimization.neighbors import find_points_in_spheres
from torch import nn

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._ops._threads import compiled_loops
from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn.graphs import one_hot_site_features

BATCH, ROUNDS = 256, 5


class Ours:
    def __init__(self, structures, y, compiled=False):
        graphs = CrystalGraphFeaturizer().transform(structures)
        model = CGCNNRegressor(max_epochs=1, batch_size=BATCH, compile=compiled)
        self.net = model.fit(graphs[:300], y[:300]).net_
        self.data = PackedDataset(graphs, torch.tensor(y[:, None]).float())

    def train(self):
        """Take the steps of an epoch, as in a training."""
        net = self.net
        net.training_data_ = self.data
        net.history.new_epoch()
        batches = net.get_iterator(self.data, training=True)
        with net._execution(self.data):
            net.run_single_epoch(
                batches, training=True, prefix="train", step_fn=net.train_step
            )

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


def in_turn(passes, n_crystals, rounds=ROUNDS):
    """Crystals a second of functions that are called one after the other."""
    rates = {name: [] for name in passes}
    for round_ in range(rounds + 1):
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
            assert median(rates["ours"]) > 5 * max(of_others, default=0)
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


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_memory_of_predicting_one_huge_cell_among_small_ones():
    """A cell of 4,913 sites beside 5,000 of one; each in a process of its own."""
    script = """
import re, sys, torch
from pathlib import Path
from pymatgen.core import Lattice, Structure
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals
torch.set_num_threads(1)
crystals = make_ionic_crystals(50, random_state=0)
model = CGCNNRegressor(max_epochs=1).fit(crystals.data, crystals.target)
small = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])
huge = small.copy()
huge.make_supercell(17)
huge.perturb(0.3)
given = {"huge": [huge], "small": [small] * 5000, "both": [small] * 5000 + [huge]}
graphs = CrystalGraphFeaturizer().transform(given[sys.argv[1]])

def peak():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s*(\\d+)", status)[1]) / 1024

Path("/proc/self/clear_refs").write_text("5")  # the peak is what there is now
before = peak()
model.predict(graphs)
print(graphs.n_edges, peak() - before)
"""
    grown = {}
    for which in ("huge", "small", "both"):
        command = [sys.executable, "-W", "ignore", "-c", script, which]
        n_edges, grown[which] = map(float, subprocess.check_output(command).split())
        print(f"\n{which}: {n_edges:.0f} edges, {grown[which]:.0f} MB more at the peak")
    assert grown["both"] < 1.5 * max(grown["huge"], grown["small"]) + 10


def shaken_cube(side):
    """A simple cubic cell of so many sites a side, of which no two are equal."""
    rng = np.random.default_rng(0)
    places = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)
    shaken = places + rng.uniform(-0.1, 0.1, places.shape)
    return Structure(Lattice.cubic(3.0 * side), ["Po"] * len(shaken), shaken / side)


def gemm_rate():
    """Operations a second of a large matrix product."""
    a = torch.randn(1024, 1024)
    seconds = min(elapsed(torch.mm, a, a) for _ in range(10))
    return 2 * 1024**3 / seconds


def bandwidth():
    """Bytes a second that come and go when large vectors are added."""
    a, b = torch.randn(2, 10_000_000)
    total = torch.empty_like(a)
    return 3 * a.nbytes / min(elapsed(torch.add, a, b, out=total) for _ in range(5))


def exp_rate():
    """Exponentials a second of what a cache holds."""
    a = torch.randn(65_536)
    out = torch.empty_like(a)
    return len(a) / min(elapsed(torch.exp, a, out=out) for _ in range(50))


def elapsed(function, *args, **kwargs):
    start = time.perf_counter()
    function(*args, **kwargs)
    return time.perf_counter() - start


def test_a_step_beside_what_the_machine_can_do(load_real):
    """Of a training step: how long its operations alone would take."""
    ours = Ours(*load_real(BATCH))
    batch = ours.data[torch.arange(BATCH)]
    ours.net._set_training(True)
    seconds = {}
    for way, n_threads in (("by torch", None), ("compiled", 1)):
        with compiled_loops(n_threads):
            ours.net.train_step(batch)
            seconds[way] = min(elapsed(ours.net.train_step, batch) for _ in range(20))
    n_sites, n_edges = len(batch[0].atomic_numbers), batch[0].edge_index.shape[1]
    columns, layers, basis = 64, 3, 8
    # Maps of sites to their terms, forward and twice backward; features of edges.
    products = layers * (3 * n_sites * 2 * columns * 4 * columns)
    products += layers * n_edges * 2 * 2 * columns * 41
    # What is gathered forward and backward: two sites and the features of an edge.
    sums = layers * 2 * n_edges * 2 * (2 + basis) * 2 * columns
    # An exponential, a logarithm and an inverse cost alike; forward and backward.
    transcendental = layers * 2 * n_edges * 4 * columns
    # Terms, tables, covariances and their gradients, each written once and read once.
    moved = layers * 6 * 2 * (2 * n_sites) * 2 * columns * 4
    parts = {
        "matrix products": products / gemm_rate(),
        "sums over rows": sums / gemm_rate(),
        "activations": transcendental / exp_rate(),
        "memory of sites": moved / bandwidth(),
    }
    print(
        f"\na step on {n_sites} sites and {n_edges} edges: "
        + ", ".join(f"{way} {1e3 * value:.0f} ms" for way, value in seconds.items())
        + f"\nthis machine: {gemm_rate() / 1e9:.0f} GFLOP/s in products, "
        f"{exp_rate() / 1e9:.1f} G exponentials/s, {bandwidth() / 1e9:.0f} GB/s"
    )
    for name, value in parts.items():
        print(f"  {name} alone: {1e3 * value:.0f} ms")
    assert min(seconds.values()) > sum(parts.values()) / 2  # or the count is wrong


def test_cost_by_crystals_sites_and_cores(load_real):
    structures, y = load_real(1500)
    graphs = CrystalGraphFeaturizer().transform(structures)
    print()
    for n_crystals in (100, 300, 1500):
        model = CGCNNRegressor(max_epochs=5, random_state=0)
        seconds = elapsed(model.fit, graphs[:n_crystals], y[:n_crystals])
        print(
            f"  fit on {n_crystals} crystals: {5 * n_crystals / seconds:.0f} a second"
        )
    for side in (2, 5, 10, 22):
        crystal, n_sites = shaken_cube(side), side**3
        made = CrystalGraphFeaturizer().transform([crystal])
        featurizing = min(
            elapsed(CrystalGraphFeaturizer().transform, [crystal.copy()])
            for _ in range(3)
        )
        predicting = min(elapsed(model.predict, made) for _ in range(3))
        print(
            f"  {n_sites} sites: featurized in {1e6 * featurizing / n_sites:.0f} µs a "
            f"site, predicted in {1e6 * predicting / n_sites:.0f} µs a site"
        )
    for connectivity, n_crystals in (("nearest", 6000), ("voronoi", 1000)):
        for n_jobs in (1, 2):
            structures, _ = load_real(n_crystals)
            featurizer = CrystalGraphFeaturizer(
                connectivity=connectivity, isolated_sites="keep", n_jobs=n_jobs
            )
            featurizer.transform(structures[:300])  # workers take time to start
            seconds = elapsed(featurizer.transform, structures)
            print(
                f"  {connectivity} neighbors found on {n_jobs} core(s): "
                f"{n_crystals / seconds:.0f} crystals a second"
            )
