"""A model with site contributions, and labels for the sites of its crystals."""

import pytest

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor


@pytest.fixture(scope="session")
def site_model(ionic):
    """A regressor whose predictions are means of site contributions."""
    model = CGCNNRegressor(readout="site", **SMALL)
    return model.fit(ionic.data, ionic.target)


@pytest.fixture(scope="session")
def ionic_roles(ionic):
    """For each site, whether it is a cation of a chalcogenide or of a halide, or not.

    The roles depend on the crystal, so that elements have several.
    """
    roles = []
    for crystal in ionic.data:
        anion = max(crystal.composition.elements, key=lambda each: each.X)
        cation = f"in {'halide' if anion.is_halogen else 'chalcogenide'}"
        roles.append(["anion" if s.specie == anion else cation for s in crystal])
    return roles
