"""Sums in compiled loops, beside those of torch, and how threads share them out."""

import itertools
import shutil

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from sklearn_cgcnn._ops import _inductor_backend
from sklearn_cgcnn.nn import Graph

_numba_loops = pytest.importorskip(
    "sklearn_cgcnn._ops._numba_loops", reason="needs Numba"
)


def several_crystals(sizes, n_features=3, seed=0, **kwargs):
    """A graph of crystals with 4 edges from each site, but none from every fifth."""
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
    counts = [torch.randint(1, 5, (n,), generator=generator) for n in (n_edges, 99)]
    features = torch.rand(n_edges, n_features, generator=generator)
    columns = torch.arange(n_features).expand_as(features)
    return Graph(
        edge_index,
        counts[0],
        counts[1][: starts[-1]],
        columns,
        features,
        n_features,
        **kwargs,
    )


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize(
    "sizes", [[5, 1, 7, 3, 9, 2, 6], [30], [1], [1, 30], [30, 1, 1, 1], [5] * 8]
)
@pytest.mark.parametrize("seed", range(5))
def test_no_edge_leads_from_one_part_to_another(sizes, n_threads, seed):
    edges = several_crystals(sizes, seed=seed, n_threads=n_threads).edges
    graph = several_crystals(sizes, seed=seed)
    part_of_site = np.full(sum(sizes), -1)
    for part, (start, stop) in enumerate(edges.parts):
        assert (part_of_site[start:stop] == -1).all()
        part_of_site[start:stop] = part
    center, neighbor = part_of_site[graph.edge_index]
    np.testing.assert_array_equal(center, neighbor)
    assert part_of_site.min() == 0  # no site was left out
    assert len(edges.parts) <= min(n_threads, len(sizes))


def test_parts_are_about_equal():
    sizes = [3, 4] * 14
    edges = several_crystals(sizes, n_threads=3).edges
    for parts in (edges.parts, edges.parts_by_center):
        lengths = [stop - start for start, stop in parts]
        assert len(lengths) == 3
        assert max(lengths) - min(lengths) <= 8


def all_sums(graph):
    """All that is asked of edges."""
    n_sites, generator = len(graph.multiplicity), torch.Generator().manual_seed(1)
    terms, sums = torch.randn(2, 2 * n_sites + 3, 10, generator=generator)
    scale, shift, std = torch.rand(3, 10, generator=generator) + 0.1
    grad = torch.randn(n_sites, 5, generator=generator)
    edges, shares = graph.edges, graph.edge_counts / graph.edge_counts.sum()
    messages = edges.messages(terms, scale, shift)
    mean, covariance, by_site, share_of_site = edges.sum_features(shares)
    ends = sums[:-3].clone()
    var = edges.add_ends(shares, share_of_site, terms[:-3], ends)
    rest, covariances = sums.clone(), sums.flip(0).contiguous()
    row_shares = torch.cat([share_of_site, mean])
    to_scale = edges.take_out(rest, terms, row_shares, shift, covariances, 1 / std)
    return {
        "messages": messages.sum(),
        "gradients": messages.sum_gradients(grad),
        "mean of features": mean,
        "covariance of features": covariance,
        "features by site": by_site,
        "shares by site": share_of_site,
        "covariances": ends,
        "variance": var,
        "gradients without statistics": rest,
        "gradient of the scale": to_scale,
    }


