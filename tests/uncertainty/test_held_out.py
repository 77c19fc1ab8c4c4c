"""Errors about crystals that are held out, or not, name them as the user does."""

import pytest
from pymatgen.core import Lattice, Structure
from sklearn.base import clone

from helpers import small
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.uncertainty import ConformalRegressor, SpreadRegressor
from sklearn_cgcnn.uncertainty._held_out import hold_out

ALLOY = Structure(Lattice.cubic(2.86), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])


SPREAD = SpreadRegressor(small(), held_out_fraction=0.3, random_state=0)
# Models, and the fractions of the crystals that they hold out.
MODELS = {
    "spread": (SPREAD, 0.3),
    "intervals": (ConformalRegressor(small(), random_state=0), 0.2),
    "both": (
        ConformalRegressor(clone(SPREAD).set_params(random_state=1), random_state=0),
        0.2,
    ),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("is_held_out", [False, True])
def test_crystals_that_fail_are_named_by_their_position_in_x(ionic, model, is_held_out):
    estimator, fraction = MODELS[model]
    X = [*ionic.data]
    train, held_out = hold_out(60, "fraction", fraction, 0)
    position = int((held_out if is_held_out else train)[3])
    X[position] = ALLOY
    with pytest.raises(StructureError, match=rf"^X\[{position}\] \(Fe") as caught:
        clone(estimator).fit(X, ionic.target)
    assert caught.value.index == position
    assert list(caught.value.failed) == [position]


@pytest.mark.parametrize(
    ("X_val", "message"),
    [
        ([ALLOY] * 20, r"^20 of 20 .*\n  X_val\[0\] \(Fe"),
        ([], "^X_val"),
        (ALLOY, r"X_val is a single Structure; pass \[X_val\]"),
    ],
)
def test_errors_about_x_val_name_it(ionic, X_val, message):
    with pytest.raises((TypeError, ValueError), match=message):
        clone(SPREAD).fit(ionic.data, ionic.target, X_val, ionic.target[:20])
