"""The fused sum over gated messages, compared with the equation in plain torch."""

import contextlib
import weakref
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from torch.nn.functional import silu, softplus

from sklearn_cgcnn._ops import (
    EdgeList,
    _inductor_backend,
    _torch_blocks,
    edge_sums,
    gated_layer,
    gated_sum,
    normalized_gated_sum,
    supports_fused_sums,
)
from sklearn_cgcnn._ops._inductor_backend import InductorEdgeSums
from sklearn_cgcnn._ops._threads import compiled_loops
from sklearn_cgcnn._ops._torch_backend import TorchEdgeSums

pytestmark = pytest.mark.usefixtures("any_edges_for_threads")

EPS = 1e-5


def in_compiled_loops(edges, n_threads):
    with compiled_loops(n_threads):
        return edge_sums(edges)


@pytest.fixture(params=[1, 7, 2048, "at once", "Inductor", "1 thread", "2 threads"])
def backend(request, monkeypatch):
    """Blocks of this many edges, all edges at once as on a GPU, or compiled loops."""
    if isinstance(request.param, int):
        for name in ("_BLOCK_SIZE", "_BLOCK_SIZE_WITHOUT_GRADIENT"):
            monkeypatch.setattr(_torch_blocks, name, request.param)
        return edge_sums
    # Compiling takes seconds and has its own test. Here the source itself runs.
    monkeypatch.setattr(_inductor_backend, "_compiled", lambda function: function)
    return {
        "at once": partial(TorchEdgeSums, block_size=None),
        "Inductor": InductorEdgeSums,
        "1 thread": partial(in_compiled_loops, n_threads=1),
        "2 threads": partial(in_compiled_loops, n_threads=2),
    }[request.param]


LEAVES = "sites", "weight", "scale", "shift", "site_scale", "site_shift"


@dataclass
class Problem:
    """The arguments of a gated sum."""

    sites: torch.Tensor
    edge_index: torch.Tensor
    weights: torch.Tensor
    multiplicity: torch.Tensor
    features: torch.Tensor
    weight: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor
    mode: str
    site_scale: torch.Tensor
    site_shift: torch.Tensor

    @property
    def edges(self):
        n_edges, n_features = self.features.shape
        return EdgeList(
            edge_index=self.edge_index,
            weights=self.weights.to(self.features.dtype),
            n_sites=len(self.sites),
            columns=torch.arange(n_features).expand(n_edges, -1),
            values=self.features,
            n_features=n_features,
        )

    def to(self, dtype):
        names = ("features", *LEAVES)
        return replace(self, **{name: getattr(self, name).to(dtype) for name in names})


