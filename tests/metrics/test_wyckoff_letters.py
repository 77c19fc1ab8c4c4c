"""Letters are equivalent if a map of the space group onto itself exchanges them.

Two errors are possible. If a relabeling were missing, one crystal would have two labels
in different settings: this is tested on random crystals. If there were one too many,
different prototypes would share a label: the relabelings are compared with those of
pymatgen and, for the space groups where pymatgen has fewer, with maps that are given
here.
"""

from functools import cache
from itertools import product

import numpy as np
import pytest
import spglib
from pymatgen.analysis import prototypes as pymatgen_prototypes
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn.metrics import crystal_groups
from sklearn_cgcnn.metrics._wyckoff_letters import MIRROR_IMAGES, relabelings

N_GROUPS = 230

# spglib announces a new way to report errors on every call.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING to false")


def relabeled(space_group, letters):
    """All that the letters of a space group may be replaced by."""
    return {letters.translate(table) for table in relabelings(space_group)}


# No relabeling is missing


@cache
def operations(space_group):
    """Rotations and translations in the first setting that spglib knows."""
    for hall_number in range(1, 531):
        if spglib.get_spacegroup_type(hall_number).number == space_group:
            found = spglib.get_symmetry_from_database(hall_number)
            return found["rotations"], found["translations"]
    raise AssertionError


def orbit(space_group, point):
    rotations, translations = operations(space_group)
    images = (rotations @ point + translations) % 1
    _, firsts = np.unique(np.round(images, 6) % 1, axis=0, return_index=True)
    return images[firsts]


def draw_lattice(space_group, rng):
    a, b, c = rng.uniform(6, 12, 3)
    alpha, beta, gamma = rng.uniform(70, 110, 3)
    parameters = {
        2: (a, b, c, alpha, beta, gamma),
        15: (a, b, c, 90, beta, 90),
        74: (a, b, c, 90, 90, 90),
        142: (a, a, c, 90, 90, 90),
        194: (a, a, c, 90, 90, 120),
        230: (a, a, a, 90, 90, 90),
    }
    system = min(last for last in parameters if space_group <= last)
    return Lattice.from_parameters(*parameters[system])


def draw_sites(space_group, rng):
    """Return a general orbit, and up to four more, most on special positions."""
    coords = orbit(space_group, rng.random(3))
    numbers = np.full(len(coords), 5)
    for number in range(6, 10):
        special = rng.integers(0, 4, 3) / 4
        new = orbit(space_group, np.where(rng.random(3) < 0.7, special, rng.random(3)))
        apart = new[:, None] - coords
        if abs(apart - np.round(apart)).max(axis=-1).min() > 0.02:
            coords = np.concatenate([coords, new])
            numbers = np.append(numbers, np.full(len(new), number))
    return numbers, coords


@pytest.mark.parametrize("space_group", [*range(1, 16), *range(16, N_GROUPS + 1, 5)])
def test_labels_are_the_same_in_every_setting(space_group, describe_anew):
    rng = np.random.default_rng(space_group)
    numbers, coords = draw_sites(space_group, rng)
    # The standard cell depends on the lattice parameters, which are not compared.
    crystals = [
        Structure(draw_lattice(space_group, rng), numbers, coords) for _ in range(3)
    ]
    crystals += [describe_anew(each, rng) for each in crystals]
    labels = crystal_groups(crystals, by="prototype", symprec=1e-3)
    assert len(set(labels.tolist())) == 1
    expected = MIRROR_IMAGES.get(space_group, space_group)
    assert labels[0].split("_")[1] == str(expected)


# None is too many


@pytest.mark.skipif(
    not hasattr(pymatgen_prototypes, "WYCKOFF_POSITION_RELAB_DICT"),
    reason="this version of pymatgen has no relabelings",
)
def test_relabelings_agree_with_those_of_pymatgen():
    tables = pymatgen_prototypes.WYCKOFF_POSITION_RELAB_DICT
    differing = set()
    for space_group in range(1, N_GROUPS + 1):
        first, *_ = theirs = tables[str(space_group)]
        letters = "".join(map(chr, first))
        expected = {letters.translate(table) for table in theirs}
        actual = relabeled(space_group, letters)
        assert actual >= expected
        if actual != expected:
            differing.add(space_group)
    # Those of pymatgen keep the metric of a general monoclinic or triclinic lattice.
    assert differing == {2, 3, 10, 11, 12, 14}


