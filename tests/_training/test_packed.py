import numpy as np
import pytest
import torch

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn._training import _packed
from sklearn_cgcnn._training._packed import (
    BatchIterator,
    EdgeBoundedIterator,
    PackedDataset,
)
from sklearn_cgcnn.nn import CGCNN, GaussianBasis, SiteFeatures


@pytest.fixture(scope="module")
def graphs(ionic, irregular):
    """Half of them symmetric, so that their sites and edges have weights."""
    return CrystalGraphFeaturizer().transform(ionic.data[:20] + irregular[:20])


@pytest.mark.parametrize("rows", [[0], [5, 3, 3, 39], list(range(40)), [39, 0]])
def test_a_batch_is_its_crystals_side_by_side(graphs, rows):
    targets = torch.arange(40.0)[:, None]
    weights = torch.linspace(0, 1, 40)
    dataset = PackedDataset(graphs, targets, weights)
    batch, found = dataset[torch.tensor(rows)]
    picked = found.values
    assert torch.equal(found.weights, weights[rows])
    np.testing.assert_array_equal(found.y, picked)
    selected = graphs[rows]
    assert len(batch) == batch.n_crystals == len(rows)
    np.testing.assert_array_equal(picked[:, 0], rows)
    np.testing.assert_array_equal(batch.atomic_numbers, selected.atomic_numbers)
    np.testing.assert_array_equal(batch.edge_index, selected.edge_index)
    np.testing.assert_array_equal(batch.distances, selected.distances)
    np.testing.assert_array_equal(batch.multiplicity, selected.multiplicity)
    np.testing.assert_array_equal(batch.edge_weights, selected.edge_weights)
    np.testing.assert_array_equal(
        batch.crystal_index,
        np.repeat(np.arange(len(rows)), np.diff(selected.site_offsets)),
    )


@pytest.mark.parametrize("lengths", [[3, 1, 5, 31], [40], [20, 20]])
@pytest.mark.parametrize("max_edges", [1, 100, 10**6])
def test_batches_are_the_same_however_many_are_gathered_at_once(
    graphs, lengths, max_edges, monkeypatch
):
    monkeypatch.setattr(_packed, "_MAX_EDGES_AT_ONCE", max_edges)
    dataset = PackedDataset(graphs, torch.arange(40.0), torch.linspace(1, 2, 40))
    network = CGCNN(SiteFeatures(torch.rand(100, 4)), GaussianBasis())
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    prepare = network.attach_edge_features
    found = list(dataset.batches(order, lengths, prepare))
    assert len(found) == len(lengths)
    for (batch, targets), rows in zip(found, order.split(lengths), strict=True):
        expected, expected_targets = dataset[rows]
        for name, value in vars(prepare(expected)).items():
            assert np.array_equal(getattr(batch, name), value), name
        for name in ("values", "weights", "rows"):
            ours, theirs = (getattr(x, name) for x in (targets, expected_targets))
            assert torch.equal(ours, theirs)


def test_read_only_arrays_are_copied(graphs, tmp_path):
    graphs.save(tmp_path / "graphs")
    dataset = PackedDataset(type(graphs).load(tmp_path / "graphs", mmap_mode="r"))
    dataset.distances += 1  # would be an error, or worse, on the file's own memory
    assert dataset.targets.shape == (40,)


def test_moving_a_batch_moves_every_tensor(graphs):
    batch, _ = PackedDataset(graphs)[torch.arange(3)]
    moved = batch.to("meta")
    tensors = [each for each in vars(moved).values() if isinstance(each, torch.Tensor)]
    assert len(tensors) == 6
    assert all(tensor.device.type == "meta" for tensor in tensors)


@pytest.mark.parametrize("batch_size", [1, 7, 39, 40, 100])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_crystal_comes_once_in_batches_of_equal_size(graphs, batch_size, shuffle):
    dataset = PackedDataset(graphs, torch.arange(40.0))
    generator = torch.Generator().manual_seed(0)
    batches = BatchIterator(dataset, batch_size, shuffle, generator)
    targets = [each.values for _, each in batches]
    assert len(targets) == len(batches)
    sizes = {len(target) for target in targets}
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    order = torch.cat(targets).tolist()
    assert sorted(order) == list(range(40))
    assert (order == list(range(40))) != shuffle


def test_shuffles_differ_from_pass_to_pass_and_repeat_by_seed(graphs):
    dataset = PackedDataset(graphs, torch.arange(40.0))

    def passes(seed):
        generator = torch.Generator().manual_seed(seed)
        batches = BatchIterator(dataset, 8, True, generator)
        return [torch.cat([each.values for _, each in batches]) for _ in range(2)]

    first, second = passes(0)
    assert not torch.equal(first, second)
    assert torch.equal(first, passes(0)[0])
    assert not torch.equal(first, passes(1)[0])


@pytest.mark.parametrize("max_cost", [1, 60, 500, 10**6])
def test_batches_are_as_large_as_their_edges_allow(graphs, max_cost):
    dataset = PackedDataset(graphs, torch.arange(40.0))
    batches = list(EdgeBoundedIterator(dataset, max_cost))
    targets = torch.cat([each.values for _, each in batches])
    assert targets.tolist() == list(range(40))
    costs = [len(b.atomic_numbers) + b.edge_index.shape[1] for b, _ in batches]
    of_first = [int(dataset.sizes[int(t.values[0])].sum()) for _, t in batches]
    for (batch, _), cost in zip(batches, costs, strict=True):
        assert cost <= max_cost or len(batch) == 1
    for cost, next_ in zip(costs, of_first[1:], strict=False):
        assert cost + next_ > max_cost  # no more would have gone in
