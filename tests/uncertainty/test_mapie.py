"""MAPIE accepts the estimators and crystals of this package, and agrees with it."""

import numpy as np
import pytest
from mapie.regression import CrossConformalRegressor, SplitConformalRegressor
from sklearn.frozen import FrozenEstimator

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.uncertainty import ConformalRegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore:Estimator does not appear fitted:UserWarning",
    "ignore:X:sklearn_cgcnn.exceptions.ExtrapolationWarning",
)


@pytest.fixture(params=["graphs", "structures"])
def crystals(request, graphs, ionic):
    return graphs if request.param == "graphs" else ionic.data


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_plain_intervals_are_those_of_mapie(crystals, ionic, level):
    y = ionic.target
    model = CGCNNRegressor(**SMALL).fit(crystals[:20], y[:20])
    theirs = SplitConformalRegressor(model, confidence_level=level, prefit=True)
    _, expected = theirs.conformalize(crystals[20:50], y[20:50]).predict_interval(
        crystals[50:]
    )
    ours = ConformalRegressor(FrozenEstimator(model)).fit(crystals[20:50], y[20:50])
    intervals = ours.predict_interval(crystals[50:], level)
    np.testing.assert_allclose(intervals, expected[:, :, 0], rtol=1e-5)


def test_cross_conformal_intervals(graphs, ionic):
    model = CrossConformalRegressor(
        CGCNNRegressor(**SMALL), confidence_level=0.8, cv=3, random_state=0
    )
    model.fit_conformalize(graphs, ionic.target)
    _, intervals = model.predict_interval(graphs)
    assert (intervals[:, 0] < intervals[:, 1]).all()
