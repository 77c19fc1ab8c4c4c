"""Contributions of sites against their true energies, for generated ionic crystals.

Run by ``tox run -e bench -- -k site_energies``. It trains for about five minutes. A
linear model of the composition, which has one contribution for each element, tells
what networks add to it.
"""

import numpy as np
import pandas as pd
import pytest

from known_site_energies import KnownSiteEnergies
from sklearn_cgcnn import CGCNNRegressor

MODELS = {
    "default": {},
    "Eq. 5": {"conv": "gated"},
    "Eq. 4": {"conv": "shared"},
}
SEEDS = range(3)


@pytest.fixture(scope="module", params=SEEDS)
def known(request):
    """Other crystals for each seed."""
    return KnownSiteEnergies(n_train=800, n_test=400, seed=request.param)


@pytest.mark.parametrize("name", MODELS)
def test_site_energies(known, name):
    model = CGCNNRegressor(
        readout="site", max_epochs=60, random_state=0, **MODELS[name]
    )
    model.fit(known.train_graphs, known.train.target)
    report(name, known.compare(model))


def test_site_energies_linear_in_composition(known):
    shares = fractions(known.train.data, known.shifts.index)
    weights, *_ = np.linalg.lstsq(shares, known.train.target)
    values = pd.Series(weights, shares.columns)[known.test_elements].to_numpy()
    errors = np.abs(known.means_of_crystals(values) - known.test.target)
    found = known.rank_correlations(values)
    report("linear", {"mean absolute error": errors.mean(), **found})


def test_site_energies_without_a_model(known):
    for name, found in known.without_a_model().items():
        report(name, found)


def fractions(crystals, symbols):
    rows = [each.composition.fractional_composition.as_dict() for each in crystals]
    return pd.DataFrame(rows, columns=symbols).fillna(0)


def report(name, found):
    print(f"\n{name:12s}", ", ".join(f"{key} {found[key]:.3f}" for key in found))
