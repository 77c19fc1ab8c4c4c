"""A contribution is a property of its site.

The mean contribution of the sites of a crystal is its prediction. Equivalent sites have
the same surroundings, and hence the same contribution. Each site of a supercell has the
contribution of the site of the cell that it repeats.
"""

import numpy as np
import pytest
import torch
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.inspection import site_contributions

SITE = {"readout": "site", "max_epochs": 10, "random_state": 0}


@pytest.fixture(scope="module")
def generated(ionic, irregular):
    structures = ionic.data + irregular
    y = np.concatenate([ionic.target, np.linspace(-12, -2, len(irregular))])
    return CGCNNRegressor(**SITE).fit(structures, y), structures


@pytest.fixture(scope="module")
def real(real_crystals):
    structures, energies = real_crystals
    return CGCNNRegressor(**SITE).fit(structures, energies), structures


def assert_contributions_average_to_the_prediction(model, structures):
    contributions = site_contributions(model, structures)
    assert [len(each) for each in contributions] == [len(each) for each in structures]
    means = [each.mean() for each in contributions]
    atol = 1e-6 * max(abs(each).max() for each in contributions)
    np.testing.assert_allclose(means, model.predict(structures), rtol=0, atol=atol)
    spread = np.concatenate([each - each.mean() for each in contributions]).std()
    assert spread > 0.01 * model.target_scale_.item()


def test_contributions_average_to_the_prediction(generated):
    assert_contributions_average_to_the_prediction(*generated)


def test_contributions_in_real_crystals_average_to_the_prediction(real):
    assert_contributions_average_to_the_prediction(*real)


# spglib announces a new way to report errors, but no error occurs here.
ignore_spglib = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING to false")


def assert_equivalent_sites_contribute_the_same(model, structures, tolerance):
    n_several = 0
    for structure, values in zip(
        structures, site_contributions(model, structures), strict=True
    ):
        analyzer = SpacegroupAnalyzer(structure, symprec=1e-4)
        orbits = analyzer.get_symmetry_dataset().equivalent_atoms
        for orbit in np.unique(orbits):
            in_orbit = values[orbits == orbit]
            assert np.ptp(in_orbit) <= tolerance * model.target_scale_.item()
            n_several += len(in_orbit) > 1
    assert n_several > 15


@ignore_spglib
def test_equivalent_sites_contribute_the_same(generated):
    model, structures = generated
    assert_equivalent_sites_contribute_the_same(model, structures[:60], 0)


@ignore_spglib
def test_equivalent_sites_in_real_crystals_contribute_the_same(real):
    # The coordinates of real crystals are rounded, so that the surroundings of
    # equivalent sites differ slightly.
    assert_equivalent_sites_contribute_the_same(*real, 1e-3)


def assert_a_supercell_contributes_the_same(model, structures):
    model.net_.module_.double()
    cells = [each.make_supercell([2, 1, 2], in_place=False) for each in structures]
    pairs = zip(
        structures,
        cells,
        site_contributions(model, structures),
        site_contributions(model, cells),
        strict=True,
    )
    for structure, cell, values, repeated in pairs:
        # Sites are matched by position, because a supercell may change their order.
        from_cell = structure.lattice.get_fractional_coords(cell.cart_coords)
        apart = structure.lattice.get_all_distances(from_cell, structure.frac_coords)
        expected = values[apart.argmin(axis=1)]
        np.testing.assert_allclose(
            repeated, expected, rtol=0, atol=1e-9 * model.target_scale_.item()
        )
    model.net_.module_.float()


def test_a_supercell_contributes_the_same(generated):
    assert_a_supercell_contributes_the_same(*generated)


def test_a_supercell_of_a_real_crystal_contributes_the_same(real):
    assert_a_supercell_contributes_the_same(*real)


def test_contributions_of_several_targets(ionic):
    y = np.column_stack([ionic.target, -2 * ionic.target])
    model = CGCNNRegressor(**SITE).fit(ionic.data, y)
    contributions = site_contributions(model, ionic.data[:5])
    means = [each.mean(axis=0) for each in contributions]
    np.testing.assert_allclose(means, model.predict(ionic.data[:5]), rtol=1e-5)


def test_a_classifier_contributes_logits(ionic):
    model = CGCNNClassifier(**SITE).fit(ionic.data, ionic.prototype)
    logits = [each.mean(axis=0) for each in site_contributions(model, ionic.data)]
    probabilities = torch.tensor(np.array(logits)).softmax(dim=1).numpy()
    np.testing.assert_allclose(
        probabilities, model.predict_proba(ionic.data), atol=1e-6
    )


def test_graphs_and_structures_have_the_same_contributions(generated, ionic):
    model, _ = generated
    graphs = CrystalGraphFeaturizer().transform(ionic.data)
    pairs = zip(
        site_contributions(model, graphs),
        site_contributions(model, ionic.data),
        strict=True,
    )
    for actual, expected in pairs:
        np.testing.assert_array_equal(actual, expected)


def test_models_without_contributions_are_refused(ionic):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        site_contributions(CGCNNRegressor(readout="site"), ionic.data)
    pipeline = make_pipeline(CrystalGraphFeaturizer(), CGCNNRegressor())
    with pytest.raises(NotFittedError, match="not fitted yet"):
        site_contributions(pipeline, ionic.data)
    model = CGCNNRegressor(max_epochs=1).fit(ionic.data, ionic.target)
    with pytest.raises(ValueError, match=r'CrystalReadout.*fit .*with readout="site"'):
        site_contributions(model, ionic.data)
