"""With matmul_precision: matrix products are rounded, and nothing else."""

import pickle

import numpy as np
import pytest
import torch

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.nn._rounding import rounding_to_tf32

SMALL = {
    "n_conv_layers": 2,
    "n_site_channels": 8,
    "n_hidden_channels": 8,
    "max_epochs": 3,
    "batch_size": 20,
    "random_state": 0,
}
PARTS = {
    "default": {},
    "Eq. 4": {"conv": "shared", "pooling": "all_layers", "edge_basis": "one-hot"},
    "Eq. 5 as printed": {"norm": None, "lr": 1e-3},
    "site readout": {"readout": "site", "edge_basis": None},
    "other activation": {"activation": "silu", "dropout": 0.1},
}


@pytest.fixture(scope="module")
def graphs(ionic):
    return CrystalGraphFeaturizer().transform(ionic.data)


@pytest.fixture(params=[CGCNNRegressor, CGCNNClassifier])
def model(request):
    return request.param(**SMALL)


@pytest.fixture
def target(model, ionic):
    return ionic.target if isinstance(model, CGCNNRegressor) else ionic.prototype


def outputs(model, X):
    is_regressor = isinstance(model, CGCNNRegressor)
    return model.predict(X) if is_regressor else model.predict_proba(X)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("compiled", [False, True])
def test_rounded_to_bfloat16(model, target, graphs, part, compiled):
    model.set_params(**PARTS[part])
    model.fit(graphs, target)
    expected = outputs(model, graphs)
    model.net_.compiled, model.net_.matmul_precision = compiled, "bfloat16"
    rounded = outputs(model, graphs)
    assert rounded.dtype == expected.dtype
    assert not np.array_equal(rounded, expected)
    spread = np.std(target) if isinstance(model, CGCNNRegressor) else 1
    np.testing.assert_allclose(rounded, expected, rtol=0, atol=0.05 * spread)
    model.set_params(matmul_precision="bfloat16", compile=compiled)
    learnt = model.fit(graphs, target)
    kinds = {each.dtype for each in learnt.net_.module_.parameters()}
    assert kinds == {torch.float32}
    assert np.isfinite(outputs(learnt, graphs)).all()
    assert not torch.is_autocast_enabled("cpu")


def test_rounding_goes_with_a_pickle(graphs, ionic):
    model = CGCNNRegressor(matmul_precision="bfloat16", **SMALL)
    model.fit(graphs, ionic.target)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict(graphs), model.predict(graphs))


def test_tf32_is_asked_for_on_a_gpu(graphs, ionic, monkeypatch):
    model = CGCNNRegressor(matmul_precision="tf32", **SMALL)
    net = model.fit(graphs, ionic.target).net_
    asked = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
    with net._computing_as_asked():
        assert not asked
    net.device = "cuda"
    with net._computing_as_asked():
        assert asked == ["high"]
    assert asked == ["high", "highest"]


def test_the_last_to_need_tf32_sets_it_back():
    first, second = rounding_to_tf32(), rounding_to_tf32()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.get_float32_matmul_precision() == "high"
    second.__exit__(None, None, None)
    assert torch.get_float32_matmul_precision() == "highest"
