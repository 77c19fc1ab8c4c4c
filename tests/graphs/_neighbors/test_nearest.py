"""Test nearest neighbors against a sum over images, and known coordination."""

import itertools

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import NearestNeighbors, read_cell

SHELL_TOLERANCE = 1e-2


def find(structures, **settings):
    """Return the edges of each site of each crystal, as (neighbor, distance)."""
    edges = NearestNeighbors(**settings).find([read_cell(s) for s in structures])
    ends = np.cumsum(edges.counts)
    per_site = iter(zip(ends - edges.counts, ends, strict=True))
    return [
        [
            list(zip(edges.neighbors[a:b], edges.distances[a:b], strict=True))
            for a, b in itertools.islice(per_site, len(structure))
        ]
        for structure in structures
    ]


def brute_force(structure, radius):
    """Return all (neighbor, distance) within a radius of each site, image by image."""
    matrix = structure.lattice.matrix
    heights = structure.lattice.volume / np.linalg.norm(
        [np.cross(matrix[(i + 1) % 3], matrix[(i + 2) % 3]) for i in range(3)], axis=1
    )
    frac = structure.frac_coords % 1
    reach = [range(-n, n + 1) for n in np.ceil(radius / heights).astype(int) + 1]
    images = np.array(list(itertools.product(*reach)))
    shifts = frac[None, :, None] - frac[:, None, None] + images  # (i, j, image, 3)
    distances = np.linalg.norm(shifts @ matrix, axis=-1)
    return [
        [
            (j, distances[i, j, k])
            for j, k in np.argwhere(distances[i] <= radius)
            if distances[i, j, k] > 1e-8
        ]
        for i in range(len(structure))
    ]


def expected(structure, max_neighbors, cutoff):
    """Apply the definition of the rule to all sites within a large radius."""
    result = []
    for pairs in brute_force(structure, 10.0 if cutoff is None else cutoff):
        limit = np.inf
        if max_neighbors is not None and len(pairs) >= max_neighbors:
            limit = sorted(d for _, d in pairs)[max_neighbors - 1] + SHELL_TOLERANCE
        result.append([(j, d) for j, d in pairs if d <= limit])
    return result


def assert_same_edges(actual, desired):
    for left, right in zip(actual, desired, strict=True):
        left, right = sorted(left), sorted(right)
        assert [j for j, _ in left] == [j for j, _ in right]
        np.testing.assert_allclose(
            [d for _, d in left], [d for _, d in right], rtol=1e-10
        )


@pytest.mark.parametrize(
    ("max_neighbors", "cutoff"),
    [(12, None), (1, None), (30, None), (12, 4.0), (None, 5)],
)
def test_neighbors_are_those_of_brute_force(ionic, irregular, max_neighbors, cutoff):
    structures = ionic.data[:12] + irregular[:20]
    found = find(
        structures,
        max_neighbors=max_neighbors,
        cutoff=cutoff,
        isolated_sites="keep",
    )
    for structure, edges in zip(structures, found, strict=True):
        assert_same_edges(edges, expected(structure, max_neighbors, cutoff))


def test_neighbors_of_real_crystals_are_those_of_brute_force(real_crystals):
    structures = [s for s in real_crystals[0] if len(s) <= 12][:20]
    for structure, edges in zip(structures, find(structures), strict=True):
        assert_same_edges(edges, expected(structure, 12, None))


@pytest.mark.parametrize(
    ("structure", "shells"),
    [
        # Rock salt: 6 unlike neighbors at a/2, then a whole shell of 12 at a/sqrt(2).
        (
            Structure.from_spacegroup(
                "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
            ),
            {6: [6], 7: [6, 12], 12: [6, 12]},
        ),
        # Cesium chloride: 8 unlike at a*sqrt(3)/2, 6 like at a.
        (
            Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
            {8: [8], 12: [8, 6]},
        ),
        # A face-centered cubic metal: 12 nearest neighbors, then 6.
        (
            Structure(Lattice([[0, 2, 2], [2, 0, 2], [2, 2, 0]]), ["Cu"], [[0, 0, 0]]),
            {12: [12], 13: [12, 6]},
        ),
    ],
    ids=["rock salt", "cesium chloride", "fcc"],
)
def test_shells_are_taken_whole(structure, shells):
    for max_neighbors, sizes in shells.items():
        (edges,) = find([structure], max_neighbors=max_neighbors)
        for site in edges:
            distances = np.round([d for _, d in site], 6)
            assert list(np.unique(distances, return_counts=True)[1]) == sizes


