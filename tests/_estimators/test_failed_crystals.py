"""Crystals that cannot become graphs need not stop a fit or a prediction."""

import pickle
import warnings

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Molecule, Structure
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from helpers import SMALL, assert_same_weights, outputs
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import FailedCrystalsWarning, StructureError
from sklearn_cgcnn.inspection import (
    crystal_embeddings,
    site_contributions,
    site_embeddings,
)
from sklearn_cgcnn.metrics import neg_mean_absolute_error

DISORDERED = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
BAD = {
    4: DISORDERED,
    9: None,
    17: Molecule(["H", "H"], [[0, 0, 0], [0, 0, 0.7]]),
    30: Atoms("Na2", positions=[[0, 0, 0], [0, 0, 0.01]], cell=[5, 5, 5], pbc=True),
    59: DISORDERED,
}
GOOD = [i for i in range(60) if i not in BAD]


@pytest.fixture(scope="module")
def mixed(ionic):
    return [BAD.get(i, structure) for i, structure in enumerate(ionic.data)]


def ways(X, kind, **params):
    """Both ways to collect: by the estimator, or by its featurizer."""
    by_itself = kind(on_error="collect", **params)
    by_featurizer = kind(
        featurizer=CrystalGraphFeaturizer(on_error="collect"), **params
    )
    graphs = CrystalGraphFeaturizer(on_error="collect").transform(X)
    return [(by_itself, X), (by_featurizer, X), (kind(**params), graphs)]


def test_fit_is_as_if_they_were_not_there(estimator_class, target, ionic, mixed):
    expected = estimator_class(**SMALL).fit([ionic.data[i] for i in GOOD], target[GOOD])
    spoiled = np.array(target)
    if spoiled.dtype.kind == "f":
        spoiled[list(BAD)] = 1e9
    for model, X in ways(mixed, estimator_class, **SMALL):
        with pytest.warns(FailedCrystalsWarning) as caught:
            model.fit(X, spoiled)
        (warning,) = caught
        text = str(warning.message)
        assert text.startswith("5 of 60 crystals cannot become graphs")
        assert all(f"X[{i}]" in text for i in BAD)
        assert_same_weights(model, expected)
        np.testing.assert_array_equal(
            outputs(model, ionic.data), outputs(expected, ionic.data)
        )


def test_predictions_for_them_are_nan(estimator_class, target, ionic, mixed):
    for model, X in ways(mixed, estimator_class, **SMALL):
        model.fit(ionic.data, target)
        found = outputs(model, X)
        assert len(found) == 60
        missing = np.isnan(found.reshape(60, -1))
        assert (missing.any(axis=1) == missing.all(axis=1)).all()
        assert np.flatnonzero(missing.any(axis=1)).tolist() == list(BAD)
        # Batches of other crystals round differently.
        expected = outputs(model, ionic.data)[GOOD]
        np.testing.assert_allclose(found[GOOD], expected, rtol=1e-4, atol=1e-5)
        twin = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(outputs(twin, X), found)


def test_weight_must_remain(ionic, mixed):
    only_bad = np.isin(np.arange(60), list(BAD)).astype(float)
    model = CGCNNRegressor(on_error="collect", **SMALL)
    with (
        pytest.warns(FailedCrystalsWarning),
        pytest.raises(ValueError, match=r"^sample_weight is zero for every"),
    ):
        model.fit(mixed, ionic.target, only_bad)
    valid = {"X_val": mixed, "y_val": ionic.target, "sample_weight_val": only_bad}
    with (
        pytest.warns(FailedCrystalsWarning),
        pytest.raises(ValueError, match="sample_weight_val is zero for every"),
    ):
        model.fit(ionic.data, ionic.target, **valid)


def test_there_is_no_label_for_a_missing_class(ionic, mixed):
    model = CGCNNClassifier(on_error="collect", **SMALL)
    model.fit(ionic.data, ionic.prototype)
    with pytest.raises(ValueError, match=r"^5 of 60 .*first is X\[4\].*predict_proba"):
        model.predict(mixed)
    with pytest.raises(ValueError, match=r"^1 of 3 .*first is X\[1\]"):
        model.predict(mixed[3:6])


