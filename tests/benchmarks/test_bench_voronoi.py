"""What Voronoi neighbors cost, beside pymatgen's.

Run by ``tox run -e bench -- -k voronoi``.
"""

import time
import warnings

from pymatgen.analysis.local_env import VoronoiNN

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.graphs import VoronoiNeighbors


def test_voronoi_neighbors(load_real):
    structures, _ = load_real(1000)
    featurizer = CrystalGraphFeaturizer(
        connectivity=VoronoiNeighbors(missing_radii="ignore", isolated_sites="keep")
    )
    start = time.perf_counter()
    featurizer.transform(structures)
    ours = 1e3 * (time.perf_counter() - start) / len(structures)
    rule = VoronoiNN(cutoff=13, allow_pathological=True, compute_adj_neighbors=False)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for structure in structures[:100]:
            rule.get_all_voronoi_polyhedra(structure)
    theirs = 1e3 * (time.perf_counter() - start) / 100
    print(
        f"\nVoronoi neighbors, ms a crystal on one core: {ours:.2f} whole graphs (of "
        f"1,000 crystals), {theirs:.0f} VoronoiNN (of 100), ratio {theirs / ours:.0f}"
    )
    assert ours <= 15
