"""The sum by blocks, against the equation written out with torch's own operations."""

import pytest
import torch

from sklearn_cgcnn.nn import BatchNorm, GatedConv, _gated_sum


@pytest.fixture(params=[1, 7, 1024])
def block(request, monkeypatch):
    monkeypatch.setattr(_gated_sum, "_BLOCK", request.param)


def make(dtype, offset=0.0, n_edges=60):
    """A convolution, and its input: sites, edge features, edges and counts."""
    torch.manual_seed(0)
    conv = GatedConv(6, 6, 4).to(dtype)
    for norm in (conv.edge_norm, conv.site_norm):
        for values in (norm.weight.data, norm.bias.data, norm.running_mean):
            values.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    sites = (torch.randn(9, 6) + offset).to(dtype).requires_grad_()
    features = torch.rand(n_edges, 4).to(dtype).requires_grad_()
    edges = torch.stack(
        [torch.arange(n_edges) * 9 // n_edges, torch.arange(n_edges) % 9]
    )
    counts = [torch.randint(1, 5, (n,)).to(dtype) for n in (9, n_edges)]
    return conv, (sites, features, edges, *counts)


def outcome(conv, sites, features, edges, multiplicity, weights, by_blocks):
    """Outputs, gradients and running statistics."""
    conv.zero_grad()
    sites.grad = features.grad = None
    sum_messages = conv._sum_in_blocks if by_blocks else conv._sum
    summed = sum_messages(sites, multiplicity, features, edges, weights)
    (summed * torch.linspace(-1, 2, summed.numel()).view_as(summed)).sum().backward()
    norm = conv.edge_norm
    gradients = [sites.grad, features.grad, conv.linear.weight.grad]
    gradients += [norm.weight.grad, norm.bias.grad]
    return [summed.detach(), *gradients, norm.running_mean, norm.running_var]


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("dtype", "offset", "tolerance"),
    [
        (torch.float64, 0.0, 1e-12),
        (torch.float64, 1e3, 1e-8),
        (torch.float32, 0.0, 1e-5),
        (torch.float32, 10.0, 1e-4),
    ],
    ids=["double", "double, far from zero", "single", "single, far from zero"],
)
def test_outputs_gradients_and_statistics(dtype, offset, tolerance, training):
    found, expected = (
        outcome(conv.train(training), *given, by_blocks=by_blocks)
        for by_blocks in (True, False)
        for conv, given in [make(dtype, offset)]
    )
    for ours, written_out in zip(found, expected, strict=True):
        if written_out is None:
            assert ours is None
            continue
        atol = tolerance * written_out.abs().max().item()
        torch.testing.assert_close(ours, written_out, rtol=0, atol=atol)


@pytest.mark.usefixtures("block")
def test_without_a_gradient():
    conv, given = make(torch.float64)
    conv.eval()
    sites, features, edges, multiplicity, weights = given
    with torch.no_grad():
        found = conv._sum_in_blocks(sites, multiplicity, features, edges, weights)
        expected = conv._sum(sites, multiplicity, features, edges, weights)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_without_edges(training):
    conv, given = make(torch.float64, n_edges=0)
    conv.train(training)
    sites, features, edges, multiplicity, weights = given
    with torch.set_grad_enabled(training):
        summed = conv._sum_in_blocks(sites, multiplicity, features, edges, weights)
    assert torch.equal(summed, torch.zeros(9, 6).double())
    assert torch.isfinite(conv.edge_norm.running_var).all()


def test_a_frozen_norm_keeps_its_statistics():
    conv, given = make(torch.float64)
    conv.train().edge_norm.requires_grad_(False)
    before = conv.edge_norm.running_mean.clone()
    found = outcome(conv, *given, by_blocks=True)
    expected = outcome(conv, *given, by_blocks=False)
    assert torch.equal(conv.edge_norm.running_mean, before)
    torch.testing.assert_close(found[0], expected[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_softplus_is_that_of_torch(dtype):
    values = torch.linspace(-200, 200, 4001, dtype=dtype)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(
        _gated_sum._softplus(values, torch.empty_like(values)),
        torch.log1p(torch.exp(-values.abs())) + values.clamp(min=0),
        rtol=4 * eps,
        atol=max(2 * eps, 3e-9),
    )


def test_only_batch_norm_and_softplus_go_by_blocks():
    class Other(BatchNorm):
        def forward(self, rows, counts):
            return 2 * rows

    for norm, activation in [
        (Other, torch.nn.functional.softplus),
        (BatchNorm, torch.tanh),
    ]:
        torch.manual_seed(0)
        conv = GatedConv(6, 6, 4, norm, activation)
        _, given = make(torch.float32)
        sites, features, edges, multiplicity, weights = given
        with torch.no_grad():
            expected = conv._sum(sites, multiplicity, features, edges, weights)
            expected = activation(sites + conv.site_norm(expected, multiplicity))
            conv.load_state_dict(conv.state_dict())
            conv.eval()
            whole = conv(sites, features, edges, multiplicity, weights)
        assert whole.shape == expected.shape
        if norm is Other:
            torch.testing.assert_close(whole, expected)
