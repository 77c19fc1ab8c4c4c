"""Pickles of fitted models, and weights that come from elsewhere."""

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline

from helpers import SMALL, weights_of
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.nn import GaussianBasis


@pytest.fixture(scope="module", params=["regressor", "classifier", "own basis"])
def model(request, ionic):
    if request.param == "classifier":
        return CGCNNClassifier(**SMALL).fit(ionic.data, ionic.prototype)
    basis = GaussianBasis(stop=6.0) if request.param == "own basis" else "gaussian"
    model = CGCNNRegressor(edge_basis=basis, early_stopping=True, **SMALL)
    return model.fit(ionic.data, ionic.target)


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("copied", [through_pickle, copy.deepcopy])
def test_a_copy_predicts_the_same(model, ionic, copied):
    twin = copied(model)
    np.testing.assert_array_equal(twin.predict(ionic.data), model.predict(ionic.data))
    assert twin.loss_curve_ == model.loss_curve_
    assert vars(twin).keys() == vars(model).keys()


def test_a_copy_predicts_the_same_after_parameters_changed(model, ionic):
    changed = copy.deepcopy(model).set_params(n_conv_layers=2, edge_basis="one-hot")
    twin = through_pickle(changed)
    np.testing.assert_array_equal(twin.predict(ionic.data), model.predict(ionic.data))


def test_an_unfitted_model_is_copied_too():
    twin = through_pickle(CGCNNRegressor(n_conv_layers=2))
    assert twin.n_conv_layers == 2
    assert not hasattr(twin, "net_")


def test_double_precision_survives(ionic):
    model = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    model.net_.module_.double()
    twin = through_pickle(model)
    np.testing.assert_array_equal(twin.predict(ionic.data), model.predict(ionic.data))
    assert next(twin.net_.module_.parameters()).dtype == torch.float64


def test_a_pickle_holds_numpy_arrays_and_nothing_of_torch_or_skorch(ionic):
    model = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    content = pickle.dumps(model)
    assert b"torch" not in content
    assert b"skorch" not in content
    n_weights = sum(value.numel() for value in model.net_.module_.state_dict().values())
    n_features = model.net_.module_.site_features.table.numel()
    assert len(content) < 4 * (n_weights + n_features) + 20_000


@pytest.mark.parametrize("compress", [0, 3])
def test_a_pipeline_in_a_file_predicts_the_same_in_a_new_process(
    ionic, tmp_path, compress
):
    pipeline = make_pipeline(CrystalGraphFeaturizer(), CGCNNRegressor(**SMALL))
    pipeline.fit(ionic.data, ionic.target)
    joblib.dump(pipeline, tmp_path / "model.joblib", compress=compress)
    joblib.dump(ionic.data, tmp_path / "data.joblib")
    script = (
        "import joblib, numpy, torch, sys; torch.set_num_threads(1)\n"
        "model, data, out = sys.argv[1:]\n"
        "numpy.save(out, joblib.load(model).predict(joblib.load(data)))\n"
    )
    paths = [tmp_path / name for name in ("model.joblib", "data.joblib", "out.npy")]
    subprocess.run([sys.executable, "-c", script, *map(str, paths)], check=True)
    np.testing.assert_array_equal(np.load(paths[-1]), pipeline.predict(ionic.data))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_model_of_a_gpu_loads_where_there_is_none(model, ionic):
    # What a GPU leaves in the pickle is its name alone: the weights are numpy arrays.
    fitted_there = copy.deepcopy(model)
    fitted_there._prediction_params["device"] = "cuda"
    with pytest.warns(UserWarning, match=r"device='cuda'.*on the CPU"):
        twin = through_pickle(fitted_there)
    np.testing.assert_array_equal(twin.predict(ionic.data), model.predict(ionic.data))


def test_loading_leaves_the_random_state_alone(model):
    content = pickle.dumps(model)
    state = torch.get_rng_state()
    pickle.loads(content)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "params",
    [{"device": "warp-core"}, {"batch_size": 0}, {"optimizer": "none"}],
    ids=str,
)
def test_a_copy_predicts_whatever_the_parameters_are_now(model, ionic, params):
    changed = copy.deepcopy(model).set_params(**params)
    twin = through_pickle(changed)
    np.testing.assert_array_equal(twin.predict(ionic.data), model.predict(ionic.data))


# The version of the state


def stored_state(model):
    """The state of a model, as a pickle keeps it."""
    return pickle.loads(pickle.dumps(model.__getstate__()))


def test_the_state_has_a_version(model):
    assert model.__getstate__()["_state_version"] == model._state_version
    assert CGCNNRegressor().__getstate__()["_state_version"] >= 1
    assert not any("version" in name for name in vars(through_pickle(model)))


@pytest.mark.parametrize("version", [None, 0, 10**6])
def test_a_state_of_another_version_is_refused_with_the_remedy(model, version):
    state = stored_state(model)
    state["_state_version"] = version
    with pytest.raises(ValueError, match=rf"version {version}.*fit it again"):
        type(model)().__setstate__(state)