def test_several_targets_and_weights_stay_aligned(ionic, mixed):
    y = np.stack([ionic.target, -ionic.target], axis=1)
    weights = np.linspace(1, 2, 60)
    expected = CGCNNRegressor(**SMALL)
    expected.fit([ionic.data[i] for i in GOOD], y[GOOD], weights[GOOD])
    model = CGCNNRegressor(on_error="collect", **SMALL)
    with pytest.warns(FailedCrystalsWarning):
        model.fit(mixed, y, weights)
    assert_same_weights(model, expected)
    assert np.isnan(model.predict(mixed)[list(BAD)]).all()


def test_validation_and_partial_fit_leave_them_out(ionic, mixed):
    model = CGCNNRegressor(on_error="collect", **SMALL)
    with pytest.warns(FailedCrystalsWarning, match=r"X_val\[4\]"):
        model.fit(ionic.data, ionic.target, X_val=mixed, y_val=ionic.target)
    expected = CGCNNRegressor(**SMALL).fit(
        ionic.data,
        ionic.target,
        X_val=[ionic.data[i] for i in GOOD],
        y_val=ionic.target[GOOD],
    )
    assert model.validation_scores_ == expected.validation_scores_
    step, plain = (CGCNNRegressor(on_error="collect", **SMALL) for _ in range(2))
    with pytest.warns(FailedCrystalsWarning):
        step.partial_fit(mixed, ionic.target)
    plain.partial_fit([ionic.data[i] for i in GOOD], ionic.target[GOOD])
    assert_same_weights(step, plain)


def test_a_pipeline_is_cross_validated_with_them(ionic, mixed):
    pipeline = make_pipeline(
        CrystalGraphFeaturizer(on_error="collect"), CGCNNRegressor(**SMALL)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = cross_val_score(
            pipeline,
            mixed,
            ionic.target,
            cv=3,
            scoring=neg_mean_absolute_error,
            error_score="raise",
        )
        model = CGCNNRegressor(on_error="collect", **SMALL).fit(mixed, ionic.target)
        score = model.score(mixed, ionic.target)
    assert np.isfinite(scores).all()
    good = [ionic.data[i] for i in GOOD]
    assert score == pytest.approx(model.score(good, ionic.target[GOOD]), abs=1e-5)


def test_vectors_of_them_are_nan_and_they_have_no_sites(ionic, mixed):
    model = CGCNNRegressor(on_error="collect", readout="site", **SMALL)
    model.fit(ionic.data, ionic.target)
    vectors = crystal_embeddings(model, mixed)
    assert np.flatnonzero(np.isnan(vectors).all(axis=1)).tolist() == list(BAD)
    for function in (site_embeddings, site_contributions):
        sizes = [len(each) for each in function(model, mixed)]
        expected = [0 if i in BAD else len(each) for i, each in enumerate(ionic.data)]
        assert sizes == expected


def test_elements_without_features_are_collected_too():
    table = {"Na": [1.0], "Cl": [0.0], "K": [0.5], "Br": [0.2]}
    crystals = [
        Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(5.6), pair, [[0, 0, 0], [0.5, 0.5, 0.5]]
        )
        for pair in (["Na", "Cl"], ["K", "Br"], ["Na", "I"], ["K", "Cl"])
    ]
    model = CGCNNRegressor(site_features=table, on_error="collect", **SMALL)
    with pytest.warns(FailedCrystalsWarning, match=r"X\[2\] contains I, but site_feat"):
        model.fit(crystals, [0.0, 1.0, 1e9, 2.0])
    assert np.isnan(model.predict(crystals)).tolist() == [False, False, True, False]
    strict = CGCNNRegressor(site_features=table, **SMALL)
    with pytest.raises(StructureError, match=r"X\[2\] contains I"):
        strict.fit(crystals, [0.0, 1.0, 1e9, 2.0])


def test_without_being_asked_all_of_them_are_named(estimator, target, ionic, mixed):
    structures = [DISORDERED if i in BAD else each for i, each in enumerate(mixed)]
    with pytest.raises(StructureError) as caught:
        estimator.fit(structures, target)
    assert list(caught.value.failed) == list(BAD)
    estimator.fit(ionic.data, target)
    with pytest.raises(StructureError, match=r"X\[4\].*disordered"):
        estimator.predict(structures)
