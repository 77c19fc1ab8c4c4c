"""What a network is made of: built, compared and stored."""

import copy
import functools
import pickle

import numpy as np
import pytest
import torch

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn._estimators._equality import is_equal
from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn.nn import GatedConv, GaussianBasis, NoEdgeFeatures, SiteFeatures


def spec_of(n_outputs=1, **params):
    return NetworkSpec.from_params(CGCNNRegressor(**params).get_params(), n_outputs)


def test_its_fields_are_parameters_of_the_estimators():
    names = set(spec_of().to_dict())
    assert names - {"n_outputs"} < set(CGCNNRegressor().get_params())


def test_it_copies_what_it_is_given():
    basis = GaussianBasis(stop=6.0)
    spec = spec_of(edge_basis=basis)
    assert spec.edge_basis is not basis
    assert spec.build().edge_basis is not spec.edge_basis


@pytest.mark.parametrize(
    ("params", "name", "expected"),
    [
        ({"edge_basis": None}, "edge_basis", NoEdgeFeatures),
        ({"edge_basis": "gaussian"}, "edge_basis", GaussianBasis),
        ({"site_features": "learned"}, "site_features", SiteFeatures),
        ({"activation": torch.nn.PReLU}, "convs.0.activation", torch.nn.PReLU),
        ({"conv": GatedConv}, "convs.0", GatedConv),
    ],
    ids=str,
)
def test_parts_become_modules(params, name, expected):
    assert isinstance(spec_of(**params).build().get_submodule(name), expected)


def test_weights_are_drawn_by_the_seed_alone():
    state = torch.get_rng_state()
    spec = spec_of()
    first, again, other = (spec.build(seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.embedding.weight, again.embedding.weight)
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_stored_it_builds_the_same_network():
    spec = spec_of(n_outputs=3, n_conv_layers=2, norm=None)
    twin = NetworkSpec(**pickle.loads(pickle.dumps(spec.to_dict())))
    spec.check_continues(twin, "this", "that")
    weights = {k: v.numpy() for k, v in spec.build(5).state_dict().items()}
    restored = twin.restore(weights).state_dict()
    assert restored.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(restored[name], value)


def test_a_network_of_double_precision_is_restored_as_such():
    spec = spec_of()
    weights = {k: v.numpy() for k, v in spec.build().double().state_dict().items()}
    assert spec.restore(weights).embedding.weight.dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_conv_layers": 2}, r"n_conv_layers=3, but now n_conv_layers=2"),
        ({"norm": None}, "norm=batch, but now norm=None"),
        (
            {"site_features": ["group"]},
            r"properties\+learned, .*now .*<table of 18 fea",
        ),
        ({"edge_basis": GaussianBasis(stop=6.0)}, "now edge_basis=GaussianBasis"),
    ],
    ids=str,
)
def test_another_network_is_not_continued(change, message):
    with pytest.raises(ValueError, match=rf"warm continues .*{message}"):
        spec_of(**change).check_continues(spec_of(), "warm", "start")
    with pytest.raises(ValueError, match="set it back, or start"):
        spec_of(**change).check_continues(spec_of(), "warm", "start")


def half(x, factor=0.5):
    return factor * x


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, 2.0])),
        (torch.ones(3), torch.zeros(3)),
        (functools.partial(half, factor=1), functools.partial(half, factor=2)),
        ({"a": [1, (2, 3)]}, {"a": [1, (2, 4)]}),
        (GaussianBasis(stop=6.0), GaussianBasis(stop=7.0)),
        ([1, 2], [1, 2, 3]),
        ({"a": 1}, {"b": 1}),
        (half, is_equal),
        (1, "1"),
        (None, 0),
    ],
    ids=str,
)
def test_equality_is_that_of_the_content(value, other):
    assert is_equal(value, copy.deepcopy(value))
    assert not is_equal(value, other)
    assert not is_equal(other, value)


class Counter:
    def __init__(self, n):
        self.n = n

    def up(self):
        return self.n + 1

    def down(self):
        return self.n - 1


def test_bound_methods_are_equal_if_function_and_object_are():
    assert is_equal(Counter(1).up, Counter(1).up)
    assert not is_equal(Counter(1).up, Counter(1).down)
    assert not is_equal(Counter(1).up, Counter(2).up)
