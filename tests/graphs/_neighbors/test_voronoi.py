"""Test Voronoi neighbors against geometry, and against pymatgen's VoronoiNN."""

import numpy as np
import pytest
from pymatgen.analysis.local_env import VoronoiNN
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphSettingsError, StructureError
from sklearn_cgcnn.graphs import VoronoiNeighbors, read_cell
from sklearn_cgcnn.graphs._neighbors._voronoi_faces import find_faces

BCC = Structure(Lattice.cubic(3.0), ["Fe", "Fe"], [[0] * 3, [0.5] * 3])
FCC = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.0), ["Cu"], [[0] * 3])
SIMPLE = Structure(Lattice.cubic(3.4), ["Po"], [[0] * 3])
BATIO3 = Structure(
    Lattice.cubic(4.0),
    ["Ba", "Ti", "O", "O", "O"],
    [[0] * 3, [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
)


@pytest.mark.parametrize(
    ("structure", "shells"),
    [
        (SIMPLE, [(3.4, 6, 4 * np.pi / 6)]),
        (FCC, [(4 / np.sqrt(2), 12, 4 * np.pi / 12)]),
        # The cell is a truncated octahedron. A square has 0.445 sr.
        (
            BCC,
            [
                (1.5 * np.sqrt(3), 8, (4 * np.pi - 6 * 0.4453640) / 8),
                (3.0, 6, 0.4453640),
            ],
        ),
    ],
    ids=["simple cubic", "fcc", "bcc"],
)
def test_faces_of_simple_lattices(structure, shells):
    faces = find_faces(read_cell(structure))
    of_first = faces.centers == 0
    for distance, count, solid_angle in shells:
        shell = of_first & np.isclose(faces.distances, distance)
        angles = faces.solid_angles[shell]
        angles = angles[angles > 1e-6]  # faces may shrink to nothing, but not to less
        assert len(angles) == count
        np.testing.assert_allclose(angles, solid_angle, rtol=1e-6)


def assert_faces_close(structures):
    """Check that the faces of each cell cover the whole sphere."""
    for structure in structures:
        faces = find_faces(read_cell(structure))
        total = np.bincount(faces.centers, faces.solid_angles, len(structure))
        np.testing.assert_allclose(total, 4 * np.pi, rtol=1e-9)
        assert (np.diff(faces.centers) >= 0).all()


def test_faces_close(ionic, irregular):
    assert_faces_close([*ionic.data, *irregular, BATIO3])


def test_faces_of_real_crystals_close(real_crystals):
    assert_faces_close(real_crystals[0])


def test_faces_that_shrink_to_nothing_do_not_flicker():
    """In cubic barium titanate, the face between two Ba sites has no area."""
    rng = np.random.default_rng(0)
    rule = VoronoiNeighbors(cutoff=6.0)
    expected = rule.find([read_cell(BATIO3)])
    for _ in range(20):
        moved = BATIO3.copy().perturb(rng.uniform(0, 5e-4))
        found = rule.find([read_cell(moved)])
        np.testing.assert_array_equal(found.counts, expected.counts)


def faces_of_pymatgen(structure, least):
    rule = VoronoiNN(cutoff=13, allow_pathological=True, compute_adj_neighbors=False)
    for site, polyhedron in zip(
        structure, rule.get_all_voronoi_polyhedra(structure), strict=True
    ):
        faces = [
            (np.linalg.norm(each["site"].coords - site.coords), each["solid_angle"])
            for each in polyhedron.values()
            if each["solid_angle"] >= least
        ]
        yield np.array(sorted(faces)).reshape(-1, 2)


def assert_faces_are_those_of_pymatgen(structures, least=0.05):
    for structure in structures:
        cell = read_cell(structure, normalize=False)
        faces = find_faces(cell)
        for site, expected in enumerate(faces_of_pymatgen(structure, least)):
            of_site = (faces.centers == site) & (faces.solid_angles >= least)
            assert of_site.sum() == len(expected), structure
            distances, angles = faces.distances[of_site], faces.solid_angles[of_site]
            np.testing.assert_allclose(np.sort(distances), expected[:, 0], atol=1e-6)
            np.testing.assert_allclose(
                np.sort(angles), np.sort(expected[:, 1]), atol=1e-6
            )


def test_faces_are_those_of_pymatgen(ionic, irregular):
    # VoronoiNN finds nothing for sites outside the cell.
    inside = [Structure.from_sites(s, to_unit_cell=True) for s in irregular[:10]]
    assert_faces_are_those_of_pymatgen([*ionic.data[:10], *inside])


def test_faces_in_real_crystals_are_those_of_pymatgen(load_real):
    structures, _ = load_real(300)
    assert_faces_are_those_of_pymatgen(structures)


def test_bonds_are_faces_within_the_sum_of_the_radii():
    # Cordero: Ba 2.15, Ti 1.60, O 0.66 Å; Ba-O 2.83, Ti-O 2.00, O-O 2.83 Å.
    edges = VoronoiNeighbors().find([read_cell(BATIO3)])
    assert edges.counts.tolist() == [12, 6, 6, 6, 6]
    of_barium = edges.distances[:12]
    np.testing.assert_allclose(of_barium, 4 / np.sqrt(2))
    assert set(edges.neighbors[:12]) == {2, 3, 4}
    of_titanium = edges.distances[12:18]
    np.testing.assert_allclose(of_titanium, 2.0)
    near = VoronoiNeighbors(cutoff=2.5, isolated_sites="keep")
    assert near.find([read_cell(BATIO3)]).counts.tolist() == [0, 6, 2, 2, 2]


# Open cells


def test_a_slab_a_chain_and_an_atom():
    """A Voronoi cell is open if it has no neighbors on one side. It still has faces."""
    slab = Structure(Lattice.from_parameters(3, 3, 60, 90, 90, 90), ["Fe"], [[0] * 3])
    assert VoronoiNeighbors().find([read_cell(slab)]).counts.tolist() == [4]
    pbc = (True, False, False)
    chain = Structure(Lattice(np.diag([2.5, 30, 30]), pbc=pbc), ["Fe"], [[0, 0.5, 0.5]])
    assert VoronoiNeighbors().find([read_cell(chain)]).counts.tolist() == [2]
    atom = Structure(Lattice.cubic(30.0), ["Xe"], [[0] * 3])
    with pytest.raises(StructureError, match=r"site 0 shares no face.*pass iso"):
        VoronoiNeighbors().find([read_cell(atom)])
    kept = VoronoiNeighbors(isolated_sites="keep").find([read_cell(atom)])
    assert kept.counts.tolist() == [0]


def test_two_layers():
    """The Voronoi cells of a bilayer are prisms that are open on one side."""
    lattice = Lattice.from_parameters(2.8, 2.8, 60, 90, 90, 90)
    layers = Structure(lattice, ["Fe", "Fe"], [[0] * 3, [0, 0, 2.4 / 60]])
    faces = find_faces(read_cell(layers))
    total = np.bincount(faces.centers, faces.solid_angles)
    np.testing.assert_allclose(total, 4 * np.pi)
    edges = VoronoiNeighbors().find([read_cell(layers)])
    assert edges.counts.tolist() == [5, 5]


# In the featurizer


def voronoi(*, merge_equivalent=True, **params):
    return CrystalGraphFeaturizer(
        connectivity=VoronoiNeighbors(**params), merge_equivalent=merge_equivalent
    )


def test_graphs_know_neither_order_nor_cell_nor_orientation(irregular):
    rng = np.random.default_rng(0)
    featurizer = voronoi(isolated_sites="keep", merge_equivalent=False)
    for structure in irregular[:15]:
        order = rng.permutation(len(structure))
        moved = Structure.from_sites([structure[i] for i in order])
        turn = Rotation.from_quat(rng.normal(size=4)).as_matrix()
        moved = Structure(
            Lattice(moved.lattice.matrix @ turn), moved.species, moved.frac_coords
        )
        moved.make_supercell([[1, 1, 0], [0, 2, 0], [0, 0, 1]])
        before, after = featurizer.transform([structure]), featurizer.transform([moved])
        counts = np.bincount(np.diff(before.edge_offsets), minlength=40)
        again = np.bincount(np.diff(after.edge_offsets), minlength=40)
        np.testing.assert_array_equal(2 * counts, again)
        lengths = np.sort(np.repeat(before.distances, 2))
        np.testing.assert_allclose(np.sort(after.distances), lengths, atol=1e-8)


def test_settings_travel_with_the_graphs(ionic):
    featurizer = voronoi(min_solid_angle=0.2, isolated_sites="keep")
    graphs = featurizer.transform(ionic.data)
    assert graphs.settings == {
        "connectivity": {"rule": "voronoi", "cutoff": 6.0, "min_solid_angle": 0.2},
        "merge_equivalent": True,
    }
    model = CGCNNRegressor(max_epochs=2, random_state=0).fit(graphs, ionic.target)
    assert model.featurizer_.graph_settings() == graphs.settings
    with pytest.raises(GraphSettingsError, match=r"angle=0\.2 instead of 0\.05"):
        voronoi().transform(graphs)
    with pytest.raises(
        GraphSettingsError,
        match=r"made with connectivity='voronoi' instead of 'nearest', "
        r"cutoff=6\.0 instead of None;",
    ):
        CrystalGraphFeaturizer().transform(graphs)


def test_elements_without_a_radius():
    berkelium = Structure(Lattice.cubic(3.0), ["O", "Bk"], [[0] * 3, [0.5] * 3])
    with pytest.raises(
        StructureError,
        match=r"X\[1\] .*site 1 holds Bk \(element 97\).*missing_radii=\"ignore\"",
    ):
        voronoi().transform([BCC, berkelium])
    graphs = voronoi(missing_radii="ignore").transform([berkelium])
    # Eight faces between O and Bk, six between Bk and Bk; O and O are too far apart.
    assert graphs.edge_weights.tolist() == [8, 8, 6]


def test_coincident_sites():
    twice = Structure(Lattice.cubic(4.0), ["O", "O"], [[0] * 3, [0, 0, 0.01]])
    with pytest.raises(StructureError, match=r"X\[0\].*sites . and . lie only 0.04 Å"):
        voronoi().transform([twice])
