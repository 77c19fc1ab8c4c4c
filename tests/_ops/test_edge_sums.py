"""Sums of each back end compared with those of torch, and how threads divide them."""

import itertools
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import silu, softplus

from sklearn_cgcnn._ops import EdgeList, _inductor_backend, _numba_edges, to_dense
from sklearn_cgcnn._ops._inductor_backend import InductorEdgeSums
from sklearn_cgcnn._ops._interface import LayerParameters
from sklearn_cgcnn._ops._numba_backend import NumbaEdgeSums
from sklearn_cgcnn._ops._torch_backend import TorchEdgeSums
from sklearn_cgcnn._ops._torch_blocks import block_size

pytestmark = pytest.mark.usefixtures("any_edges_for_threads")


def several_crystals(sizes, n_features=3, seed=0):
    """Create edges within crystals: 4 from each site, but none from every fifth."""
    generator = torch.Generator().manual_seed(seed)
    starts = np.cumsum([0, *sizes])
    edges = [
        torch.stack(
            [
                torch.arange(start, stop).repeat_interleave(4),
                torch.randint(start, stop, (4 * (stop - start),), generator=generator),
            ]
        )
        for start, stop in itertools.pairwise(starts)
    ]
    edge_index = torch.cat(edges, dim=1)
    edge_index = edge_index[:, edge_index[0] % 5 != seed]
    n_edges = edge_index.shape[1]
    features = torch.rand(n_edges, n_features, generator=generator)
    return EdgeList(
        edge_index=edge_index,
        weights=torch.randint(1, 5, (n_edges,), generator=generator).float(),
        n_sites=int(starts[-1]),
        columns=torch.arange(n_features).expand_as(features),
        values=features,
        n_features=n_features,
    )


def by_torch(edges):
    return TorchEdgeSums(edges, block_size(with_gradient=True))


def edge_fractions(edges):
    """Weights of the edges in the statistics, for sites of different multiplicity."""
    counts = edges.weights * multiplicity_of(edges)[edges.edge_index[0]]
    return counts / counts.sum()


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize(
    "sizes", [[5, 1, 7, 3, 9, 2, 6], [30], [1], [1, 30], [30, 1, 1, 1], [5] * 8]
)
@pytest.mark.parametrize("seed", range(5))
def test_no_edge_connects_two_ranges(sizes, n_threads, seed):
    edges = several_crystals(sizes, seed=seed)
    ranges = NumbaEdgeSums(edges, n_threads).site_ranges
    range_of_site = np.full(sum(sizes), -1)
    for number, (start, stop) in enumerate(ranges):
        assert (range_of_site[start:stop] == -1).all()
        range_of_site[start:stop] = number
    center, neighbor = range_of_site[edges.edge_index]
    np.testing.assert_array_equal(center, neighbor)
    assert range_of_site.min() == 0  # every site is in a range
    assert len(ranges) <= min(n_threads, len(sizes))


def test_ranges_have_about_the_same_length():
    sums = NumbaEdgeSums(several_crystals([3, 4] * 14), n_threads=3)
    for ranges in (sums.site_ranges, sums.center_ranges):
        lengths = [stop - start for start, stop in ranges]
        assert len(lengths) == 3
        assert max(lengths) - min(lengths) <= 8


