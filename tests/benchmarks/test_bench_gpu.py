"""Training and prediction on a GPU, by batch size, precision and compilation.

Run by ``tox run -e bench -- -k gpu``, meant for ten minutes. Where ``GPU_TABLE`` names
a file, the rows are written to it as CSV. Without a GPU the same steps run on the CPU,
with small batches, so that the benchmark itself is known to work; their times say
nothing of a GPU.

A step that a CUDA graph replays costs no launches. It is measured for one batch, whose
shapes stay as they are, because batches of crystals differ in shape: what it gains is
the most that padding all batches to one shape could gain.
"""

import csv
import os
import time
from statistics import median

import pytest
import torch

from sklearn_cgcnn import CrystalGraphFeaturizer
from timed_steps import TimedSteps

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
BATCH_SIZES = (64, 256, 1024, 4096) if ON_GPU else (16, 64)
N_BATCHES, ROUNDS = (8, 5) if ON_GPU else (2, 2)
N_CRYSTALS = 12_288 if ON_GPU else 256
TARGETS = {"perovskites": "e_form", "materials_project": "formation_energy_per_atom"}
WAYS = {
    f"{'compiled' if compiled else 'eager'}, {precision}": {
        "compile": compiled,
        "matmul_precision": precision,
    }
    for compiled in (False, True)
    for precision in ("float32", "tf32", "bfloat16")
}


def gigabytes_at_peak(function):
    """Memory of the GPU at the peak of a call, what lay there before included."""
    if not ON_GPU:
        function()
        return float("nan")
    torch.cuda.reset_peak_memory_stats()
    function()
    return torch.cuda.max_memory_allocated() / 1e9


def milliseconds_replayed(steps):
    """Time forward and backward of one batch: as they are, and by a CUDA graph."""
    net = steps.net
    batch, targets = steps.data[torch.arange(min(len(steps.data), net.batch_size))]
    net._set_training(True)

    def forward_and_backward():
        net.module_.zero_grad(set_to_none=False)
        net.get_loss(net.infer(batch), targets, batch, training=True).backward()

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):  # memory and libraries are prepared outside graphs
        for _ in range(3):
            forward_and_backward()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        forward_and_backward()
    found = []
    for function in (forward_and_backward, graph.replay):
        function()
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(20):
            function()
        torch.cuda.synchronize()
        found.append(1e3 * (time.perf_counter() - start) / 20)
    return found


def measured(graphs, batch_size):
    """Yield a row for each way to compute, each measured in turn."""
    ways = {
        way: TimedSteps(graphs, batch_size, N_BATCHES, device=DEVICE, **params)
        for way, params in WAYS.items()
    }
    # The first passes compile, and show the memory.
    peaks = {
        way: gigabytes_at_peak(steps.milliseconds_a_step) for way, steps in ways.items()
    }
    for steps in ways.values():
        steps.crystals_a_second_predicted()
    found = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, steps in ways.items():
            found[way].append(
                (steps.milliseconds_a_step(), steps.crystals_a_second_predicted())
            )
    for way, rounds in found.items():
        step, predicted = map(median, zip(*rounds, strict=True))
        yield {
            "way": way,
            "batch": batch_size,
            "ms a step": f"{step:.2f}",
            "trained a second": f"{1e3 * batch_size / step:.0f}",
            "predicted a second": f"{predicted:.0f}",
            "GB at the peak": f"{peaks[way]:.2f}",
        }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("folder", TARGETS)
def test_gpu(load_real, folder):
    structures, _ = load_real(N_CRYSTALS, TARGETS[folder], folder)
    graphs = CrystalGraphFeaturizer(n_jobs=-1).transform(structures)
    print(f"\n{folder} on {torch.cuda.get_device_name() if ON_GPU else 'a CPU'}:")
    rows = []
    for batch_size in BATCH_SIZES:
        for row in measured(graphs, batch_size):
            rows.append({"crystals": folder, **row})
            print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
    table = os.environ.get("GPU_TABLE")
    if table:
        is_new = not os.path.exists(table)
        with open(table, "a", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerows(rows)
    assert len(rows) == len(BATCH_SIZES) * len(WAYS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("folder", TARGETS)
def test_gpu_graph(load_real, folder):
    if not ON_GPU:
        pytest.skip("no GPU, and CUDA graphs need one")
    structures, _ = load_real(2048, TARGETS[folder], folder)
    graphs = CrystalGraphFeaturizer(n_jobs=-1).transform(structures)
    for batch_size in BATCH_SIZES[:3]:
        steps = TimedSteps(graphs, batch_size, 2, device=DEVICE, compile=False)
        as_is, replayed = milliseconds_replayed(steps)
        print(
            f"\n{folder}, batch {batch_size}, forward and backward: {as_is:.2f} ms, "
            f"replayed by a CUDA graph {replayed:.2f} ms"
        )
        assert replayed < 1.1 * as_is