def test_a_shell_split_by_rounding_is_taken_whole():
    # Files round coordinates by about 5e-4 Å.
    structure = Structure(
        Lattice.cubic(4.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5 + 5e-4 / 4]]
    )
    (edges,) = find([structure], max_neighbors=1)
    assert [len(site) for site in edges] == [8, 8]


def test_slabs_and_chains_are_searched_far_enough():
    # With a vacuum, the mean density says little about where the neighbors are.
    slab = Structure(Lattice.from_parameters(3, 3, 60, 90, 90, 120), ["C"], [[0, 0, 0]])
    chain = Structure(
        Lattice(np.diag([40.0, 40.0, 2.5]), pbc=(False, False, True)),
        ["C"],
        [[0, 0, 0]],
    )
    edges = find([slab, chain])
    assert_same_edges(edges[0], expected(slab, 12, None))
    assert sorted(d for _, d in edges[1][0]) == pytest.approx(
        [2.5 * n for n in (1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6)]
    )


def test_sites_outside_are_not_moved_where_nothing_repeats():
    lattice = Lattice(np.diag([3.0, 3.0, 30.0]), pbc=(True, True, False))
    edges = [
        find([Structure(lattice, ["C", "O"], [[0, 0, z], [0.5, 0.5, z + 0.05]])])[0]
        for z in (0.2, -0.5, 3.0, -0.01)
    ]
    for each in edges[1:]:
        assert_same_edges(each, edges[0])


def test_images_of_a_site_are_its_neighbors():
    structure = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])
    (edges,) = find([structure], max_neighbors=6)
    assert edges == [[(0, pytest.approx(3.0))] * 6]


def test_an_isolated_site_is_named_or_kept():
    structures = [
        Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]]),
        Structure(
            Lattice.cubic(9.0), ["H", "H", "He"], [[0] * 3, [0.08] * 3, [0.5] * 3]
        ),
    ]
    with pytest.raises(StructureError, match=r"site 2 has no neighbor.*cutoff=4") as e:
        find(structures, cutoff=4.0)
    assert e.value.index == 1
    edges = find(structures, cutoff=4.0, isolated_sites="keep")
    assert [len(site) for site in edges[1]] == [1, 1, 0]


@pytest.mark.parametrize("apart", [0.0, 0.05])
def test_coincident_sites_are_named(apart):
    fine = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])
    double = Structure(
        Lattice.cubic(4.0), ["Cs", "Cl", "Cl"], [[0] * 3, [0.5] * 3, [0.5, 0.5, 0.5]]
    )
    double.translate_sites(2, [apart / 4, 0, 0])
    with pytest.raises(StructureError, match="sites 1 and 2 lie only") as error:
        find([fine, double])
    assert error.value.index == 1


def test_some_limit_is_required():
    with pytest.raises(ValueError, match="max_neighbors=None and cutoff=None"):
        NearestNeighbors(max_neighbors=None)


@pytest.mark.parametrize("height", np.linspace(4.2, 6.5, 24))
def test_a_shell_that_sticks_out_of_the_first_sphere_is_taken_whole(height):
    # Tetragonal cells in steps: in some the last shell lies just beyond the radius
    # that the mean density suggests.
    lattice = Lattice.tetragonal(4.0, height)
    structure = Structure(lattice, ["Cs", "Cl"], [[0] * 3, [0.5, 0.5, 0.5 + 1e-3]])
    for max_neighbors in range(1, 24):
        (edges,) = find([structure], max_neighbors=max_neighbors)
        assert_same_edges(edges, expected(structure, max_neighbors, None))


@pytest.mark.parametrize("shift", [30, 1000, 1e9])
def test_sites_far_outside_their_cell_are_found_as_fast(shift):
    inside = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    outside = Structure(inside.lattice, inside.species, [[0] * 3, [0.5 + shift] * 3])
    assert_same_edges(*(find([each])[0] for each in (outside, inside)))


@pytest.mark.parametrize("steps", [3, 50, 100_000])
def test_oblique_cells_are_searched_as_fast(steps):
    upright = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    a, b, c = upright.lattice.matrix
    oblique = Structure(
        Lattice([a, b + steps * a, c - 2 * steps * b]),
        upright.species,
        upright.cart_coords,
        coords_are_cartesian=True,
    )
    for left, right in zip(
        *(find([each])[0] for each in (upright, oblique)), strict=True
    ):
        assert [j for j, _ in sorted(left)] == [j for j, _ in sorted(right)]
        np.testing.assert_allclose(
            sorted(d for _, d in left), sorted(d for _, d in right), rtol=1e-6
        )
