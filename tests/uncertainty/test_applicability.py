"""Scores of applicability: their order, their range, and their reasons."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from helpers import SMALL, small
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.uncertainty import (
    ApplicabilityDomain,
    ConformalRegressor,
    EnsembleRegressor,
    SpreadRegressor,
)


@pytest.fixture(scope="module")
def trained(ionic):
    return small(max_epochs=20).fit(ionic.data[:40], ionic.target[:40])


@pytest.fixture(scope="module")
def domain(ionic, trained):
    """The domain of the first 40 crystals."""
    return ApplicabilityDomain(FrozenEstimator(trained)).fit(ionic.data[:40])


def test_training_crystals_are_inside(domain, ionic):
    scores = domain.score_samples(ionic.data[:40])
    inside = [not reasons for reasons in domain.reasons(ionic.data[:40])]
    np.testing.assert_array_equal(scores[inside], 1.0)


def test_the_score_is_a_share_of_the_training_crystals(domain, trained, ionic):
    vectors = trained._embed_crystals(ionic.data)
    apart = np.linalg.norm(vectors[:, None] - vectors[None, :40], axis=2)
    nearest = apart[40:].min(axis=1)
    np.fill_diagonal(apart[:40], np.inf)
    own = apart[:40].min(axis=1)
    shares = (own[None] > nearest[:, None]).mean(axis=1)
    inside = np.array([not reasons for reasons in domain.reasons(ionic.data[40:])])
    scores = domain.score_samples(ionic.data[40:])
    assert inside.sum() > 10
    assert np.abs(scores - shares)[inside].max() < 2 / 40


def test_stranger_crystals_score_lower(domain, ionic):
    squeezed = []
    for factor in (1.0, 0.7, 0.3):
        squeezed.append(ionic.data[0].copy())
        squeezed[-1].scale_lattice(factor * ionic.data[0].volume)
    scores = domain.score_samples(squeezed)
    assert scores[0] == 1
    assert scores[2] == 0
    assert scores[1] < 1


def test_a_new_element_is_outside_and_named(domain, ionic):
    changed = ionic.data[0].copy()
    changed.replace_species({changed[0].specie: "Pu"})
    assert domain.score_samples([changed]) == 0
    assert domain.reasons([changed]) == [["no training crystal contains Pu"]]


def test_strange_crystals_are_scored_without_a_warning(domain, ionic):
    strange = ionic.data[0].copy()
    strange.replace(0, "Xe")
    strange.scale_lattice(1000 * strange.volume)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        domain.score_samples([strange])
        (reasons,) = domain.reasons([strange])
    assert len(reasons) > 0


def test_beyond_all_training_crystals_the_order_remains(domain):
    far = domain._domain._own[-1] * np.array([1.0, 1.5, 10.0, 1e6])
    shares = domain._domain._shares_farther(far)
    assert (np.diff(shares) < 0).all()
    assert (shares > 0).all()
    assert shares[0] == pytest.approx(1 / 41)


def test_untrained_estimators_are_trained(ionic, graphs):
    labels = ionic.target > np.median(ionic.target)
    for estimator, y in (
        (small(), ionic.target),
        (EnsembleRegressor(small(), 2, random_state=0), ionic.target),
        (CGCNNClassifier(**SMALL), labels),
    ):
        domain = ApplicabilityDomain(estimator).fit(graphs, y)
        scores = domain.score_samples(graphs)
        assert ((scores >= 0) & (scores <= 1)).all()
        assert not hasattr(estimator, "net_")


def test_pickling_and_cloning_change_nothing(domain, ionic):
    again = pickle.loads(pickle.dumps(domain))
    np.testing.assert_array_equal(
        again.score_samples(ionic.data), domain.score_samples(ionic.data)
    )
    with pytest.raises(NotFittedError):
        clone(domain).score_samples(ionic.data)


def test_crystals_that_fail_are_nan(ionic):
    model = small(on_error="collect").fit(ionic.data, ionic.target)
    domain = ApplicabilityDomain(FrozenEstimator(model)).fit(ionic.data)
    broken = ionic.data[0].copy()
    broken.append("Na", broken[0].frac_coords)
    scores = domain.score_samples([broken, ionic.data[1]])
    assert np.isnan(scores).tolist() == [True, False]


def test_reasons_need_no_vectors(domain, ionic, monkeypatch):
    expected = domain.reasons(ionic.data)
    monkeypatch.setattr(CGCNNRegressor, "_embed_crystals", None)
    assert domain.reasons(ionic.data) == expected
    other = CrystalGraphFeaturizer(max_neighbors=6).transform(ionic.data)
    with pytest.raises(GraphSettingsError, match="max_neighbors=6 instead of 12"):
        domain.reasons(other)


def test_what_cannot_be_fitted_is_refused(ionic, graphs, trained):
    for model in (small(), EnsembleRegressor(small())):
        with pytest.raises(NotFittedError):
            ApplicabilityDomain(FrozenEstimator(model)).fit(ionic.data)
    with pytest.raises(TypeError, match="Ridge"):
        ApplicabilityDomain(Ridge()).fit(graphs, ionic.target)
    with pytest.raises(ValueError, match="single training crystal"):
        ApplicabilityDomain(FrozenEstimator(trained)).fit(graphs[:1])


def test_training_crystals_that_are_known_are_not_replaced(ionic, trained):
    data, y = ionic.data, ionic.target
    model = SpreadRegressor(FrozenEstimator(trained))
    model.fit(data[:40], y[:40], X_val=data[40:], y_val=y[40:])
    for known in (model, ConformalRegressor(FrozenEstimator(model)).fit(data, y)):
        with pytest.raises(ValueError, match="call its own score_samples and reasons"):
            ApplicabilityDomain(FrozenEstimator(known)).fit(data[40:])
