"""Site features: looked up in a table, and learned beside it."""

import pickle

import numpy as np
import pytest
import torch

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.graphs import element_table
from sklearn_cgcnn.nn import LearnedSiteFeatures, SiteFeatures


def test_learned_vectors_stand_beside_the_table():
    table = torch.arange(12.0).reshape(4, 3)
    features = LearnedSiteFeatures(table, n_channels=2)
    numbers = torch.tensor([3, 1])
    torch.testing.assert_close(
        features(numbers), torch.cat([table[[3, 1]], torch.zeros(2, 2)], dim=1)
    )
    with torch.no_grad():
        features.vectors[1] = torch.tensor([5.0, 6.0])
    assert features.n_features == 5
    torch.testing.assert_close(features(numbers)[1, 3:], torch.tensor([5.0, 6.0]))


def test_a_table_must_be_a_matrix():
    for part in (SiteFeatures, LearnedSiteFeatures):
        with pytest.raises(ValueError, match="table has shape"):
            part(torch.zeros(4))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_vectors_of_absent_elements_stay_zero(graphs, ionic, optimizer):
    model = CGCNNRegressor(**SMALL).set_params(optimizer=optimizer)
    model.fit(graphs, ionic.target)
    vectors = model.net_.module_.site_features.vectors.detach().numpy()
    present = np.isin(np.arange(len(vectors)), graphs.atomic_numbers)
    assert (vectors[present] != 0).any(axis=1).all()
    assert (vectors[~present] == 0).all()


def test_elements_with_equal_properties_can_be_told_apart(graphs, ionic):
    errors = {}
    for features in ("properties", "properties+learned"):
        table = element_table("properties") * 0 + 1
        module = {"properties": SiteFeatures, "properties+learned": LearnedSiteFeatures}
        model = CGCNNRegressor(**SMALL).set_params(
            site_features=module[features](torch.tensor(table)),
            max_epochs=60,
            n_site_channels=16,
        )
        model.fit(graphs, ionic.target)
        errors[features] = np.abs(model.predict(graphs) - ionic.target).mean()
    assert errors["properties+learned"] < 0.9 * errors["properties"]


def test_the_default_is_stored_and_knows_its_elements(graphs, ionic):
    model = CGCNNRegressor(**SMALL).fit(graphs, ionic.target)
    assert isinstance(model.net_.module_.site_features, LearnedSiteFeatures)
    stored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(stored.predict(graphs), model.predict(graphs))
    known = model._network_spec.known_elements()
    assert known[[1, 26, 100]].all()
