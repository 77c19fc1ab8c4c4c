"""The gated convolution with a learned update: its equation, and its fused sums."""

from functools import partial

import pytest
import torch
from torch.nn.functional import silu, softplus

from sklearn_cgcnn._ops._threads import compiled_loops
from sklearn_cgcnn.nn import BatchNorm, CrystalGraphBatch, GatedUpdateConv

pytestmark = pytest.mark.usefixtures("any_edges_for_threads")

WIDTH, N_FEATURES = 6, 4


def make(dtype=torch.float64, norm=BatchNorm, activation=silu):
    """Create a convolution, sites, and a batch of two crystals."""
    torch.manual_seed(0)
    conv = GatedUpdateConv(WIDTH, WIDTH, N_FEATURES, norm, activation).to(dtype)
    if norm is not None:
        torch.nn.init.normal_(conv.site_norm.weight)
        torch.nn.init.normal_(conv.site_norm.bias)
    # Site 2 is the center of no edge, and site 4 leads to itself.
    edge_index = torch.tensor([[0, 0, 1, 3, 4, 4], [1, 2, 0, 4, 3, 4]])
    batch = CrystalGraphBatch(
        atomic_numbers=torch.ones(5, dtype=torch.int64),
        edge_index=edge_index,
        distances=torch.ones(6, dtype=torch.float64),
        multiplicity=torch.tensor([1, 2, 1, 3, 1]),
        edge_weights=torch.tensor([1, 3, 2, 1, 2, 2]),
        crystal_index=torch.tensor([0, 0, 0, 1, 1]),
        n_crystals=2,
    )
    features = torch.rand(6, N_FEATURES).to(dtype)
    columns = torch.arange(N_FEATURES).expand_as(features)
    sites = torch.randn(5, WIDTH).to(dtype).requires_grad_()
    return conv, sites, batch.with_edge_features(columns, features, N_FEATURES)


def written_out(conv, sites, batch):
    """Compute the equation site by site and edge by edge."""
    sums = []
    for i in range(len(sites)):
        total = torch.zeros(WIDTH, dtype=sites.dtype)
        for k in (batch.edge_index[0] == i).nonzero()[:, 0]:
            j = batch.edge_index[1, k]
            z = conv.linear(torch.cat([sites[i], sites[j], batch.edge_features[k]]))
            message = torch.sigmoid(z[:WIDTH]) * conv.activation(z[WIDTH:])
            total = total + batch.edge_weights[k] * message
        sums.append(total)
    sums = torch.stack(sums)
    if conv.site_norm is not None:
        repeated = sums.repeat_interleave(batch.multiplicity.long(), dim=0)
        mean, var = repeated.mean(dim=0), repeated.var(dim=0, unbiased=False)
        sums = (sums - mean) / (var + conv.site_norm.eps).sqrt()
        sums = sums * conv.site_norm.weight + conv.site_norm.bias
    updates = conv.activation(conv.update(torch.cat([sites, sums], dim=1)))
    return sites + updates


def outcome(function, conv, *inputs):
    """Return what a function computes, and the gradients of its mean square."""
    updated = function()
    updated.square().mean().backward()
    gradients = [each.grad for each in (*inputs, *conv.parameters())]
    return [each.detach() for each in (updated, *gradients)]


def assert_close(actual, expected, tolerance):
    for ours, theirs in zip(actual, expected, strict=True):
        atol = tolerance * theirs.abs().max().item()
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=atol)


@pytest.mark.parametrize("norm", [BatchNorm, None])
@pytest.mark.parametrize("activation", [silu, softplus, torch.tanh])
@pytest.mark.parametrize(
    ("dtype", "n_threads", "tolerance"),
    [
        (torch.float64, None, 1e-12),
        (torch.float32, None, 1e-5),
        (torch.float32, 1, 1e-5),
        (torch.float32, 2, 1e-5),
    ],
)
def test_the_equation(norm, activation, dtype, n_threads, tolerance):
    conv, sites, batch = make(dtype, norm, activation)
    assert conv.has_fused_sums == (activation is not torch.tanh)
    with compiled_loops(n_threads):
        actual = outcome(lambda: conv(sites, batch), conv, sites)
    conv, sites, batch = make(torch.float64, norm, activation)
    expected = outcome(lambda: written_out(conv, sites, batch), conv, sites)
    assert_close(actual, expected, tolerance)


