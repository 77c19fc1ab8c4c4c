"""The choice of the back end."""

import pytest
import torch

from sklearn_cgcnn._ops import EdgeList, _torch_blocks, edge_sums
from sklearn_cgcnn._ops._inductor_backend import InductorEdgeSums
from sklearn_cgcnn._ops._numba_backend import NumbaEdgeSums
from sklearn_cgcnn._ops._threads import compiled_loops
from sklearn_cgcnn._ops._torch_backend import TorchEdgeSums

pytestmark = pytest.mark.usefixtures("any_edges_for_threads")


def make_edges(dtype=torch.float32, device="cpu", n_edges=60):
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(0, 5, (2, n_edges), generator=generator)
    values = torch.rand(n_edges, 2, generator=generator).to(dtype)
    return EdgeList(
        edge_index=edge_index.to(device),
        weights=torch.arange(n_edges).to(device),
        n_sites=5,
        columns=torch.tensor([0, 2]).expand(n_edges, -1).to(device),
        values=values.to(device).requires_grad_(),
        n_features=3,
    )


def test_on_a_cpu_without_compiled_loops_torch_sums_blocks():
    sums = edge_sums(make_edges())
    assert type(sums) is TorchEdgeSums
    assert all(block.is_sorted for block in sums.blocks)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_compiled_loops_on_a_cpu_are_those_of_numba(n_threads):
    with compiled_loops(n_threads):
        sums = edge_sums(make_edges())
    assert type(sums) is NumbaEdgeSums
    assert len(sums.center_ranges) == n_threads


def test_compiled_loops_are_in_single_precision():
    with compiled_loops(1):
        assert type(edge_sums(make_edges(torch.float64))) is TorchEdgeSums


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("n_threads", "expected"), [(None, TorchEdgeSums), (1, InductorEdgeSums)]
)
def test_other_devices_take_all_edges_at_once(dtype, n_threads, expected):
    """The device has no values, so this also shows that none is read."""
    edges = make_edges(dtype, device="meta")
    with compiled_loops(n_threads):
        sums = edge_sums(edges)
    assert type(sums) is expected
    assert sums.site_ranges == [(0, 5)]
    if expected is TorchEdgeSums:
        (block,) = sums.blocks
        assert not block.is_sorted


def test_on_a_cpu_edges_are_sorted_by_center():
    edges = make_edges()
    actual, order = edge_sums(edges).edges, edges.edge_index[0].argsort(stable=True)
    assert torch.equal(actual.edge_index, edges.edge_index[:, order])
    assert torch.equal(actual.weights, edges.weights[order])
    assert torch.equal(actual.features, edges.features[order])
    again = edge_sums(actual).edges
    assert again.edge_index is actual.edge_index  # no copy of sorted edges


def test_weights_have_the_dtype_of_the_features_which_get_no_gradient():
    edges = edge_sums(make_edges(torch.float64)).edges
    assert edges.weights.dtype == edges.values.dtype == torch.float64
    assert not edges.values.requires_grad


def test_blocks_are_larger_without_a_gradient(monkeypatch):
    monkeypatch.setattr(_torch_blocks, "_BLOCK_SIZE", 10)
    monkeypatch.setattr(_torch_blocks, "_BLOCK_SIZE_WITHOUT_GRADIENT", 20)
    edges = make_edges()
    assert [len(each) for each in edge_sums(edges).blocks] == [10] * 6
    with torch.no_grad():
        assert [len(each) for each in edge_sums(edges).blocks] == [20] * 3
