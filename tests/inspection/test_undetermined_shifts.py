"""Shifts of element contributions, against charges and by their definition."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.datasets._ionic_crystals import _CHARGES
from sklearn_cgcnn.inspection import element_contributions, undetermined_shifts

DISORDERED = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
ROLES = ["A", "B", "X", "X", "X"]


@pytest.fixture(scope="module")
def perovskites():
    """Perovskites whose sites come in the order of the roles."""
    return make_ionic_crystals(150, prototypes="perovskite", random_state=0).data


def test_neutral_crystals_leave_a_multiple_of_the_charges():
    """Charges sum to zero in each crystal, and nothing else does in all of them."""
    crystals = make_ionic_crystals(400, random_state=0).data
    shifts = undetermined_shifts(crystals)
    charges = np.array([_CHARGES[symbol] for symbol in shifts.index])
    (column,) = shifts.to_numpy().T
    assert abs(column @ charges) == pytest.approx(np.linalg.norm(charges))
    np.testing.assert_allclose(shifts.T @ shifts, np.eye(1), atol=1e-12)


def test_shifts_sum_to_zero_in_every_crystal(perovskites):
    shifts = undetermined_shifts(perovskites)
    assert len(shifts.columns) > 0
    for crystal in perovskites:
        symbols = [site.specie.symbol for site in crystal]
        np.testing.assert_allclose(shifts.loc[symbols].sum(), 0, atol=1e-12)


def test_roles_have_shifts_of_their_own(perovskites):
    """Every crystal has one A, one B and three X: numbers may move between these."""
    roles = [ROLES] * len(perovskites)
    shifts = undetermined_shifts(perovskites, roles=roles)
    role = shifts.index.get_level_values("role")
    for a, b, x in [(1, -1, 0), (0, 3, -1)]:
        between = np.select([role == "A", role == "B"], [a, b], x)
        found = shifts.to_numpy() @ (shifts.to_numpy().T @ between)
        np.testing.assert_allclose(found, between, atol=1e-12)


def test_the_rows_are_those_of_the_contributions(site_model, ionic, ionic_roles):
    for roles in (None, ionic_roles):
        table = element_contributions(site_model, ionic.data, roles=roles)
        shifts = undetermined_shifts(ionic.data, roles=roles)
        assert shifts.index.equals(table.index)
        assert shifts.index.names == table.index.names


def test_elements_alone_are_determined():
    simple = [
        Structure(Lattice.cubic(3), [symbol], [[0, 0, 0]]) for symbol in ("Fe", "Po")
    ]
    shifts = undetermined_shifts(simple)
    assert list(shifts.index) == ["Fe", "Po"]
    assert shifts.shape == (2, 0)


def test_graphs_will_do_and_failed_crystals_are_left_out(perovskites):
    featurizer = CrystalGraphFeaturizer(on_error="collect")
    graphs = featurizer.transform([DISORDERED, *perovskites])
    expected = undetermined_shifts(perovskites)
    found = undetermined_shifts(graphs)
    assert found.index.equals(expected.index)
    assert found.shape == expected.shape
    for roles in (None, [["A"]]):
        assert undetermined_shifts(graphs[:1], roles=roles).shape == (0, 0)


def test_wrong_arguments_are_named(perovskites):
    with pytest.raises(ValueError, match=r"roles has 1 items, but X has 150 crystals"):
        undetermined_shifts(perovskites, roles=[ROLES])
    with pytest.raises(ValueError, match=r"roles\[1\] has 4 labels, but X\[1\] has 5"):
        undetermined_shifts(perovskites[:2], roles=[ROLES, ROLES[1:]])
    with pytest.raises(ValueError, match=r"X contains no crystals"):
        undetermined_shifts([])