def assert_same_sums(given, expected):
    found = all_sums(given)
    for name, value in all_sums(expected).items():
        torch.testing.assert_close(
            found[name],
            value,
            rtol=1e-5,
            atol=1e-6 * value.abs().max().item(),
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("sizes", [[5, 1, 7, 3, 9, 2, 6], [30], [1]])
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_threads_find_what_torch_finds(sizes, n_threads):
    compiled = several_crystals(sizes, n_threads=n_threads)
    assert_same_sums(compiled, several_crystals(sizes))


def test_covariance_of_features_far_from_zero():
    """Their mean is a thousand times what they differ by."""
    graph = several_crystals([20, 10], n_threads=1)
    graph.values = 10 + graph.values / 100
    shares = graph.edge_counts / graph.edge_counts.sum()
    mean, covariance, *_ = graph.edges.sum_features(shares)
    values, weights = graph.values.double().numpy(), shares.double().numpy()
    np.testing.assert_allclose(mean, weights @ values, rtol=1e-6)
    expected = np.cov(values.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(covariance, expected, rtol=1e-4, atol=1e-4 * 1e-5)


def message(terms):
    """The message of one edge, from a site to itself, without edge features."""
    graph = Graph(
        torch.zeros(2, 1).long(),
        torch.ones(1),
        torch.ones(1),
        torch.zeros(1, 0).long(),
        torch.ones(1, 0),
        0,
        n_threads=1,
    )
    messages = graph.edges.messages(torch.tensor(terms), torch.ones(2), torch.zeros(2))
    return messages.sum()[0, 0]


@pytest.mark.parametrize("far", [3.0, 30.0, 88.0])
def test_activations_are_exact_to_a_few_last_digits(far):
    x = torch.linspace(-far, far, 1001)
    x = x[x > -87]  # below, single precision has no normal numbers for them
    gates = [message([[each, 0.0], [0.0, 0.0]]) for each in x.tolist()]
    cores = [message([[200.0, each], [0.0, 0.0]]) for each in x.tolist()]
    log_2 = softplus(torch.zeros(1).double())
    for found, expected in [
        (gates, torch.sigmoid(x.double()) * log_2),
        (cores, softplus(x.double(), threshold=100)),
    ]:
        found = torch.stack(found).double()
        torch.testing.assert_close(found, expected, rtol=5e-7, atol=0)


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_as_in_torch(place, value):
    terms = torch.tensor([[0.3, -0.2], [0.1, 0.4]])
    terms[place] = value
    gate, core = terms.sum(dim=0)
    torch.testing.assert_close(
        message(terms.tolist()),
        torch.sigmoid(gate) * softplus(core),
        equal_nan=True,
        rtol=1e-6,
        atol=1e-30,
    )


@pytest.mark.parametrize(
    ("name", "bad"), [("columns", 3), ("columns", -1), ("edge_index", 4)]
)
def test_loops_do_not_go_astray(name, bad):
    edges = {
        "edge_index": torch.tensor([[0, 1], [1, 0]]),
        "columns": torch.tensor([[0, 1], [1, 2]]),
    }
    edges[name][1, 1] = bad
    graph = Graph(
        edges["edge_index"],
        torch.ones(2),
        torch.ones(2),
        edges["columns"],
        torch.ones(2, 2),
        3,
        n_threads=1,
    )
    with pytest.raises(IndexError, match=name):
        _ = graph.edges


def test_many_features_for_a_gpu(monkeypatch):
    monkeypatch.setattr(_inductor_backend, "_compiled", lambda function: function)
    graphs = [
        several_crystals([4, 7], n_features=40, for_cpu=False, n_threads=n_threads)
        for n_threads in (1, None)
    ]
    terms, (scale, shift) = torch.randn(2 * 11 + 40, 6), torch.rand(2, 6)
    fused, by_torch = (each.edges.messages(terms, scale, shift) for each in graphs)
    torch.testing.assert_close(fused.sum(), by_torch.sum())
    grad = torch.randn(11, 3)
    torch.testing.assert_close(fused.sum_gradients(grad), by_torch.sum_gradients(grad))


def test_many_features():
    sizes = [4, 7, 5]
    compiled = several_crystals(sizes, n_features=40, n_threads=2)
    shares = compiled.edge_counts / compiled.edge_counts.sum()
    of_loops = compiled.edges.sum_features(shares)
    of_torch = several_crystals(sizes, n_features=40).edges.sum_features(shares)
    for ours, theirs in zip(of_loops, of_torch, strict=True):
        assert ours.is_contiguous()
        torch.testing.assert_close(ours, theirs)


def test_edges_that_are_the_same_feature_twice():
    """Where a feature is named more than once, it is their sum."""
    columns = torch.tensor([[0, 1, 1], [1, 0, 0]])
    values = torch.tensor([[0.5, 0.25, 2.0], [1.0, 3.0, 0.125]])
    found = []
    for n_threads in (None, 1):
        graph = Graph(
            torch.tensor([[0, 0], [0, 0]]),
            torch.ones(2),
            torch.ones(1),
            columns,
            values,
            2,
            n_threads,
        )
        found.append(graph.edges.sum_features(torch.tensor([0.25, 0.75])))
    for of_torch, of_loops in zip(*found, strict=True):
        torch.testing.assert_close(of_loops, of_torch)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_what_is_for_a_gpu_compiles():
    """Here for a CPU, from the same source; once, for batches of every size."""
    torch._dynamo.utils.counters.clear()
    for sizes in ([5, 3, 9], [4, 8], [17, 3, 2, 6]):
        fused = several_crystals(sizes, n_threads=1, for_cpu=False)
        assert isinstance(fused.edges, _inductor_backend.InductorEdges)
        assert_same_sums(fused, several_crystals(sizes))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 5
