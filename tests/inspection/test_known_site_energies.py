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


def test_means_of_elements_are_ordered_as_the_true_ones(compared):
    assert compared["means of elements"] > 0.8
    assert compared["means of elements, up to the shift"] > 0.95


def test_single_sites_follow_less_well(compared):
    assert 0.6 < compared["sites, up to the shift"] < 0.95


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
