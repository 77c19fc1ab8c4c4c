"""What predictions cost in memory, and steps, crystals and ensembles in time.

Run by ``tox run -e bench -- -k costs``.
"""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._ops._threads import compiled_loops
from sklearn_cgcnn.uncertainty import EnsembleRegressor
from timed_steps import TimedSteps


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
    structures, _ = load_real(256)
    graphs = CrystalGraphFeaturizer().transform(structures)
    ours = TimedSteps(graphs, len(graphs), 1)
    batch = ours.data[torch.arange(len(graphs))]
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
    flops, exponentials, bytes_moved = gemm_rate(), exp_rate(), bandwidth()
    parts = {
        "matrix products": products / flops,
        "sums over rows": sums / flops,
        "activations": transcendental / exponentials,
        "memory of sites": moved / bytes_moved,
    }
    print(
        f"\na step on {n_sites} sites and {n_edges} edges: "
        + ", ".join(f"{way} {1e3 * value:.0f} ms" for way, value in seconds.items())
        + f"\nthis machine: {flops / 1e9:.0f} GFLOP/s in products, "
        f"{exponentials / 1e9:.1f} G exponentials/s, {bytes_moved / 1e9:.0f} GB/s"
    )
    for name, value in parts.items():
        print(f"  {name} alone: {1e3 * value:.0f} ms")
    assert min(seconds.values()) > sum(parts.values()) / 2  # or the count is wrong


@pytest.fixture(scope="module")
def graphs_and_energies(load_real):
    structures, y = load_real(1500)
    return CrystalGraphFeaturizer().transform(structures), y


def test_cost_by_number_of_crystals(graphs_and_energies):
    graphs, y = graphs_and_energies
    print()
    for n_crystals in (100, 300, 1500):
        model = CGCNNRegressor(max_epochs=5, random_state=0)
        seconds = elapsed(model.fit, graphs[:n_crystals], y[:n_crystals])
        print(
            f"  fit on {n_crystals} crystals: {5 * n_crystals / seconds:.0f} a second"
        )


def test_cost_by_number_of_sites(graphs_and_energies):
    model = CGCNNRegressor(max_epochs=1, random_state=0).fit(*graphs_and_energies)
    print()
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


def test_cost_of_neighbors_by_number_of_cores(load_real):
    print()
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


def test_cost_of_an_ensemble_on_two_cores(load_real):
    structures, modulus = load_real(1148, "K_VRH_GPa", "elastic")
    graphs, y = CrystalGraphFeaturizer().transform(structures), np.log10(modulus)
    five = EnsembleRegressor(n_estimators=5, n_jobs=2, random_state=0)
    torch.set_num_threads(2)
    CGCNNRegressor(max_epochs=1).fit(graphs, y)  # compiles
    ratios = [
        elapsed(five.fit, graphs, y)
        / elapsed(CGCNNRegressor(random_state=seed).fit, graphs, y)
        for seed in range(3)
    ]
    torch.set_num_threads(1)
    print(f"\n  five members take {np.mean(ratios):.2f} times as long as one model")
