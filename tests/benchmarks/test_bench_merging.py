"""What merging equivalent sites saves in edges and in the time of an epoch.

Run by ``tox run -e bench -- -k merging``.
"""

from statistics import median

import numpy as np
import pytest

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.graphs import _equivalence

SETS = {
    "materials_project": ("formation_energy_per_atom", 3.0, 5.3),
    "elastic": ("K_VRH_GPa", 5.0, 6.3),
    "perovskites": ("e_form", 2.1, 2.3),
}


def savings(graphs):
    """Edges at 12 for every site of the cell, over those there are: total and mean."""
    twelve = 12 * np.diff(graphs.site_map_offsets)
    edges = np.diff(graphs.edge_offsets[graphs.site_offsets])
    return twelve.sum() / edges.sum(), (twelve / edges).mean()


@pytest.mark.parametrize("folder", SETS)
def test_edges_saved(load_real, folder, monkeypatch):
    label, total_bar, mean_bar = SETS[folder]
    structures, _ = load_real(None, label, folder)
    plain = CrystalGraphFeaturizer(merge_equivalent=False).transform(structures)
    print(f"\n{folder}, {len(structures)} crystals, edges against 12 per site")
    print(
        "  unmerged: {:.2f} times fewer in total, {:.2f} on average".format(
            *savings(plain)
        )
    )
    found = {}
    for tolerance in (1e-5, 1e-4, 1e-3, 1e-2):
        monkeypatch.setattr(_equivalence, "MERGE_TOLERANCE", tolerance)
        graphs = CrystalGraphFeaturizer().transform(structures)
        found[tolerance] = savings(graphs)
        sites = len(graphs.site_map) / graphs.n_sites
        print(
            "  {:.0e} Å: {:.2f} times fewer in total, {:.2f} on average; {:.2f} times "
            "fewer sites; {:.0f} bytes a crystal".format(
                tolerance, *found[tolerance], sites, graphs.nbytes / len(graphs)
            )
        )
    total, mean = found[1e-4]
    assert total >= total_bar
    assert mean >= mean_bar


def test_an_epoch_of_training(load_real):
    """5,000 crystals of the Materials Project, epochs of both in turn."""
    structures, energies = load_real(5000)
    graphs = {
        merge: CrystalGraphFeaturizer(merge_equivalent=merge).transform(structures)
        for merge in (True, False)
    }
    seconds = {True: [], False: []}
    for _ in range(3):
        for merge, each in graphs.items():
            model = CGCNNRegressor(max_epochs=2, random_state=0).fit(each, energies)
            seconds[merge].extend(model.net_.history[:, "dur"])
    ratio = median(seconds[True]) / median(seconds[False])
    print(
        f"\nan epoch takes {median(seconds[True]):.1f} s merged, "
        f"{median(seconds[False]):.1f} s unmerged: {ratio:.2f}"
    )
    assert ratio <= 0.5