def make(dtype, offset=0.0, n_edges=60, n_features=4, mode="normalized"):
    """Create sites, edges, a linear map, and what is applied to its result.

    The modes are those of a convolution: a normalization by the statistics of the batch
    ("normalized"), by running statistics ("scaled"), or none but a bias ("shifted", and
    "silu" with the other activation). In the mode "layer", the sums are also normalized
    over the sites of the batch.
    """
    generator = torch.Generator().manual_seed(0)
    rand, randn, randint = (
        partial(each, generator=generator)
        for each in (torch.rand, torch.randn, torch.randint)
    )
    # Site 2 is not the center of any edge, and site 8 is not a neighbor. Some edges
    # lead from a site to itself.
    center = torch.tensor([0, 1, 3, 4, 5, 6, 7, 8])[torch.arange(n_edges) * 8 // 60]
    scale = torch.ones(12) if mode in {"shifted", "silu"} else rand(12) * 2 - 1
    return Problem(
        sites=(randn(9, 6) + offset).to(dtype),
        edge_index=torch.stack([center, randint(0, 8, (n_edges,))]),
        weights=randint(1, 5, (n_edges,)),
        multiplicity=randint(1, 5, (9,)),
        features=rand(n_edges, n_features).to(dtype) + offset,
        weight=((rand(12, 12 + n_features) * 2 - 1) / 4).to(dtype),
        scale=scale.to(dtype),
        shift=(rand(12) * 2 - 1).to(dtype),
        mode=mode,
        site_scale=(rand(6) * 2 - 1).to(dtype),
        site_shift=(rand(6) * 2 - 1).to(dtype),
    )


def reference(problem, leaves):
    """Compute the sum, mean and variance as the equation is written."""
    sites, weight, scale, shift, *of_sites = leaves
    center, neighbor = problem.edge_index
    inputs = torch.cat([sites[center], sites[neighbor], problem.features], dim=1)
    z, statistics = inputs @ weight.T, []
    if problem.mode in {"normalized", "layer"}:
        z = normalized(z, problem.weights * problem.multiplicity[center], statistics)
    gate, core = (scale * z + shift).chunk(2, dim=1)
    core = (silu if problem.mode == "silu" else softplus)(core)
    messages = torch.sigmoid(gate) * core * problem.weights[:, None]
    result = torch.zeros_like(sites).index_add(0, center, messages)
    if problem.mode == "layer":
        result = normalized(result, problem.multiplicity, statistics)
        result = softplus(sites + of_sites[0] * result + of_sites[1])
    return [result, *statistics]


def normalized(rows, counts, statistics):
    """Normalize rows that count several times, and append mean and variance."""
    fractions = counts.to(rows.dtype) / counts.sum()
    mean = fractions @ rows
    var = fractions @ (rows - mean) ** 2
    statistics += [mean, var]
    return (rows - mean) / (var + EPS).sqrt()


def fused(problem, leaves, backend):
    sums = backend(problem.edges)
    if problem.mode in {"scaled", "shifted", "silu"}:
        activation = "silu" if problem.mode == "silu" else "softplus"
        return [gated_sum(*leaves[:4], sums, activation)]
    moments = sums.moments(problem.multiplicity)
    if problem.mode == "normalized":
        return [*normalized_gated_sum(*leaves[:4], moments, EPS)]
    counts = problem.multiplicity.to(problem.sites.dtype)
    updated, of_edges, of_sites = gated_layer(
        *leaves, moments, counts / counts.sum(), EPS
    )
    return [updated, *of_edges, *of_sites]


def outcome(problem, backend=None, constants=()):
    """Return sum, gradients and statistics; those of the reference without a back end.

    A scale of ones and the arguments named in `constants` get no gradient.
    """
    names = LEAVES if problem.mode == "layer" else LEAVES[:4]
    leaves = [getattr(problem, name).detach().clone() for name in names]
    for name, leaf in zip(names, leaves, strict=True):
        is_ones = name == "scale" and torch.equal(leaf, torch.ones_like(leaf))
        leaf.requires_grad_(name not in constants and not is_ones)
    compute = reference if backend is None else partial(fused, backend=backend)
    summed, *statistics = compute(problem, leaves)
    (summed * torch.linspace(-1, 2, summed.numel()).view_as(summed)).sum().backward()
    gradients = [leaf.grad for leaf in leaves if leaf.requires_grad]
    return [each.detach() for each in (summed, *gradients, *statistics)]


def assert_same(actual, expected, tolerance):
    assert len(actual) == len(expected) > 1
    for ours, theirs in zip(actual, expected, strict=True):
        atol = tolerance * theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=atol, check_dtype=False)