def test_few_edges_are_not_divided(monkeypatch):
    edges = several_crystals([3, 4] * 14)
    monkeypatch.setattr(_numba_edges, "_LEAST_EDGES_A_THREAD", len(edges) // 2)
    for n_threads, n_ranges in ((1, 1), (2, 2), (8, 2)):
        assert len(NumbaEdgeSums(edges, n_threads).site_ranges) == n_ranges
    monkeypatch.setattr(_numba_edges, "_LEAST_EDGES_A_THREAD", len(edges))
    assert len(NumbaEdgeSums(edges, 8).center_ranges) == 1


def all_sums(sums):
    """Compute everything that a back end computes."""
    edges, generator = sums.edges, torch.Generator().manual_seed(1)
    n_sites, fractions = edges.n_sites, edge_fractions(edges)
    terms, grad_sums = torch.randn(2, 2 * n_sites + 3, 10, generator=generator)
    scale, shift, std = torch.rand(3, 10, generator=generator) + 0.1
    grad = torch.randn(n_sites, 5, generator=generator)
    messages = sums.messages(terms, scale, shift)
    mean, covariance, by_site, site_coefficients = sums.feature_moments(fractions)
    site_sums = grad_sums[:-3].clone()
    var = sums.add_endpoint_terms(fractions, site_coefficients, terms[:-3], site_sums)
    projected, covariances = grad_sums.clone(), grad_sums.flip(0).contiguous()
    mean_coefficients = torch.cat([site_coefficients, mean])
    grad_scale = sums.project_gradients(
        projected, terms, mean_coefficients, shift, covariances, 1 / std
    )
    return {
        "messages": messages.sum(),
        "gradients": messages.sum_gradients(grad),
        "mean of the features": mean,
        "covariance of the features": covariance,
        "features by site": by_site,
        "fractions by site": site_coefficients,
        "sums with endpoint terms": site_sums,
        "variance": var,
        "projected gradients": projected,
        "gradient of the scale": grad_scale,
    }


def assert_same_sums(sums, expected_sums):
    actual = all_sums(sums)
    for name, expected in all_sums(expected_sums).items():
        torch.testing.assert_close(
            actual[name],
            expected,
            rtol=1e-5,
            atol=1e-6 * expected.abs().max().item(),
            msg=lambda text, name=name: f"{name}: {text}",
        )


def multiplicity_of(edges):
    return 1 + torch.arange(edges.n_sites) % 4


@pytest.mark.parametrize("sizes", [[5, 1, 7, 3, 9, 2, 6], [30], [1]])
@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("n_features", [3, 40])
@pytest.mark.parametrize("activation", ["softplus", "silu"])
def test_numba_agrees_with_torch(sizes, n_threads, n_features, activation):
    edges, half = several_crystals(sizes, n_features), 5
    generator = torch.Generator().manual_seed(1)
    rand = partial(torch.rand, generator=generator)
    sites, grad = torch.randn(2, edges.n_sites, half, generator=generator)
    n_terms, width = 2 * edges.n_sites + n_features, 2 * half
    terms, edge_vectors, site_vectors = (
        rand(n_terms, width),
        rand(2, width),
        rand(2, half),
    )
    parameters = LayerParameters(
        rand(width, width + n_features) - 0.5, *edge_vectors, *site_vectors, 1e-5
    )
    results = []
    for sums in (NumbaEdgeSums(edges, n_threads), by_torch(edges)):
        messages = sums.messages(terms, *edge_vectors, activation)
        multiplicity = multiplicity_of(edges)
        fractions = multiplicity / multiplicity.sum()
        layer = sums.moments(multiplicity).layer(sites, fractions, parameters)
        sum_of_messages = [messages.sum(), messages.sum_gradients(grad)]
        results.append([*sum_of_messages, *layer.outputs(), *layer.backward(grad)])
    for number, (ours, theirs) in enumerate(zip(*results, strict=True)):
        # A layer is a longer chain of sums than its messages.
        tolerance = 1e-6 if number < 2 else 2e-5
        atol = tolerance * theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=atol)


