"""With matmul_precision: matrix products are rounded, and nothing else."""

import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import helpers
from helpers import PARTS, outputs
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._ops._precision import _Tf32, tf32_matmul
from sklearn_cgcnn._training import PackedDataset
from sklearn_cgcnn.nn import Conv, EdgeBasis

SMALL = {**helpers.SMALL, "n_conv_layers": 2, "batch_size": 20}


@pytest.fixture
def model(estimator_class):
    return estimator_class(**SMALL)


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
    learned = model.fit(graphs, target)
    kinds = {each.dtype for each in learned.net_.module_.parameters()}
    assert kinds == {torch.float32}
    assert np.isfinite(outputs(learned, graphs)).all()
    assert not torch.is_autocast_enabled("cpu")


def test_rounding_goes_with_a_pickle(graphs, ionic):
    model = CGCNNRegressor(matmul_precision="bfloat16", **SMALL)
    model.fit(graphs, ionic.target)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict(graphs), model.predict(graphs))


def test_tf32_is_asked_for_on_a_gpu(graphs, ionic, monkeypatch):
    model = CGCNNRegressor(matmul_precision="tf32", **SMALL)
    net = model.fit(graphs, ionic.target).net_
    switch = SimpleNamespace(fp32_precision="none", allow_tf32=False)
    monkeypatch.setattr(torch.backends.cuda, "matmul", switch)
    before = vars(switch).copy()
    with net._execution(PackedDataset(graphs)):
        assert vars(switch) == before
    net.device = "cuda"
    with net._execution(PackedDataset(graphs)):
        assert "tf32" in vars(switch).values() or switch.allow_tf32
    assert vars(switch) == before


def test_the_last_to_need_tf32_sets_it_back():
    first, second = tf32_matmul(), tf32_matmul()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert getattr(torch.backends.cuda.matmul, _Tf32.name) == _Tf32.value
    second.__exit__(None, None, None)
    assert getattr(torch.backends.cuda.matmul, _Tf32.name) != _Tf32.value


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="needs torch 2.9"
)
def test_the_new_switch_of_torch_may_be_in_use():
    script = """
import torch
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn._ops._precision import tf32_matmul

torch.backends.cuda.matmul.fp32_precision = "ieee"
X, y = make_ionic_crystals(8, random_state=0, return_X_y=True)
CGCNNRegressor(max_epochs=1).fit(X, y)
with tf32_matmul():
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"
assert torch.backends.cuda.matmul.fp32_precision == "ieee"
"""
    subprocess.run([sys.executable, "-c", script], check=True)


class LearnedBasis(EdgeBasis):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 5)

    @property
    def n_features(self):
        return 5

    def forward(self, distances):
        return self.linear(distances.float()[:, None])


class LinearConv(Conv):
    def __init__(self, width_in, width, n_edge_features, norm, activation):
        super().__init__(width_in, width, n_edge_features, norm, activation)
        self.linear = torch.nn.Linear(width, width)

    def forward(self, sites, batch):
        return self.linear(sites)


@pytest.mark.parametrize(
    "parts",
    [
        {"edge_basis": LearnedBasis()},
        {"edge_basis": LearnedBasis(), "norm": None, "lr": 1e-3},
        {"edge_basis": LearnedBasis(), "activation": "silu"},
        {"conv": LinearConv, "pooling": "all_layers"},
        {"conv": LinearConv, "readout": "site"},
    ],
    ids=["basis", "basis without norm", "basis and activation", "conv", "readout"],
)
def test_own_parts_may_be_rounded(graphs, ionic, parts):
    model = CGCNNRegressor(matmul_precision="bfloat16", **{**SMALL, **parts})
    assert np.isfinite(model.fit(graphs, ionic.target).predict(graphs)).all()


def test_parts_that_cannot_be_rounded_are_named(graphs, ionic):
    class Mixing(LinearConv):
        def forward(self, sites, batch):
            center = batch.edge_index[0]
            return torch.zeros_like(sites).index_add(
                0, center, self.linear(sites[center])
            )

    model = CGCNNRegressor(conv=Mixing, **SMALL).fit(graphs, ionic.target)
    model.set_params(matmul_precision="bfloat16")
    with pytest.raises(ValueError, match=r"does not work with conv=.*Mixing"):
        model.fit(graphs, ionic.target)


def test_partial_fit_changes_over(graphs, ionic):
    model = CGCNNRegressor(**SMALL).partial_fit(graphs, ionic.target)
    model.set_params(matmul_precision="bfloat16").partial_fit(graphs, ionic.target)
    assert model.net_.matmul_precision == "bfloat16"