def test_an_older_state_is_upgraded_step_by_step(model, ionic, monkeypatch):
    """Here one and two versions before, in which things had other names."""
    state, newest = stored_state(model), model._state_version

    def rename(old, new):
        return lambda state: {new if k == old else k: v for k, v in state.items()}

    upgrades = {
        newest: rename("epochs", "n_epochs"),
        newest + 1: rename("n_epochs", "n_iter_"),
    }
    monkeypatch.setattr(type(model), "_state_version", newest + 2)
    monkeypatch.setattr(type(model), "_state_upgrades", upgrades)
    state["epochs"] = state.pop("n_iter_")
    before = state.copy()
    twin = type(model)()
    twin.__setstate__(state)
    assert twin.n_iter_ == model.n_iter_
    assert state.keys() == before.keys()  # what was passed in is not changed
    np.testing.assert_array_equal(twin.predict(ionic.data), model.predict(ionic.data))


STORED = sorted((Path(__file__).parent / "stored").glob("*.pkl"))


def test_there_is_a_stored_model_of_every_version():
    versions = [int(path.stem.rpartition("_v")[2]) for path in STORED]
    assert versions == list(range(1, CGCNNRegressor._state_version + 1))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_stored_model_still_predicts_what_it_did(path):
    """Models stored by earlier releases (``stored/make.py``)."""
    model = pickle.loads(path.read_bytes())
    expected = json.loads(path.with_suffix(".json").read_text())
    structures = make_ionic_crystals(20, random_state=0).data
    np.testing.assert_allclose(model.predict(structures), expected, rtol=1e-4)


# Weights from elsewhere


@pytest.mark.parametrize("as_arrays", [True, False])
def test_loaded_weights_predict_as_those_that_were_fitted(ionic, as_arrays):
    fitted = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    weights = weights_of(fitted)
    if as_arrays:
        weights = {name: value.numpy() for name, value in weights.items()}
    [mean], [scale] = fitted.target_mean_, fitted.target_scale_
    loaded = CGCNNRegressor(**SMALL)
    same = loaded.load_weights(
        weights, target_mean=mean, target_scale=scale, n_epochs=3
    )
    assert same is loaded
    assert loaded.n_iter_ == len(loaded.loss_curve_) == 3
    for each in (loaded, through_pickle(loaded)):
        np.testing.assert_array_equal(
            each.predict(ionic.data), fitted.predict(ionic.data)
        )
    # And training continues with them.
    continued = loaded.set_params(warm_start=True, lr=1e-6).fit(
        ionic.data, ionic.target
    )
    difference = continued.predict(ionic.data) - fitted.predict(ionic.data)
    assert abs(difference).max() < 0.05 * ionic.target.std()
    assert continued.n_iter_ == 6


def test_loaded_weights_of_several_targets(ionic):
    y = np.stack([ionic.target, -ionic.target], axis=1)
    fitted = CGCNNRegressor(**SMALL).fit(ionic.data, y)
    loaded = CGCNNRegressor(**SMALL).load_weights(
        weights_of(fitted),
        target_mean=fitted.target_mean_,
        target_scale=list(fitted.target_scale_),
    )
    np.testing.assert_array_equal(
        loaded.predict(ionic.data), fitted.predict(ionic.data)
    )


def test_loaded_weights_of_a_classifier(ionic):
    fitted = CGCNNClassifier(**SMALL).fit(ionic.data, ionic.prototype)
    loaded = CGCNNClassifier(**SMALL).load_weights(
        weights_of(fitted), classes=fitted.classes_
    )
    np.testing.assert_array_equal(
        loaded.predict_proba(ionic.data), fitted.predict_proba(ionic.data)
    )


def test_buffers_may_be_left_out():
    model = CGCNNRegressor(**SMALL)
    spec = NetworkSpec.from_params(model.get_params(), n_outputs=1)
    model.load_weights(dict(spec.build().named_parameters()))
    norm = model.net_.module_.convs[0].site_norm
    assert norm.running_mean.eq(0).all()
    assert norm.running_var.eq(1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"readout.output.weight": None}, "lacks the parameter 'readout.output.weight"),
        ({"fc.weight": torch.ones(1)}, "'fc.weight', which the network does not have"),
        ({"readout.output.bias": torch.ones(2)}, r"shape \(2,\).* needs \(1,\)"),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_weights_of_another_network_are_named_and_leave_the_model_as_it_is(
    ionic, change, message
):
    model = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    before, weights = model.predict(ionic.data), weights_of(model) | change
    weights = {name: value for name, value in weights.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        model.load_weights(weights, target_mean=7.0)
    np.testing.assert_array_equal(model.predict(ionic.data), before)


@pytest.mark.parametrize(
    "scaling",
    [
        {"target_mean": np.nan},
        {"target_mean": [0.0, 1.0]},
        {"target_mean": [[0.0]], "target_scale": [[1.0]]},
    ],
    ids=str,
)
def test_a_bad_scaling_is_refused(scaling):
    with pytest.raises(ValueError, match="target_mean has shape"):
        CGCNNRegressor(**SMALL).load_weights({}, **scaling)


@pytest.mark.parametrize("classes", [["b", "a"], ["a", "a", "b"]])
def test_classes_must_ascend(classes):
    with pytest.raises(ValueError, match="ascending order"):
        CGCNNClassifier(**SMALL).load_weights({}, classes=classes)
