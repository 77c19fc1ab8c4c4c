"""Test merging against known symmetry, and against a slow and exact refinement."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Element, Lattice, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.exceptions import StructureError

MERGE_TOLERANCE = 1e-4
MERGE_SPREAD = 3e-4

FACE_CENTERED = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def merged(structures):
    return CrystalGraphFeaturizer().transform(structures)


def plain(structures):
    return CrystalGraphFeaturizer(merge_equivalent=False).transform(structures)


@pytest.mark.parametrize(
    ("structure", "sites", "edges"),
    [
        # The example of the supplement: 8 sites of rock salt become 2.
        (
            Structure.from_spacegroup(
                "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
            ),
            [("Na", 4), ("Cl", 4)],
            [("Na", "Na", 12), ("Na", "Cl", 6), ("Cl", "Na", 6), ("Cl", "Cl", 12)],
        ),
        # The three anions of a perovskite become one.
        (
            Structure.from_spacegroup(
                "Pm-3m",
                Lattice.cubic(3.9),
                ["Sr", "Ti", "O"],
                [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]],
            ),
            [("Sr", 1), ("Ti", 1), ("O", 3)],
            [
                ("Sr", "O", 12),
                ("Ti", "O", 6),
                ("Ti", "Sr", 8),
                ("O", "Ti", 2),
                ("O", "Sr", 4),
                ("O", "O", 8),
            ],
        ),
        # Diamond: one site stands for eight.
        (
            Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.57), ["C"], [[0] * 3]),
            [("C", 8)],
            [("C", "C", 4), ("C", "C", 12)],
        ),
    ],
    ids=["rock salt", "perovskite", "diamond"],
)
def test_known_crystals(structure, sites, edges):
    graph = merged([structure])
    graph.check()
    names = [Element.from_Z(z).symbol for z in graph.atomic_numbers]
    assert list(zip(names, graph.multiplicity, strict=True)) == sites
    center, neighbor = graph.edge_index
    found = [
        (names[i], names[j], w)
        for i, j, w in zip(center, neighbor, graph.edge_weights, strict=True)
    ]
    assert sorted(found) == sorted(edges)


def test_what_lies_further_off_parts_sites_too():
    # A chain of one oxygen and six carbon atoms, at equal distances. The carbon atoms
    # differ only in how far away the oxygen is: one, two or three steps. Each round of
    # the refinement separates one pair of them.
    heights = [[0, 0, k / 7] for k in range(7)]
    chain = Structure(Lattice.orthorhombic(9, 9, 14), ["O", *"CCCCCC"], heights)
    (graph,) = CrystalGraphFeaturizer(max_neighbors=2).transform([chain])
    assert graph.multiplicity.tolist() == [1, 2, 2, 2]
    assert graph.site_map.tolist() == [0, 1, 2, 3, 3, 2, 1]


def distance_classes(distances):
    """Number distances by class, and divide classes that are too wide."""
    groups = []
    for each in np.argsort(distances):
        if groups and distances[each] - distances[groups[-1][-1]] <= MERGE_TOLERANCE:
            groups[-1].append(each)
        else:
            groups.append([each])
    classes, number = {}, 0
    for group in groups:
        wide = distances[group[-1]] - distances[group[0]] > MERGE_SPREAD
        before = -np.inf
        for each in group:
            apart = distances[each] - before > (1e-8 if wide else np.inf)
            number += bool(apart or np.isneginf(before))
            classes[each] = number
            before = distances[each]
    return [classes[each] for each in range(len(distances))]


def partition_by_brute_force(graph):
    """Refine with the multisets themselves as colors, without hashes."""
    classes = distance_classes(graph.distances)
    edges = [[] for _ in range(graph.n_sites)]
    for center, neighbor, each in zip(*graph.edge_index, classes, strict=True):
        edges[center].append((neighbor, each))
    colors = list(map(int, graph.atomic_numbers))
    while True:
        signatures = [
            (
                colors[i],
                frozenset(Counter((d, colors[j]) for j, d in edges[i]).items()),
            )
            for i in range(graph.n_sites)
        ]
        names = {signature: n for n, signature in enumerate(dict.fromkeys(signatures))}
        refined = [names[signature] for signature in signatures]
        if len(set(refined)) == len(set(colors)):
            return refined
        colors = refined


def assert_merged_as_by_brute_force(structures):
    for many, few in zip(plain(structures), merged(structures), strict=True):
        assert few.site_map.tolist() == partition_by_brute_force(many)
        # The counts of edges between two sites, and their mean length, stay the same.
        center, neighbor = many.edge_index
        written_out = zip(few.site_map[center], few.site_map[neighbor], strict=True)
        count = Counter(written_out)
        first, second = few.edge_index
        total = few.edge_weights.astype(int) * few.multiplicity[first]
        recount = Counter()
        for i, j, n in zip(first, second, total, strict=True):
            recount[i, j] += n
        assert recount == count
        assert (total @ few.distances) == pytest.approx(many.distances.sum(), rel=1e-12)


def test_merging_is_that_of_brute_force(ionic, irregular):
    supercells = [s.make_supercell([2, 1, 2], in_place=False) for s in ionic.data[:10]]
    assert_merged_as_by_brute_force(ionic.data + irregular + supercells)


def test_merging_of_real_crystals_is_that_of_brute_force(real_crystals):
    assert_merged_as_by_brute_force(real_crystals[0])


def test_crystals_do_not_see_each_other(ionic, irregular):
    structures = irregular[:10] + ionic.data[:10] * 2
    together, alone = merged(structures), [merged([s]) for s in structures]
    for left, right in zip(together, alone, strict=True):
        np.testing.assert_array_equal(left.edge_index, right.edge_index)
        np.testing.assert_array_equal(left.site_map, right.site_map)
        np.testing.assert_allclose(left.distances, right.distances, rtol=1e-14)


def assert_same_graph(left, right, times):
    """Check that graphs are equal, except for a factor between their multiplicities."""
    np.testing.assert_array_equal(left.atomic_numbers, right.atomic_numbers)
    np.testing.assert_array_equal(left.multiplicity, times * right.multiplicity)
    np.testing.assert_array_equal(left.edge_index, right.edge_index)
    np.testing.assert_array_equal(left.edge_weights, right.edge_weights)
    np.testing.assert_allclose(left.distances, right.distances, rtol=1e-9)


def random_crystal(seed, n_sites, symmetric):
    rng = np.random.RandomState(seed)
    if symmetric:
        return make_ionic_crystals(1, random_state=rng, max_strain=0).data[0]
    lengths = rng.uniform(3.5, 6, 3) * n_sites ** (1 / 3)
    lattice = Lattice.from_parameters(*lengths, *rng.uniform(75, 105, 3))
    species = rng.randint(1, 4, n_sites)
    return Structure(lattice, species, rng.uniform(0, 1, (n_sites, 3)))


crystals = st.builds(
    random_crystal,
    seed=st.integers(0, 2**31),
    n_sites=st.integers(1, 4),
    symmetric=st.booleans(),
).filter(lambda structure: structure.is_valid(0.6))
hypothesis = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@hypothesis
@given(crystals)
def test_a_3x3x3_supercell_gives_the_graph_of_the_primitive_cell(structure):
    primitive = merged([structure])
    supercell = merged([structure.make_supercell(3, in_place=False)])
    assert_same_graph(supercell, primitive, 27)


@hypothesis
@given(crystals, st.integers(0, 2**31))
def test_relabeling_permutes_the_sites_and_nothing_else(structure, seed):
    order = np.random.RandomState(seed).permutation(len(structure))
    relabeled = Structure.from_sites([structure[i] for i in order])
    before, after = merged([structure]), merged([relabeled])
    assert after.n_sites == before.n_sites
    assert after.n_edges == before.n_edges
    np.testing.assert_array_equal(
        after.expand_sites(after.atomic_numbers),
        before.expand_sites(before.atomic_numbers)[order],
    )
    # The same sites are merged with each other.
    same = before.site_map[:, None] == before.site_map
    same_after = after.site_map[:, None] == after.site_map
    np.testing.assert_array_equal(same_after, same[np.ix_(order, order)])


@hypothesis
@given(crystals)
def test_merged_sites_are_of_one_element_with_equal_surroundings(structure):
    assert_merged_as_by_brute_force([structure])


def test_small_disorder_parts_no_sites():
    structure = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
    )
    jittered = structure.copy()
    jittered.perturb(1e-6)
    graph = merged([jittered])
    assert graph.multiplicity.tolist() == [4, 4]
    expected = merged([structure]).distances
    np.testing.assert_allclose(graph.distances, expected, atol=1e-9)


def test_distances_are_compared_by_gaps_not_on_a_grid():
    # 3.00005 Å lies between two steps of 1e-4 Å. Distances of 2e-6 Å below and above it
    # would be rounded to different steps, but belong to one class.
    def chain(shift):
        lattice = Lattice.orthorhombic(3.00005, 3.00005 + shift, 12)
        return merged([Structure(lattice, ["C"], [[0, 0, 0]])])

    assert len(set(chain(4e-6).distances)) == len(set(chain(0).distances))
    assert len(set(chain(1e-3).distances)) > len(set(chain(0).distances))


def test_small_steps_do_not_add_up():
    # Noise of 3e-4 Å closes every gap between the distances of a large supercell.
    structure = Structure(Lattice.cubic(3.6), ["Cu"] * 4, FACE_CENTERED)
    noisy = structure.make_supercell([5, 5, 5], in_place=False)
    rng = np.random.default_rng(0)
    for site in range(len(noisy)):
        noisy.translate_sites([site], rng.normal(0, 3e-4, 3), frac_coords=False)
    graph, unmerged = merged([noisy]), plain([noisy])
    assert graph.n_sites == len(noisy) == 500
    assert graph.n_edges == unmerged.n_edges
    left, right = np.sort(graph.distances), np.sort(unmerged.distances)
    np.testing.assert_allclose(left, right, atol=1e-8)


def test_no_distance_moves_further_than_the_spread(ionic, irregular):
    structures = [s.copy() for s in ionic.data + irregular]
    for seed, structure in enumerate(structures):
        structure.perturb(3e-5 * (seed % 7))
    for many, few in zip(plain(structures), merged(structures), strict=True):
        center, neighbor = (few.site_map[end] for end in many.edge_index)
        first, second = few.edge_index
        for i, j, d in zip(center, neighbor, many.distances, strict=True):
            same_ends = (first == i) & (second == j)
            assert abs(few.distances[same_ends] - d).min() < MERGE_SPREAD


def test_weights_that_cannot_be_counted_are_refused(monkeypatch):
    monkeypatch.setattr(np, "iinfo", lambda dtype: type("Tiny", (), {"max": 7}))
    fine = Structure(Lattice.cubic(3.0), ["Po"], [[0] * 3])
    eight = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    featurizer = CrystalGraphFeaturizer(max_neighbors=6)
    assert len(featurizer.transform([fine])) == 1
    with pytest.raises(StructureError, match=r"X\[1\] \(Cs1 Cl1\): a site has 8 equal"):
        featurizer.transform([fine, eight])
