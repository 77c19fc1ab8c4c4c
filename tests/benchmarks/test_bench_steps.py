"""Steps of a training by batch size, on small and on large cells.

Run by ``tox run -e bench -- -k steps``. The number of threads is that of the
environment variable ``STEPS_THREADS``, by default 1.
"""

import os
import time
from statistics import median

import pytest
import torch

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from timed_steps import TimedSteps

ROUNDS, N_CRYSTALS = 5, 2048
TARGETS = {"perovskites": "e_form", "materials_project": "formation_energy_per_atom"}


@pytest.mark.parametrize("folder", TARGETS)
def test_steps(load_real, folder):
    torch.set_num_threads(int(os.environ.get("STEPS_THREADS", "1")))
    structures, _ = load_real(N_CRYSTALS, TARGETS[folder], folder)
    graphs = CrystalGraphFeaturizer().transform(structures)
    print(f"\n{folder}, {torch.get_num_threads()} thread(s):")
    for batch_size in (16, 64, 256, 1024):
        ways = {
            "eager": TimedSteps(graphs, batch_size, compile=False),
            "compiled": TimedSteps(graphs, batch_size, compile=True),
        }
        found = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, steps in ways.items():
                found[way].append(steps.milliseconds_a_step())
        steps = {way: median(times) for way, times in found.items()}
        for way, step in steps.items():
            print(
                f"  batch {batch_size:5d} {way:9s} {step:7.1f} ms a step, "
                f"{1e3 * batch_size / step:6.0f} crystals a second"
            )
        assert steps["compiled"] < 1.1 * steps["eager"]


@pytest.mark.parametrize("folder", [*TARGETS, "elastic"])
def test_the_default_is_as_fast_as_the_better_way(load_real, folder):
    torch.set_num_threads(int(os.environ.get("STEPS_THREADS", "1")))
    label = {**TARGETS, "elastic": "K_VRH_GPa"}[folder]
    structures, y = load_real(600, label, folder)
    graphs = CrystalGraphFeaturizer().transform(structures)
    seconds = {True: [], False: [], "auto": []}
    CGCNNRegressor(compile=True, max_epochs=1).fit(graphs, y)  # compiles
    for _ in range(2):
        for way, times in seconds.items():
            model = CGCNNRegressor(compile=way, random_state=0)
            start = time.perf_counter()
            model.fit(graphs, y)
            times.append(time.perf_counter() - start)
    found = {way: median(times) for way, times in seconds.items()}
    better = min(found[True], found[False])
    print(
        f"\n{folder}: auto takes {found['auto'] / better:.2f} times as long as the "
        f"better way; compiled {found[True]:.1f} s, eager {found[False]:.1f} s"
    )
    assert found["auto"] < 1.1 * better
