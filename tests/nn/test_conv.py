"""The gated convolution: its fused sums, its reference, and the choice of either."""

import pytest
import torch
from torch.nn.functional import softplus

from sklearn_cgcnn._ops import _torch_blocks
from sklearn_cgcnn._ops._threads import compiled_loops
from sklearn_cgcnn.nn import BatchNorm, CrystalGraphBatch, GatedConv

pytestmark = pytest.mark.usefixtures("any_edges_for_threads")


@pytest.fixture(params=[7, 2048, "1 thread", "2 threads"])
def n_threads(request, monkeypatch):
    """Threads of compiled loops, or None for torch with blocks of this many edges."""
    if isinstance(request.param, str):
        return int(request.param[0])
    for name in ("_BLOCK_SIZE", "_BLOCK_SIZE_WITHOUT_GRADIENT"):
        monkeypatch.setattr(_torch_blocks, name, request.param)
    return None


def make(dtype, n_edges=60, n_features=4, norm=BatchNorm):
    """Create a convolution, sites, and the arguments of `as_batch`."""
    torch.manual_seed(0)
    conv = GatedConv(6, 6, n_features, norm).to(dtype)
    for each in (conv.edge_norm, conv.site_norm) if norm else ():
        for values in (each.weight.data, each.bias.data, each.running_mean):
            values.uniform_(-1, 1)
        each.running_var.uniform_(0.5, 2)
    sites = torch.randn(9, 6).to(dtype).requires_grad_()
    features = torch.rand(n_edges, n_features).to(dtype)
    # Site 2 is not the center of any edge, and site 8 is not a neighbor. Some edges
    # lead from a site to itself.
    center = torch.tensor([0, 1, 3, 4, 5, 6, 7, 8])[torch.arange(n_edges) * 8 // 60]
    edge_index = torch.stack([center, torch.randint(0, 8, (n_edges,))])
    edge_weights, multiplicity = (torch.randint(1, 5, (n,)) for n in (n_edges, 9))
    return conv, sites, (edge_index, edge_weights, multiplicity, features)


def as_batch(edge_index, edge_weights, multiplicity, features):
    """Create a batch of one crystal with dense edge features."""
    n_sites, n_features = len(multiplicity), features.shape[1]
    batch = CrystalGraphBatch(
        atomic_numbers=torch.ones(n_sites, dtype=torch.int64),
        edge_index=edge_index,
        distances=torch.ones(len(edge_weights), dtype=torch.float64),
        multiplicity=multiplicity,
        edge_weights=edge_weights,
        crystal_index=torch.zeros(n_sites, dtype=torch.int64),
        n_crystals=1,
    )
    columns = torch.arange(n_features).expand_as(features)
    return batch.with_edge_features(columns, features, n_features)


def outcome(sum_messages, conv, sites, batch, n_threads=None):
    """Return the sum, the gradients and the running statistics."""
    with compiled_loops(n_threads):
        summed = sum_messages(sites, batch)
    (summed * torch.linspace(-1, 2, summed.numel()).view_as(summed)).sum().backward()
    results = [summed.detach(), sites.grad, *(each.grad for each in conv.parameters())]
    if conv.edge_norm is not None:
        results += [conv.edge_norm.running_mean, conv.edge_norm.running_var]
    return [each for each in results if each is not None]


def fused_and_reference(make_problem, n_threads):
    """Return both outcomes, each of a convolution that has not been used before."""
    conv, sites, args = make_problem()
    fused = outcome(conv._sum_fused, conv, sites, as_batch(*args), n_threads)
    conv, sites, args = make_problem()
    return fused, outcome(conv._sum_reference, conv, sites, as_batch(*args))


def assert_same(actual, expected, tolerance):
    assert len(actual) == len(expected) > 1
    for ours, theirs in zip(actual, expected, strict=True):
        atol = tolerance * theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


@pytest.mark.parametrize("n_features", [4, 0])
@pytest.mark.parametrize("norm", [BatchNorm, None])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
def test_sums_gradients_and_statistics(
    n_threads, dtype, tolerance, training, norm, n_features
):
    def problem():
        conv, sites, args = make(dtype, n_features=n_features, norm=norm)
        return conv.train(training), sites, args

    assert_same(*fused_and_reference(problem, n_threads), tolerance)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
def test_edges_in_any_order(n_threads, training, dtype, tolerance):
    def problem():
        conv, sites, (edge_index, edge_weights, multiplicity, features) = make(dtype)
        order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
        args = edge_index[:, order], edge_weights[order], multiplicity, features[order]
        return conv.train(training), sites, args

    fused, reference = fused_and_reference(problem, n_threads)
    assert_same(fused, reference, tolerance)
    conv, sites, args = make(dtype)
    batch = as_batch(*args)
    in_order = outcome(conv.train(training)._sum_fused, conv, sites, batch, n_threads)
    assert_same(fused, in_order, tolerance)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_edges(n_threads, training, dtype):
    conv, sites, args = make(dtype, n_edges=0)
    conv.train(training)
    with compiled_loops(n_threads):
        summed = conv._sum_fused(sites, as_batch(*args))
    assert torch.equal(summed, torch.zeros(9, 6).to(dtype))
    summed.sum().backward()
    assert torch.equal(sites.grad, torch.zeros(9, 6).to(dtype))
    assert torch.isfinite(conv.edge_norm.running_var).all()


def test_a_frozen_norm_keeps_its_statistics(n_threads):
    def problem():
        conv, sites, args = make(torch.float64)
        conv.train().edge_norm.requires_grad_(False)
        return conv, sites, args

    conv, _, _ = problem()
    fused, reference = fused_and_reference(problem, n_threads)
    assert torch.equal(fused[-2], conv.edge_norm.running_mean)
    assert torch.equal(fused[-1], conv.edge_norm.running_var)
    assert_same(fused, reference, 1e-12)


@pytest.mark.parametrize("used_before", [True, False])
def test_learned_edge_features_get_their_gradient(used_before):
    conv, sites, (*args, features) = make(torch.float64)
    batch = as_batch(*args, features.requires_grad_())
    if used_before:  # by a call that needs no gradient
        with torch.no_grad():
            conv(sites, batch)
    conv(sites, batch).sum().backward()
    assert features.grad.abs().min() > 0


@pytest.mark.parametrize("used", ["_sum_fused", "_sum_reference"])
def test_fused_sums_are_for_batch_norm_and_softplus(used, monkeypatch):
    class OtherNorm(BatchNorm):
        def forward(self, rows, counts):
            return 2 * rows

    parts = {
        "_sum_fused": [(BatchNorm, softplus), (None, softplus)],
        "_sum_reference": [(OtherNorm, softplus), (BatchNorm, torch.tanh)],
    }
    for norm, activation in parts[used]:
        conv = GatedConv(6, 6, 4, norm, activation)
        _, sites, args = make(torch.float32)
        assert conv.has_fused_sums == (used == "_sum_fused")
        conv.site_norm = None
        monkeypatch.setattr(conv, used, lambda sites, batch: torch.full((9, 6), 7.0))
        assert torch.equal(conv(sites, as_batch(*args)), sites + 7)


def test_other_norms_and_activations():
    class OtherNorm(BatchNorm):
        def forward(self, rows, counts):
            return 2 * rows

    for norm, activation in [(OtherNorm, softplus), (BatchNorm, torch.tanh)]:
        torch.manual_seed(0)
        conv = GatedConv(6, 6, 4, norm, activation).eval()
        _, sites, args = make(torch.float32)
        batch = as_batch(*args)
        with torch.no_grad():
            summed = conv._sum_reference(sites, batch)
            expected = activation(sites + conv.site_norm(summed, batch.multiplicity))
            torch.testing.assert_close(conv(sites, batch), expected)


def test_another_norm_of_the_sites_alone_is_applied():
    class Doubling(BatchNorm):
        def forward(self, rows, counts):
            return 2 * rows

    def norm(width):
        return Doubling(width) if width == 6 else BatchNorm(width)

    norm.cancels_bias = True
    conv = GatedConv(6, 6, 4, norm)
    _, sites, args = make(torch.float32)
    assert conv.has_fused_sums
    batch = as_batch(*args)
    expected = softplus(sites + 2 * conv._sum_reference(sites, batch))
    torch.testing.assert_close(conv(sites, batch), expected)


def test_half_precision_uses_the_reference():
    conv, sites, args = make(torch.float32, norm=None)
    conv.linear.bias.data.fill_(20.0)  # its exponential exceeds half precision
    edge_index, edge_weights, multiplicity, features = args
    batch = as_batch(edge_index, edge_weights, multiplicity, features.half())
    summed = conv.half()(sites.detach().half(), batch)
    assert torch.isfinite(summed).all()


def test_products_are_rounded_under_autocast():
    conv, sites, args = make(torch.float32)
    expected = conv(sites, as_batch(*args))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = conv(sites, as_batch(*args))
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, expected)
    assert (rounded - expected).norm() / expected.norm() < 0.03