def test_covariance_of_features_far_from_zero():
    """Their mean is a thousand times their standard deviation."""
    edges = several_crystals([20, 10])
    edges.values.copy_(10 + edges.values / 100)
    moments = NumbaEdgeSums(edges, 1).moments(multiplicity_of(edges))
    values, weights = edges.values.double().numpy(), edge_fractions(edges).double()
    weights = weights.numpy()
    mean = moments.arrays.mean_coefficients[2 * edges.n_sites :]
    np.testing.assert_allclose(mean, weights @ values, rtol=1e-6)
    expected = np.cov(values.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(
        moments.arrays.covariance, expected, rtol=1e-4, atol=1e-4 * 1e-5
    )


def message(terms, activation="softplus"):
    """The message of one edge, from a site to itself, without edge features."""
    edges = EdgeList(
        edge_index=torch.zeros(2, 1).long(),
        weights=torch.ones(1),
        n_sites=1,
        columns=torch.zeros(1, 0).long(),
        values=torch.ones(1, 0),
        n_features=0,
    )
    messages = NumbaEdgeSums(edges, 1).messages(
        torch.tensor(terms), torch.ones(2), torch.zeros(2), activation
    )
    return messages.sum()[0, 0]


@pytest.mark.parametrize("limit", [3.0, 30.0, 88.0])
def test_activations_are_exact_to_a_few_last_digits(limit):
    x = torch.linspace(-limit, limit, 1001)
    x = x[x > -87]  # below, the results are not normal numbers in single precision
    gates = [message([[each, 0.0], [0.0, 0.0]]) for each in x.tolist()]
    cores = [message([[200.0, each], [0.0, 0.0]]) for each in x.tolist()]
    silus = [message([[200.0, each], [0.0, 0.0]], "silu") for each in x.tolist()]
    log_2 = softplus(torch.zeros(1).double())
    for actual, expected in [
        (gates, torch.sigmoid(x.double()) * log_2),
        (cores, softplus(x.double(), threshold=100)),
        (silus, silu(x.double())),
    ]:
        actual = torch.stack(actual).double()
        torch.testing.assert_close(actual, expected, rtol=5e-7, atol=0)


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("activation", [softplus, silu])
def test_values_that_are_not_finite_give_the_results_of_torch(place, value, activation):
    terms = torch.tensor([[0.3, -0.2], [0.1, 0.4]])
    terms[place] = value
    gate, core = terms.sum(dim=0)
    actual = message(terms.tolist(), activation.__name__)
    expected = torch.sigmoid(gate) * activation(core)
    if activation is silu and core == -torch.inf:  # the limit is 0; torch returns NaN
        assert not torch.isfinite(actual)
    else:
        torch.testing.assert_close(
            actual, expected, equal_nan=True, rtol=1e-6, atol=1e-30
        )


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("columns", 3, r"columns must hold indices from 0 to 2, .* from 0 to 3"),
        ("columns", -1, r"columns must hold indices from 0 to 2, .* from -1 to 1"),
        ("edge_index", 4, r"edge_index must hold indices from 0 to 1, .* from 0 to 4"),
    ],
)
def test_indices_out_of_range_are_refused(name, bad, message):
    indices = {
        "edge_index": torch.tensor([[0, 1], [1, 0]]),
        "columns": torch.tensor([[0, 1], [1, 2]]),
    }
    indices[name][1, 1] = bad
    edges = EdgeList(
        **indices,
        weights=torch.ones(2),
        n_sites=2,
        values=torch.ones(2, 2),
        n_features=3,
    )
    with pytest.raises(IndexError, match=message):
        NumbaEdgeSums(edges, 1)


def test_an_entry_without_a_feature_is_refused():
    edges = several_crystals([3], n_features=1)
    with pytest.raises(IndexError, match="columns"):
        NumbaEdgeSums(replace(edges, n_features=0), 1)


def test_many_features_with_inductor(monkeypatch):
    monkeypatch.setattr(_inductor_backend, "_compiled", lambda function: function)
    edges = several_crystals([4, 7], n_features=40)
    terms, (scale, shift) = torch.randn(2 * 11 + 40, 6), torch.rand(2, 6)
    ours, theirs = (
        sums.messages(terms, scale, shift)
        for sums in (InductorEdgeSums(edges), TorchEdgeSums(edges, None))
    )
    torch.testing.assert_close(ours.sum(), theirs.sum())
    grad = torch.randn(11, 3)
    torch.testing.assert_close(ours.sum_gradients(grad), theirs.sum_gradients(grad))


def test_a_feature_with_several_entries_is_their_sum():
    edges = EdgeList(
        edge_index=torch.tensor([[0, 0], [0, 0]]),
        weights=torch.ones(2),
        n_sites=1,
        columns=torch.tensor([[0, 1, 1], [1, 0, 0]]),
        values=torch.tensor([[0.5, 0.25, 2.0], [1.0, 3.0, 0.125]]),
        n_features=2,
    )
    expected = torch.tensor([[0.5, 2.25], [3.125, 1.0]])
    assert torch.equal(edges.features, expected)
    assert torch.equal(to_dense(edges.columns, edges.values, 2), expected)
    edges.weights.copy_(torch.tensor([1.0, 3.0]))
    mean, covariance, *_ = by_torch(edges).feature_moments(edges.weights / 4)
    moments = NumbaEdgeSums(edges, 1).moments(torch.ones(1))
    np.testing.assert_allclose(moments.arrays.mean_coefficients[2:], mean)
    np.testing.assert_allclose(moments.arrays.covariance, covariance, rtol=1e-6)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_inductor_compiles():
    """For a CPU here, from the same source; once, for batches of every size."""
    torch._dynamo.utils.counters.clear()
    for sizes in ([5, 3, 9], [4, 8], [17, 3, 2, 6]):
        edges = several_crystals(sizes)
        assert_same_sums(InductorEdgeSums(edges), by_torch(edges))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 5
