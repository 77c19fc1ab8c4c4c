"""The sum by hand, against the equation written out with torch's own operations."""

import pytest
import torch

from sklearn_cgcnn._ops import _inductor_backend, _torch_blocks
from sklearn_cgcnn._ops._gated_sum import normalized_gated_sum
from sklearn_cgcnn.nn import BatchNorm, GatedConv, Graph


@pytest.fixture(params=[1, 7, 2048, "at once", "for a GPU", "1 thread", "2 threads"])
def way(request, monkeypatch):
    """Blocks of so many edges, all at once as on a GPU, or compiled loops."""
    if isinstance(request.param, int):
        for name in ("_BLOCK", "_BLOCK_WITHOUT_GRADIENT"):
            monkeypatch.setattr(_torch_blocks, name, request.param)
        return {}
    # As it is written: to compile it takes seconds, for a test of its own.
    monkeypatch.setattr(_inductor_backend, "_compiled", lambda function: function)
    return {
        "at once": {"for_cpu": False},
        "for a GPU": {"for_cpu": False, "n_threads": 1},
        "1 thread": {"n_threads": 1},
        "2 threads": {"n_threads": 2},
    }[request.param]


def make(dtype, offset=0.0, n_edges=60, n_features=4, norm=BatchNorm):
    """A convolution, its sites, and what a graph is made of."""
    torch.manual_seed(0)
    conv = GatedConv(6, 6, n_features, norm).to(dtype)
    for each in (conv.edge_norm, conv.site_norm) if norm else ():
        for values in (each.weight.data, each.bias.data, each.running_mean):
            values.uniform_(-1, 1)
        each.running_var.uniform_(0.5, 2)
    sites = (torch.randn(9, 6) + offset).to(dtype).requires_grad_()
    features = torch.rand(n_edges, n_features).to(dtype) + offset
    # The third site is no center, the ninth nobody's neighbor, some are both.
    center = torch.tensor([0, 1, 3, 4, 5, 6, 7, 8])[torch.arange(n_edges) * 8 // 60]
    edges = torch.stack([center, torch.randint(0, 8, (n_edges,))])
    counts = [torch.randint(1, 5, (n,)) for n in (n_edges, 9)]
    return conv, sites, (edges, *counts, features)


def as_graph(edges, weights, multiplicity, features, **way):
    columns = torch.arange(features.shape[1]).expand_as(features)
    n_features = features.shape[1]
    return Graph(edges, weights, multiplicity, columns, features, n_features, **way)


def outcome(conv, sites, parts, way=None):
    """Outputs, gradients and running statistics; as the equation says without a way."""
    conv.zero_grad()
    sites.grad = None
    if way is None:
        summed = conv._sum_as_written(sites, as_graph(*parts))
    else:
        summed = conv._sum_by_hand(sites, as_graph(*parts, **way))
    (summed * torch.linspace(-1, 2, summed.numel()).view_as(summed)).sum().backward()
    found = [summed.detach(), sites.grad, *(each.grad for each in conv.parameters())]
    if conv.edge_norm is not None:
        found += [conv.edge_norm.running_mean, conv.edge_norm.running_var]
    return [each.clone() for each in found if each is not None]


def assert_same(given, expected, tolerance):
    assert len(given) == len(expected) > 1
    for ours, written_out in zip(given, expected, strict=True):
        atol = tolerance * written_out.abs().max().item()
        torch.testing.assert_close(
            ours, written_out, rtol=0, atol=atol, check_dtype=False
        )


@pytest.mark.parametrize("n_features", [4, 0])
@pytest.mark.parametrize("norm", [BatchNorm, None])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
def test_outputs_gradients_and_statistics(
    way, dtype, tolerance, training, norm, n_features
):
    found, expected = (
        outcome(conv.train(training), *given, one_way)
        for one_way in (way, None)
        for conv, *given in [make(dtype, n_features=n_features, norm=norm)]
    )
    assert_same(found, expected, tolerance)


@pytest.mark.parametrize(
    ("dtype", "offset", "tolerance"),
    [(torch.float64, 1e3, 1e-8), (torch.float32, 10.0, 1e-4)],
)
def test_far_from_zero(way, dtype, offset, tolerance):
    """Statistics lose no more digits than those of torch's own operations."""
    conv, *given = make(dtype, offset)
    found = outcome(conv, *given, way)
    conv, *given = make(dtype, offset)
    assert_same(found, outcome(conv, *given), tolerance)


@pytest.mark.parametrize("norm", [BatchNorm, None])
@pytest.mark.parametrize("training", [True, False])
def test_products_are_rounded_under_autocast(way, norm, training):
    """They, and their gradients, and what follows from them, by one part in 256."""
    conv, *given = make(torch.float32, norm=norm)
    expected = outcome(conv.train(training), *given, way)
    conv, *given = make(torch.float32, norm=norm)
    with torch.autocast("cpu", torch.bfloat16):
        found = outcome(conv.train(training), *given, way)
    for rounded, exact in zip(found, expected, strict=True):
        assert rounded.dtype == torch.float32
        error = (rounded - exact).norm() / exact.norm()
        assert error < 0.03
    for of_products in (0, 1, 2):  # messages, gradients of the sites and the weight
        assert not torch.equal(found[of_products], expected[of_products])


def test_terms_that_cancel(way):
    """What one end of an edge adds the other takes away, but for a thousandth."""
    conv, sites, parts = make(torch.float64, offset=10.0)
    weight = conv.linear.weight.data
    weight[:, 6:12] = -weight[:, :6] * 1.001
    exact = outcome(conv, sites, parts)
    parts = *parts[:3], parts[3].float()
    single = sites.detach().float().requires_grad_()
    assert_same(outcome(conv.float(), single, parts, way)[:2], exact[:2], 1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
def test_edges_in_any_order(way, training, dtype, tolerance):
    conv, sites, parts = make(dtype)
    conv.train(training)
    expected = outcome(conv, sites, parts, way)
    order = torch.randperm(len(parts[1]))
    edges, weights, multiplicity, features = parts
    conv, sites, _ = make(dtype)
    shuffled = edges[:, order], weights[order], multiplicity, features[order]
    found = outcome(conv.train(training), sites, shuffled, way)
    assert_same(found, expected, tolerance)
    with torch.no_grad():  # and written out
        torch.testing.assert_close(
            conv._sum_as_written(sites, as_graph(*shuffled)), expected[0]
        )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_edges(way, training, dtype):
    conv, sites, parts = make(dtype, n_edges=0)
    conv.train(training)
    summed = conv._sum_by_hand(sites, as_graph(*parts, **way))
    assert torch.equal(summed, torch.zeros(9, 6).to(dtype))
    summed.sum().backward()
    assert torch.equal(sites.grad, torch.zeros(9, 6).to(dtype))
    assert torch.isfinite(conv.edge_norm.running_var).all()


def test_a_frozen_norm_keeps_its_statistics(way):
    conv, *given = make(torch.float64)
    conv.train().edge_norm.requires_grad_(False)
    before = conv.edge_norm.running_mean.clone()
    found = outcome(conv, *given, way)
    expected = outcome(conv, *given)
    assert torch.equal(conv.edge_norm.running_mean, before)
    assert_same(found, expected, 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_arguments(way, dtype):
    """The activations are torch's, however large their arguments."""
    conv, sites, parts = make(dtype, norm=None)
    conv.linear.bias.data.copy_(torch.linspace(-300, 300, 12))
    found = outcome(conv, sites, parts, way)
    expected = outcome(conv, sites, parts)
    assert_same(found, expected, 100 * torch.finfo(dtype).eps)
    assert all(torch.isfinite(each).all() for each in found)


@pytest.mark.parametrize("looked_at", [True, False])
def test_learned_edge_features_get_their_gradient(looked_at):
    conv, sites, (edges, weights, multiplicity, features) = make(torch.float64)
    graph = as_graph(edges, weights, multiplicity, features.requires_grad_())
    if looked_at:  # before, by what needed no gradient
        with torch.no_grad():
            conv(sites, graph)
    conv(sites, graph).sum().backward()
    assert features.grad.abs().min() > 0


def test_blocks_are_larger_without_a_gradient(monkeypatch):
    monkeypatch.setattr(_torch_blocks, "_BLOCK", 10)
    monkeypatch.setattr(_torch_blocks, "_BLOCK_WITHOUT_GRADIENT", 20)
    conv, sites, parts = make(torch.float32)
    graph = as_graph(*parts)
    conv(sites, graph).sum().backward()
    assert [len(each) for each in graph.edges.blocks] == [10] * 6
    with torch.no_grad():
        graph = as_graph(*parts)
        conv(sites, graph)
    assert [len(each) for each in graph.edges.blocks] == [20] * 3


def test_large_features_are_far(way):
    """An edge feature of 1,000 leads beyond what an exponential can hold."""
    conv, sites, (edges, weights, multiplicity, features) = make(torch.float32)
    graph = as_graph(edges, weights, multiplicity, features * 1000, **way)
    conv.eval()
    found, expected = (
        sum_(sites, graph) for sum_ in (conv._sum_by_hand, conv._sum_as_written)
    )
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_variance_of_nothing_is_not_below_zero(way):
    """Each end of an edge takes away all that the other adds, which is much."""
    conv, sites, (edges, weights, multiplicity, features) = make(torch.float32)
    loops = edges[:1].expand(2, 60)
    graph = as_graph(loops, weights, multiplicity, 0 * features, **way)
    weight = conv.linear.weight.detach().clone()
    weight[:, 6:12] = -weight[:, :6]
    ones, zeros = torch.ones(12), torch.zeros(12)
    summed, _, var = normalized_gated_sum(
        1000 * sites.detach(), weight, ones, zeros, graph, eps=1e-5
    )
    assert torch.isfinite(summed).all()
    assert 0 <= var.min() <= var.max() < 1


def test_half_precision_takes_the_equation_as_it_stands():
    conv, sites, parts = make(torch.float32, norm=None)
    conv.linear.bias.data.fill_(20.0)  # its exponential is beyond half precision
    graph = as_graph(
        *(each if each.dtype == torch.int64 else each.half() for each in parts)
    )
    found = conv.half()(sites.detach().half(), graph)
    assert torch.isfinite(found).all()


def test_only_batch_norm_and_softplus_are_summed_by_hand():
    class Other(BatchNorm):
        def forward(self, rows, counts):
            return 2 * rows

    for norm, activation in [
        (Other, torch.nn.functional.softplus),
        (BatchNorm, torch.tanh),
    ]:
        torch.manual_seed(0)
        conv = GatedConv(6, 6, 4, norm, activation).eval()
        _, sites, parts = make(torch.float32)
        graph = as_graph(*parts)
        with torch.no_grad():
            expected = conv._sum_as_written(sites, graph)
            expected = activation(sites + conv.site_norm(expected, graph.multiplicity))
            torch.testing.assert_close(conv(sites, graph), expected)
