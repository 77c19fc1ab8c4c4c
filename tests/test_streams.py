from pathlib import Path

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from helpers import SMALL
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.datasets import CrystalEntry
from sklearn_cgcnn.exceptions import ExtrapolationWarning, StructureError
from sklearn_cgcnn.graphs import Failure
from sklearn_cgcnn.streams import iter_predictions
from sklearn_cgcnn.uncertainty import ApplicabilityDomain, EnsembleRegressor

BAD = {3: "no crystal", 10: Failure("cannot be read"), 11: 5}


@pytest.fixture(scope="module")
def model(ionic):
    return CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)


@pytest.fixture(scope="module")
def crystals(ionic):
    return [BAD.get(i, crystal) for i, crystal in enumerate(ionic.data)]


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_they_are_those_of_predict(model, ionic, crystals, chunk_size):
    found = list(iter_predictions(model, iter(crystals), chunk_size=chunk_size))
    assert [each.id for each in found] == [str(i) for i in range(60)]
    assert {i for i, each in enumerate(found) if each.value is None} == set(BAD)
    assert {i for i, each in enumerate(found) if each.reason} == set(BAD)
    assert found[10].reason == "cannot be read"
    expected = model.predict(ionic.data)
    values = [np.nan if each.value is None else each.value for each in found]
    good = np.isfinite(values)
    np.testing.assert_allclose(np.array(values)[good], expected[good], rtol=1e-5)


def test_crystals_are_read_as_they_are_needed(model, ionic):
    n_read = 0

    def read():
        nonlocal n_read
        for crystal in ionic.data:
            n_read += 1
            yield crystal

    for n_predicted, _ in enumerate(iter_predictions(model, read(), chunk_size=10), 1):
        assert n_read == -(-n_predicted // 10) * 10


def test_ids_of_entries(model, ionic):
    entries = [CrystalEntry(f"a{i}", s, {}) for i, s in enumerate(ionic.data[:3])]
    assert [each.id for each in iter_predictions(model, entries)] == ["a0", "a1", "a2"]


def test_other_methods(ionic):
    classifier = CGCNNClassifier(**SMALL).fit(ionic.data, ionic.prototype)
    found = iter_predictions(classifier, ionic.data, method="predict_proba")
    expected = classifier.predict_proba(ionic.data)
    np.testing.assert_allclose([each.value for each in found], expected, rtol=1e-4)
    labels = [each.value for each in iter_predictions(classifier, ionic.data)]
    np.testing.assert_array_equal(labels, classifier.predict(ionic.data))
    ensemble = EnsembleRegressor(CGCNNRegressor(**SMALL), n_estimators=2)
    ensemble.fit(ionic.data, ionic.target)
    found = iter_predictions(ensemble, ionic.data, chunk_size=9, return_std=True)
    expected = np.transpose(ensemble.predict(ionic.data, return_std=True))
    np.testing.assert_allclose([each.value for each in found], expected, rtol=1e-4)


def test_warnings_count_from_the_first_crystal(ionic):
    model = CGCNNRegressor(**SMALL).fit(ionic.data[:5], ionic.target[:5])
    known = set().union(*(crystal.elements for crystal in ionic.data[:5]))
    new = next(i for i, s in enumerate(ionic.data) if not known >= set(s.elements))
    crystals = [*ionic.data[:5], "no crystal", ionic.data[new]]
    with pytest.warns(ExtrapolationWarning, match=r"^X\[6\] has elements that no"):
        list(iter_predictions(model, crystals, chunk_size=4))


def test_sites_without_neighbors_are_kept_if_the_model_keeps_them(ionic):
    featurizer = CrystalGraphFeaturizer(cutoff=3.0, isolated_sites="keep")
    model = CGCNNRegressor(featurizer=featurizer, **SMALL)
    model.fit(ionic.data, ionic.target)
    found = [each.value for each in iter_predictions(model, ionic.data)]
    np.testing.assert_allclose(found, model.predict(ionic.data), rtol=1e-4)


def test_a_chunk_may_fail_as_a_whole(model):
    assert [each.value for each in iter_predictions(model, ["a", "b"])] == [None, None]


def test_lists_of_a_method_are_not_made_arrays(model, ionic):
    domain = ApplicabilityDomain(FrozenEstimator(model)).fit(ionic.data)
    found = iter_predictions(domain, ionic.data[:3], method="reasons")
    assert [each.value for each in found] == domain.reasons(ionic.data[:3])


def test_bad_input(model, ionic, graphs):
    for X in (ionic.data[0], graphs, "folder", Path("folder")):
        with pytest.raises(TypeError, match="but must be an iterable of crystals"):
            iter_predictions(model, X)
    for items in (iter(graphs), [ionic.data[0], CrystalEntry("a", graphs[1], {})]):
        with pytest.raises(TypeError, match=r"crystals\[\d\] is of type CrystalGraphs"):
            next(iter_predictions(model, items))
    with pytest.raises(ValueError, match="chunk_size"):
        iter_predictions(model, ionic.data, chunk_size=0)

    def broken():
        yield ionic.data[0]
        raise StructureError("the file ends")

    found = iter_predictions(model, broken(), chunk_size=1)
    assert next(found).value is not None
    with pytest.raises(StructureError, match="the file ends"):
        next(found)
