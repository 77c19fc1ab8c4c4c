"""Models of the package as starting points of other estimators."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalEmbedder
from sklearn_cgcnn.inspection import crystal_embeddings
from sklearn_cgcnn.pretrained import load

NAME = "log_bulk_modulus"


def network():
    """The network inside the model."""
    return load(NAME).estimator.estimator.estimator.estimator


def test_a_training_begins_from_a_name(ionic):
    model = CGCNNRegressor(
        pretrained=NAME, freeze="convolutions", max_epochs=1, random_state=0
    )
    model = clone(model).fit(ionic.data, ionic.target)
    before, after = network().net_.module_, model.net_.module_
    for one, two in zip(
        before.convs.parameters(), after.convs.parameters(), strict=True
    ):
        np.testing.assert_array_equal(one.detach(), two.detach())
    labels = ionic.target > np.median(ionic.target)
    classifier = CGCNNClassifier(pretrained=NAME, max_epochs=1).fit(ionic.data, labels)
    assert classifier.predict_proba(ionic.data).shape == (60, 2)


def test_vectors_by_name(ionic):
    vectors = CrystalEmbedder(NAME).fit(ionic.data).transform(ionic.data)
    np.testing.assert_array_equal(vectors, crystal_embeddings(load(NAME), ionic.data))
    ridge = make_pipeline(CrystalEmbedder(NAME), Ridge())
    assert ridge.fit(ionic.data, ionic.target).score(ionic.data, ionic.target) > 0.5


def test_unknown_names_are_refused(ionic):
    with pytest.raises(ValueError, match="no model 'hardness'"):
        CGCNNRegressor(pretrained="hardness").fit(ionic.data, ionic.target)
    with pytest.raises(ValueError, match="no model 'hardness'"):
        CrystalEmbedder("hardness").fit(ionic.data)