@pytest.mark.parametrize("n_features", [4, 0])
@pytest.mark.parametrize("mode", ["layer", "normalized", "scaled", "shifted", "silu"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
def test_sums_gradients_and_statistics(backend, dtype, tolerance, mode, n_features):
    problem = make(dtype, n_features=n_features, mode=mode)
    actual = outcome(problem, backend)
    assert {each.dtype for each in actual} == {dtype}
    assert_same(actual, outcome(problem.to(torch.float64)), tolerance)


@pytest.mark.parametrize(
    ("dtype", "offset", "tolerance"),
    [(torch.float64, 1e3, 1e-8), (torch.float32, 10.0, 1e-4)],
)
@pytest.mark.parametrize("mode", ["layer", "normalized"])
def test_far_from_zero(backend, dtype, offset, tolerance, mode):
    """Statistics lose no more digits than those of torch's own operations."""
    problem = make(dtype, offset, mode=mode)
    assert_same(outcome(problem, backend), outcome(problem), tolerance)


@pytest.mark.parametrize("mode", ["layer", "normalized", "scaled", "shifted", "silu"])
def test_products_are_rounded_under_autocast(backend, mode):
    """Products, their gradients and what follows are rounded by one part in 256."""
    problem = make(torch.float32, mode=mode)
    expected = outcome(problem, backend)
    with torch.autocast("cpu", torch.bfloat16):
        actual = outcome(problem, backend)
    for rounded, exact in zip(actual, expected, strict=True):
        assert rounded.dtype == torch.float32
        error = (rounded - exact).norm() / exact.norm()
        assert error < 0.03
    for of_product in (0, 1, 2):  # the sum, the gradients of the sites and the weight
        assert not torch.equal(actual[of_product], expected[of_product])


def test_moments_of_the_edges_are_not_rounded_under_autocast(backend):
    """Constants of the batch are exact, also where they are made under autocast."""
    problem = make(torch.float32)
    sums = backend(problem.edges)
    leaves = [getattr(problem, name) for name in LEAVES[:4]]
    exact = sums.moments(problem.multiplicity).normalize(*leaves, EPS)
    with torch.autocast("cpu", torch.bfloat16):
        moments = sums.moments(problem.multiplicity)
        assert torch.is_autocast_enabled("cpu")
    rounded = moments.normalize(*leaves, EPS)
    assert torch.equal(rounded.mean, exact.mean)
    assert torch.equal(rounded.var, exact.var)


@pytest.mark.parametrize("mode", ["layer", "normalized"])
def test_terms_that_cancel(backend, mode):
    """Center and neighbor contribute opposite terms, but for a thousandth."""
    problem = make(torch.float64, offset=10.0, mode=mode)
    problem.weight[:, 6:12] = -problem.weight[:, :6] * 1.001
    single = outcome(problem.to(torch.float32), backend)
    assert_same(single[:2], outcome(problem)[:2], 1e-4)


@pytest.mark.parametrize("mode", ["layer", "normalized", "scaled", "silu"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
def test_edges_in_any_order(backend, mode, dtype, tolerance):
    problem = make(dtype, mode=mode)
    expected = outcome(problem, backend)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    shuffled = replace(
        problem,
        edge_index=problem.edge_index[:, order],
        weights=problem.weights[order],
        features=problem.features[order],
    )
    assert_same(outcome(shuffled, backend), expected, tolerance)
    torch.testing.assert_close(outcome(shuffled)[0], expected[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_edges(backend, dtype):
    problem = make(dtype, n_edges=0, mode="scaled")
    summed, *gradients = outcome(problem, backend)
    for zeros in (summed, *gradients):
        assert zeros.dtype == dtype
        assert torch.equal(zeros, torch.zeros_like(zeros))


def test_outputs_are_freed_with_their_graph(backend):
    """A context that held its own output would keep it until a garbage collection."""
    problem = make(torch.float32, mode="layer")
    leaves = [getattr(problem, name).requires_grad_() for name in LEAVES]
    updated = fused(problem, leaves, backend)[0]
    freed, updated = weakref.ref(updated.grad_fn), None
    assert freed() is None


def test_constant_scale_and_shift(backend):
    """As with a frozen norm."""
    problem, constants = make(torch.float64, mode="scaled"), ("scale", "shift")
    actual, expected = (
        outcome(problem, each, constants=constants) for each in (backend, None)
    )
    assert len(actual) == 3
    assert_same(actual, expected, 1e-12)


@pytest.mark.parametrize("mode", ["shifted", "silu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_arguments(backend, dtype, mode):
    """The activations agree with those of torch, however large their arguments are."""
    problem = make(dtype, mode=mode)
    problem.shift.copy_(torch.linspace(-300, 300, 12))
    actual = outcome(problem, backend)
    assert_same(actual, outcome(problem), 100 * torch.finfo(dtype).eps)
    assert all(torch.isfinite(each).all() for each in actual)


@pytest.mark.parametrize("mode", ["scaled", "silu"])
def test_large_features(backend, mode):
    """An edge feature of 1,000 leads to arguments whose exponential overflows."""
    problem = make(torch.float32, mode=mode)
    problem.features *= 1000
    actual, expected = (outcome(problem, each)[0] for each in (backend, None))
    assert torch.isfinite(actual).all()
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["layer", "normalized"])
def test_a_variance_of_zero_is_not_negative(backend, mode):
    """Center and neighbor of an edge contribute opposite terms, which are large."""
    problem = make(torch.float32, mode=mode)
    problem.edge_index[1] = problem.edge_index[0]
    problem.features *= 0
    problem.sites *= 1000
    problem.weight[:, 6:12] = -problem.weight[:, :6]
    leaves = problem.sites, problem.weight, torch.ones(12), torch.zeros(12)
    of_sites = torch.ones(6), torch.zeros(6)
    summed, _, var, *_ = fused(problem, (*leaves, *of_sites), backend)
    assert torch.isfinite(summed).all()
    assert 0 <= var.min() <= var.max() < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_supported_features(dtype):
    values = torch.ones(3, 2, dtype=dtype)
    assert supports_fused_sums(values)
    assert not supports_fused_sums(values.half())  # exponentials would overflow


@pytest.mark.parametrize(
    ("context", "is_supported"),
    [(contextlib.nullcontext, False), (torch.no_grad, True)],
)
def test_features_that_need_a_gradient_are_not_supported(context, is_supported):
    values = torch.ones(3, 2, requires_grad=True)
    with context():
        assert supports_fused_sums(values) == is_supported
