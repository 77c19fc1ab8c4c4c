import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.nn import GaussianBasis

SMALL = {"n_site_channels": 8, "max_epochs": 3, "random_state": 0}


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
    changed = copy.deepcopy(model).set_params(n_conv_layers=1, edge_basis="one-hot")
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
    fitted_there._fitted_params["device"] = "cuda"
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
