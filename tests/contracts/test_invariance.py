"""A prediction belongs to the crystal, not to how its cell happens to be written.

The edges of a site are whole shells, the sum over them and the mean over sites know no
order, and a supercell repeats both. What is left is rounding: a trained model is
compared at 1e-5 of its targets' spread as users run it, in single precision, and at
1e-9 with the network in double precision.
"""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from sklearn_cgcnn import CGCNNRegressor


def relabeled(structure, rng):
    return Structure.from_sites([structure[i] for i in rng.permutation(len(structure))])


def rotated(structure, rng):
    turn = Rotation.from_quat(rng.normal(size=4)).as_matrix()
    lattice = Lattice(structure.lattice.matrix @ turn)
    return Structure(lattice, structure.species, structure.frac_coords)


def translated(structure, rng):
    shift = rng.uniform(-2, 2, 3)
    return Structure(
        structure.lattice, structure.species, structure.frac_coords + shift
    )


def supercell(structure, rng):
    return structure.make_supercell([2, 2, 1], in_place=False)


def recut(structure, rng):
    """The same lattice by other vectors: a skewed cell of the same volume."""
    return structure.make_supercell([[1, 1, 0], [0, 1, 0], [1, 0, 1]], in_place=False)


@pytest.fixture(scope="module")
def trained(ionic, irregular):
    """A model of generated crystals and of random ones, which have no symmetry."""
    structures = ionic.data + irregular
    target = np.concatenate([ionic.target, np.linspace(-12, -2, len(irregular))])
    model = CGCNNRegressor(max_epochs=15, random_state=0).fit(structures, target)
    return model, structures


@pytest.fixture(scope="module")
def trained_on_real(real_crystals):
    structures, energies = real_crystals
    model = CGCNNRegressor(max_epochs=10, random_state=0)
    return model.fit(structures, energies), structures


CHANGES = [relabeled, rotated, translated, supercell, recut]
PRECISIONS = pytest.mark.parametrize(
    ("precision", "tolerance"), [("float", 1e-5), ("double", 1e-9)]
)


def assert_unmoved(model, structures, change, precision, tolerance):
    getattr(model.net_.module_, precision)()
    rng = np.random.default_rng(0)
    before = model.predict(structures)
    after = model.predict([change(structure, rng) for structure in structures])
    model.net_.module_.float()
    assert np.ptp(before) > 0.1 * model.target_scale_.item()
    np.testing.assert_allclose(
        after, before, rtol=0, atol=tolerance * model.target_scale_.item()
    )


@PRECISIONS
@pytest.mark.parametrize("change", CHANGES)
def test_prediction_is_unmoved(trained, change, precision, tolerance):
    assert_unmoved(*trained, change, precision, tolerance)


@PRECISIONS
@pytest.mark.parametrize("change", CHANGES)
def test_prediction_of_real_crystals_is_unmoved(
    trained_on_real, change, precision, tolerance
):
    assert_unmoved(*trained_on_real, change, precision, tolerance)


def assert_independent(model, structures, precision, tolerance):
    getattr(model.net_.module_, precision)()
    order = np.random.default_rng(0).permutation(len(structures))
    together = model.predict(structures)
    shuffled = model.predict([structures[i] for i in order])
    alone = [model.predict([structure])[0] for structure in structures]
    model.net_.module_.float()
    atol = tolerance * model.target_scale_.item()
    np.testing.assert_allclose(shuffled, together[order], rtol=0, atol=atol)
    np.testing.assert_allclose(alone, together, rtol=0, atol=atol)


@PRECISIONS
def test_prediction_depends_on_no_other_crystal(trained, precision, tolerance):
    assert_independent(*trained, precision, tolerance)


@PRECISIONS
def test_prediction_of_real_crystals_depends_on_no_other(
    trained_on_real, precision, tolerance
):
    assert_independent(*trained_on_real, precision, tolerance)
