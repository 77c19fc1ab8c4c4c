"""The search that all edge rules share, against images written out."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import sklearn_cgcnn
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import read_cell
from sklearn_cgcnn.graphs._neighbors._sphere_search import (
    locate_site,
    search_spheres,
    site_offsets,
)


def all_sites(cells):
    return [np.arange(len(cell.coords)) for cell in cells]


def pairs_of_images(cell, radius):
    """List (center, neighbor, distance) by adding up images of the cell."""
    pairs = []
    for image in itertools.product(range(-4, 5), repeat=3):
        shift = np.array(image) @ cell.lattice
        for i, j in itertools.product(range(len(cell.coords)), repeat=2):
            distance = np.linalg.norm(cell.coords[j] + shift - cell.coords[i])
            if distance <= radius and (i != j or any(image)):
                pairs.append((i, j, round(distance, 6)))
    return sorted(pairs)


def test_pairs_are_those_of_all_images(irregular):
    cells = [read_cell(each) for each in irregular[:8]]
    radii = np.linspace(3.0, 5.0, len(cells))
    pairs = search_spheres(cells, all_sites(cells), radii, with_images=True)
    assert (np.diff(pairs.centers) >= 0).all()
    offsets = site_offsets(cells)
    for index, (cell, radius) in enumerate(zip(cells, radii, strict=True)):
        part = pairs.take(
            (pairs.centers >= offsets[index]) & (pairs.centers < offsets[index + 1])
        )
        centers = part.centers - offsets[index]
        listed = zip(centers, part.neighbors, part.distances.round(6), strict=True)
        assert sorted(listed) == pairs_of_images(cell, radius)
        ends = cell.coords[part.neighbors] + part.images @ cell.lattice
        lengths = np.linalg.norm(ends - cell.coords[centers], axis=1)
        np.testing.assert_allclose(lengths, part.distances, rtol=1e-9)


def test_only_the_centers_asked_for_are_searched(irregular):
    cells = [read_cell(each) for each in irregular[:8]]
    radii = [4.0] * len(cells)
    chosen = [np.arange(len(cell.coords))[::2] for cell in cells]
    chosen[3] = chosen[3][:0]
    pairs = search_spheres(cells, chosen, radii)
    assert pairs.images is None
    complete = search_spheres(cells, all_sites(cells), radii)
    offsets = site_offsets(cells)
    sites = np.concatenate(
        [part + first for part, first in zip(chosen, offsets[:-1], strict=True)]
    )
    expected = complete.take(np.isin(complete.centers, sites))
    # The order of the pairs of one center depends on the centers that are searched.
    found, expected = (
        each.take(np.lexsort((each.distances, each.neighbors, each.centers)))
        for each in (pairs, expected)
    )
    np.testing.assert_array_equal(found.centers, expected.centers)
    np.testing.assert_array_equal(found.neighbors, expected.neighbors)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-12)


def test_a_site_is_paired_with_its_images_but_not_with_itself():
    cell = read_cell(Structure(Lattice.cubic(3.0), ["Po"], [[0] * 3]))
    pairs = search_spheres([cell], [np.array([0])], [3.1], with_images=True)
    assert pairs.distances.tolist() == [3.0] * 6
    assert np.abs(pairs.images).sum(axis=1).tolist() == [1] * 6


def test_the_first_crystal_with_coincident_sites_is_named():
    fine = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    double = fine.copy()
    double.append("Cl", [0.5, 0.5, 0.51])
    cells = [read_cell(each) for each in (fine, double, double)]
    with pytest.raises(
        StructureError, match=r"sites 1 and 2 lie only 0\.04 Å.*merge_sites"
    ) as error:
        search_spheres(cells, all_sites(cells), [3.0] * 3)
    assert error.value.index == 1


def test_sites_are_located_in_their_crystal(irregular):
    cells = [read_cell(each) for each in irregular]
    offsets = site_offsets(cells)
    expected = [(i, s) for i, cell in enumerate(cells) for s in range(len(cell.coords))]
    assert [locate_site(site, offsets) for site in range(offsets[-1])] == expected


def test_there_is_one_search():
    """Only one file calls pymatgen's search, so that all rules treat pairs alike."""
    package = Path(sklearn_cgcnn.__file__).parent
    callers = [
        path.name
        for path in package.rglob("*.py")
        if "find_points_in_spheres" in path.read_text()
    ]
    assert callers == ["_sphere_search.py"]