@pytest.mark.parametrize("n_threads", [None, 1, 2])
def test_learned_tables_get_their_gradient(n_threads):
    outcomes = []
    for dtype, threads in ((torch.float64, None), (torch.float32, n_threads)):
        conv, sites, batch = make(dtype)
        table = torch.linspace(-1, 1, 3 * N_FEATURES, dtype=dtype).view(3, -1)
        table.requires_grad_()
        columns = torch.tensor([[0, 1], [1, 2]]).repeat(3, 1)
        values = batch.edge_values[:, :2].contiguous()
        batch = batch.with_edge_features(columns, values, N_FEATURES)
        batch = batch.with_edge_table(table)
        with compiled_loops(threads):
            is_reference = dtype is torch.float64
            function = partial(written_out, conv) if is_reference else conv
            function = partial(function, sites, batch)
            outcomes.append(outcome(function, conv, sites, table))
    assert_close(outcomes[1], outcomes[0], 1e-5)


@pytest.mark.parametrize("n_threads", [None, 1])
def test_statistics_of_the_sums(n_threads):
    conv, sites, batch = make(torch.float32)
    sums = conv._sum_reference(sites, batch).detach()
    repeated = sums.repeat_interleave(batch.multiplicity.long(), dim=0)
    with compiled_loops(n_threads):
        conv(sites, batch)
    norm = conv.site_norm
    assert norm.num_batches_tracked == 1
    torch.testing.assert_close(norm.running_mean, 0.1 * repeated.mean(dim=0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * repeated.var(dim=0))


def test_parts_replace_a_layer_whose_norm_is_frozen():
    conv, sites, batch = make(torch.float32)
    conv.site_norm.weight.requires_grad_(False)
    expected = conv(sites, batch)
    with compiled_loops(1):
        actual = conv(sites, batch)
    torch.testing.assert_close(actual, expected)
    assert conv.site_norm.num_batches_tracked == 0


def test_learned_edge_features_get_their_gradient():
    conv, sites, batch = make()
    values = batch.edge_values.clone().requires_grad_()
    batch = batch.with_edge_features(batch.edge_columns, values, N_FEATURES)
    conv(sites, batch).square().sum().backward()
    assert values.grad.abs().min() > 0


def test_products_are_rounded_under_autocast():
    conv, sites, batch = make(torch.float32)
    expected = conv(sites, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = conv(sites, batch)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - expected).norm() / expected.norm() < 0.03


class Doubled(torch.nn.Linear):
    """A linear map times two."""

    def forward(self, inputs):
        return 2 * super().forward(inputs)


def double(module, inputs, output):
    """Hook that doubles what a module returns."""
    return 2 * output


@pytest.mark.parametrize("name", ["update", "site_norm"])
@pytest.mark.parametrize("change", ["another type", "hook", "no bias"])
def test_a_changed_part_is_called(name, change):
    conv, sites, batch = make(torch.float32)
    part = getattr(conv, name)
    if change == "hook":
        part.register_forward_hook(double)
    elif name == "site_norm":
        conv.site_norm = Norm(WIDTH)
    elif change == "another type":
        conv.update = Doubled(2 * WIDTH, WIDTH)
    else:
        conv.update = torch.nn.Linear(2 * WIDTH, WIDTH, bias=False)
    expected = conv(sites, batch)
    with compiled_loops(1):
        actual = conv(sites, batch)
    torch.testing.assert_close(actual, expected)


class Norm(BatchNorm):
    """A norm that adds one."""

    def forward(self, rows, counts):
        return super().forward(rows, counts) + 1


@pytest.mark.parametrize("n_threads", [None, 1])
def test_weights_may_not_change_before_the_gradient(n_threads):
    conv, sites, batch = make(torch.float32)
    with compiled_loops(n_threads):
        updated = conv(sites, batch)
        with torch.no_grad():
            conv.update.weight.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            updated.sum().backward()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_huge_gradients_give_no_warnings(n_threads):
    conv, sites, batch = make(torch.float32)
    with compiled_loops(n_threads):
        conv(sites, batch).backward(torch.full((5, WIDTH), 3e38))
    assert not conv.update.bias.grad.isfinite().all()
