"""Contributions against the true energies of sites, which training never sees.

The crystals are neutral, so that a multiple of the charges may be added to all
contributions of the elements (`undetermined_shifts`). Comparisons leave it free.
"""

import numpy as np
import pytest

from known_site_energies import KnownSiteEnergies
from sklearn_cgcnn import CGCNNRegressor


@pytest.fixture(scope="module")
def known():
    """Crystals to train on, and others with the same elements."""
    return KnownSiteEnergies(n_train=300, n_test=150)


@pytest.fixture(scope="module")
def compared(known):
    """How the contributions of a short training compare with the truth."""
    model = CGCNNRegressor(
        readout="site", n_site_channels=32, max_epochs=40, random_state=0
    )
    return known.compare(model.fit(known.train_graphs, known.train.target))


def test_contributions_know_more_than_trivial_answers(known, compared):
    """Than the shift alone, and than equal contributions of all sites of a crystal."""
    trivial = known.without_a_model()
    for name in ("sites, up to the shift", "means of elements, up to the shift"):
        highest = max(found[name] for found in trivial.values())
        assert compared[name] > highest + 0.01, (name, compared, trivial)
    assert compared["sites, up to the shift"] > 0.7
    assert compared["means of elements, up to the shift"] > 0.95


def test_sites_of_an_element_are_not_told_apart(compared):
    """What the page on inspection warns of."""
    assert compared["sites of an element"] < 0.6


def test_a_shift_changes_the_order_but_no_prediction(known):
    """Energies shifted by charges are as good a solution, and in another order."""
    true = known.test_energies
    charges = known.shifts[0] / known.shifts.loc["Na", 0]
    shifted = true + 10 * charges[known.test_elements].to_numpy()
    for values in (true, shifted):
        np.testing.assert_allclose(known.means_of_crystals(values), known.test.target)
    assert known.rank_correlations(shifted)["sites"] < 0.5
    restored = known.rank_correlations(shifted)
    assert restored["sites, up to the shift"] == pytest.approx(1)
    assert restored["means of elements, up to the shift"] == pytest.approx(1)