def test_relabelings_of_inversion_centers_are_the_affine_maps_of_a_cube():
    # The positions a to h of P-1 are the corners of a cube, as vectors modulo 2.
    first = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    last = [(1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)]
    corners = dict(zip(first + last, "abcdefgh", strict=True))
    maps = set()
    for matrix in product(corners, repeat=3):
        if round(np.linalg.det(matrix)) % 2:
            for shift in corners:
                images = (np.array(list(corners)) @ matrix + shift) % 2
                maps.add("".join(corners[tuple(image)] for image in images.tolist()))
    assert len(maps) == 1344
    assert relabeled(2, "abcdefgh") == maps


# With y = 1/4, moving the origin by b/2 turns (0, y, 0) into its image (0, -y, 0).
h, y = 0.5, 0.25

# Points on the positions with at most one free coordinate, and maps of the space group
# onto itself: another origin, other axes, another cell.
MONOCLINIC = {
    3: (
        {"a": (0, y, 0), "b": (0, y, h), "c": (h, y, 0), "d": (h, y, h)},
        ["x, y, z + h", "z, y, x", "x, y, z - x"],
    ),
    10: (
        {"a": (0, 0, 0), "b": (0, h, 0), "c": (0, 0, h), "d": (h, 0, 0)}
        | {"e": (h, h, 0), "f": (0, h, h), "g": (h, 0, h), "h": (h, h, h)}
        | {"i": (0, y, 0), "j": (h, y, 0), "k": (0, y, h), "l": (h, y, h)},
        ["x, y + h, z", "x, y, z + h", "z, y, x", "x, y, z - x"],
    ),
    11: (
        {"a": (0, 0, 0), "b": (h, 0, 0), "c": (0, 0, h), "d": (h, 0, h)},
        ["x, y, z + h", "z, y, x", "x, y, z - x"],
    ),
    12: (
        {"a": (0, 0, 0), "b": (0, h, 0), "c": (0, 0, h), "d": (0, h, h)}
        | {"e": (h / 2, h / 2, 0), "f": (h / 2, h / 2, h)}
        | {"g": (0, y, 0), "h": (0, y, h)},
        ["x, y + h, z", "x, y, z + h", "x - z, y, z", "x, y, z - 2 * x"],
    ),
    14: (
        {"a": (0, 0, 0), "b": (h, 0, 0), "c": (0, 0, h), "d": (h, 0, h)},
        ["x + h, y, z", "x, y, z + h", "x, y, z - x"],
    ),
}


def as_function(text):
    return eval(f"lambda x, y, z: np.array([{text}])", {"np": np, "h": 0.5})


def assert_maps_onto_itself(space_group, move):
    """Check that the conjugate of each operation is an operation of the space group."""
    origin = move(0, 0, 0)
    linear = np.array([move(*axis) - origin for axis in np.eye(3)]).T
    known = list(zip(*operations(space_group), strict=True))
    for rotation, translation in known:
        conjugate = linear @ rotation @ np.linalg.inv(linear)
        shift = linear @ translation + origin - conjugate @ origin
        assert any(
            np.allclose(conjugate, other)
            and np.allclose(shift - t, np.round(shift - t), atol=1e-6)
            for other, t in known
        )


def letter_of(space_group, points, point):
    found = [
        letter
        for letter, known in points.items()
        for image in orbit(space_group, known)
        if np.allclose(image - point, np.round(image - point), atol=1e-6)
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("space_group", MONOCLINIC)
def test_monoclinic_relabelings_are_products_of_known_maps(space_group):
    points, maps = MONOCLINIC[space_group]
    letters = "".join(points)
    tables = []
    for move in map(as_function, maps):
        assert_maps_onto_itself(space_group, move)
        images = [letter_of(space_group, points, move(*p)) for p in points.values()]
        tables.append(str.maketrans(letters, "".join(images)))
    reached = {letters}
    while True:
        more = {each.translate(table) for each in reached for table in tables}
        if more <= reached:
            break
        reached |= more
    assert relabeled(space_group, letters) == reached


def test_relabelings_are_different_permutations():
    alphabet = "abcdefghijklmnopqrstuvwxyzA"
    for space_group in range(1, N_GROUPS + 1):
        replaced = relabeled(space_group, alphabet)
        assert len(replaced) == len(relabelings(space_group))
        assert all(sorted(each) == sorted(alphabet) for each in replaced)
