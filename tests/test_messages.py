"""The line that a warning points to."""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import ExtrapolationWarning
from sklearn_cgcnn.streams import iter_predictions


@contextmanager
def warned_here():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [each.category for each in caught] == [ExtrapolationWarning]
    assert caught[0].filename == __file__


@pytest.fixture(scope="module")
def strange(ionic):
    crystal = ionic.data[0].copy()
    crystal.replace(0, "Xe")
    return [crystal]


def test_warnings_point_to_the_line_of_the_user(ionic, strange):
    model = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    with warned_here():
        model.predict(strange)
    with warned_here():
        model.score(strange * 2, np.zeros(2))
    with warned_here():
        list(iter_predictions(model, strange))
    pipeline = make_pipeline(CrystalGraphFeaturizer(), CGCNNRegressor(**SMALL))
    pipeline.fit(ionic.data, ionic.target)
    with warned_here():
        pipeline.predict(strange)
