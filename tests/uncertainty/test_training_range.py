"""What counts as beyond the range of the training crystals, and why."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Molecule, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.uncertainty import _training_range
from sklearn_cgcnn.uncertainty._training_range import TrainingRange, element_fractions

featurize = CrystalGraphFeaturizer().transform


@pytest.fixture(scope="module")
def crystals():
    return make_ionic_crystals(300, random_state=0).data


@pytest.fixture(scope="module")
def known(crystals):
    """The range of the crystals."""
    return TrainingRange().fit(featurize(crystals))


def scaled(structure, factor):
    changed = structure.copy()
    changed.scale_lattice(factor * structure.volume)
    return changed


def test_few_training_crystals_lie_beyond(known, crystals):
    excess = known.excess(featurize(crystals))
    # Three limits, with 1 % beyond each.
    assert np.mean(excess.values > 0) <= 0.03
    for value, reasons in zip(excess.values, excess.reasons, strict=True):
        assert bool(reasons) == (value > 0)


def test_a_new_element_is_named(known, crystals):
    changed = crystals[0].copy()
    changed.replace_species({changed[0].specie: "Xe"})
    excess = known.excess(featurize([crystals[0], changed]))
    np.testing.assert_array_equal(excess.values, [0, 1])
    assert excess.reasons == [[], ["no training crystal contains Xe"]]


@pytest.mark.parametrize(("factor", "word"), [(0.3, "shorter"), (4.0, "longer")])
def test_another_density_is_beyond(known, crystals, factor, word):
    changed = featurize([scaled(each, factor) for each in crystals[:20]])
    excess = known.excess(changed)
    assert (excess.values > 0).all()
    for reasons in excess.reasons:
        (spacing,) = (each for each in reasons if "mean distance" in each)
        assert word in spacing


def test_the_further_beyond_the_more(known, crystals):
    changed = [scaled(crystals[0], factor) for factor in (1.0, 0.6, 0.5, 0.3, 0.1)]
    values = known.excess(featurize(changed)).values
    assert (np.diff(values) >= 0).all()
    assert values[0] == 0
    assert values[-1] == 1


def test_two_atoms_too_close_are_named(known):
    # One cation of rock salt is moved toward an anion in a large cell.
    lattice = Lattice.cubic(5.6)
    salt = Structure.from_spacegroup(
        "Fm-3m", lattice, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    salt.make_supercell(2)
    moved = salt.copy()
    moved.translate_sites([0], [1.8, 0, 0], frac_coords=False)
    excess = known.excess(featurize([salt, moved]))
    assert excess.values[0] == 0
    (reason,) = excess.reasons[1]
    assert reason.startswith("the shortest distance of 1.00 Å (Na, Cl) is ")


def test_a_molecule_in_a_box_is_beyond(known):
    molecule = Molecule(["Na", "Cl"], [[0, 0, 0], [0, 0, 2.4]])
    excess = known.excess(featurize([molecule.get_boxed_structure(12, 12, 12)]))
    assert excess.values == 1
    assert any("longer" in reason for reason in excess.reasons[0])


def test_neither_cell_nor_order_of_sites_matters(known, crystals):
    compressed = [scaled(each, 0.6) for each in crystals[:5]]
    others = []
    for each in compressed:
        other = each.copy()
        other.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
        others.append(Structure.from_sites(other.sites[::-1]))
    one, two = (known.excess(featurize(each)) for each in (compressed, others))
    np.testing.assert_allclose(one.values, two.values, atol=1e-9)
    assert one.reasons == two.reasons


def test_limits_are_those_of_fits_without_the_crystal(crystals):
    graphs = featurize(crystals[:40])
    spacing = TrainingRange().fit(graphs)._spacing
    lengths = _training_range.SpacingRange._measure(graphs)
    shares, logs = lengths.fractions.toarray(), lengths.logs
    deviations = []
    for left_out in range(40):
        rows = np.delete(np.arange(40), left_out)
        # The mean is that of all, which is not refitted.
        x, y = shares[rows], logs[rows] - logs.mean()
        weights = np.linalg.solve(x.T @ x + 0.5 * np.eye(119), x.T @ y)
        deviations.append(logs[left_out] - logs.mean() - shares[left_out] @ weights)
    low, high = np.quantile(deviations, [0.01, 0.99])
    np.testing.assert_allclose([spacing._low, spacing._high], [low, high])


def test_blocks_change_nothing(crystals, monkeypatch):
    graphs = featurize(crystals[:50])
    whole = TrainingRange().fit(graphs)._contacts._low
    monkeypatch.setattr(_training_range, "_BLOCK", 7)
    assert TrainingRange().fit(graphs)._contacts._low == pytest.approx(whole)


def test_fractions_are_those_of_the_formulas(crystals):
    fractions = element_fractions(featurize(crystals[:20])).toarray()
    for row, structure in zip(fractions, crystals, strict=False):
        formula = structure.composition.fractional_composition
        expected = np.zeros(119)
        for element, share in formula.items():
            expected[element.Z] = share
        np.testing.assert_allclose(row, expected)


def test_crystals_that_failed_have_no_excess(known, crystals):
    collect = CrystalGraphFeaturizer(on_error="collect")
    broken = crystals[0].copy()
    broken.append("Na", broken[0].frac_coords)
    graphs = collect.transform([broken, scaled(crystals[0], 0.3)])
    assert graphs.is_failed.tolist() == [True, False]
    excess = known.excess(graphs)
    assert excess.values[0] == 0
    assert excess.values[1] > 0


def test_crystals_all_alike_have_a_range(crystals):
    same = TrainingRange().fit(featurize([crystals[0]] * 5))
    changed = [crystals[0], scaled(crystals[0], 1.1), scaled(crystals[0], 0.9)]
    np.testing.assert_array_equal(same.excess(featurize(changed)).values, [0, 1, 1])
