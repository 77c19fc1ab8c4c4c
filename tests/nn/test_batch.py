"""The batch that every part of the network takes."""

import pytest
import torch

from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn._training import PackedDataset
from sklearn_cgcnn.nn import GaussianBasis


@pytest.fixture
def batch(ionic):
    graphs = CrystalGraphFeaturizer().transform(ionic.data[:7])
    return PackedDataset(graphs)[torch.arange(7)][0]


def with_features(batch, dtype=torch.float64):
    basis = GaussianBasis()
    columns, values = basis.entries(batch.distances)
    return batch.with_edge_features(columns, values.to(dtype), basis.n_features)


def test_its_length_is_the_number_of_crystals(batch):
    assert len(batch) == 7
    assert batch.crystal_index.max() == 6


@pytest.mark.parametrize("name", ["edge_features", "edge_sums", "supports_fused_sums"])
def test_edge_features_must_be_attached_first(batch, name):
    with pytest.raises(ValueError, match=r"no edge features yet.*with_edge_features"):
        getattr(batch, name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_counts_take_the_type_of_the_edge_features(batch, dtype):
    attached = with_features(batch, dtype)
    for name in ("multiplicity", "edge_weights"):
        assert not getattr(batch, name).is_floating_point()
        assert getattr(attached, name).dtype == dtype
        torch.testing.assert_close(
            getattr(attached, name).to(torch.int32), getattr(batch, name)
        )


def test_dense_edge_features_are_those_of_the_basis(batch):
    attached = with_features(batch)
    expected = GaussianBasis().double()(batch.distances)
    torch.testing.assert_close(attached.edge_features, expected, rtol=0, atol=1e-6)
    assert attached.edge_features is attached.edge_features  # computed once


def test_edge_counts_are_those_of_the_whole_crystal(batch):
    attached = with_features(batch)
    per_crystal = torch.zeros(7, dtype=torch.float64).index_add(
        0, batch.crystal_index[batch.edge_index[0]], attached.edge_counts
    )
    for crystal in range(7):
        sites = batch.crystal_index == crystal
        edges = sites[batch.edge_index[0]]
        centers = batch.edge_index[0, edges]
        counts = batch.edge_weights[edges] * batch.multiplicity[centers]
        assert per_crystal[crystal] == counts.sum()


@pytest.mark.parametrize("counts_as_integers", [True, False])
def test_mean_over_sites_is_weighted_by_multiplicity(batch, counts_as_integers):
    batch = batch if counts_as_integers else with_features(batch)
    values = torch.randn(len(batch.multiplicity), 3).double()
    for crystal, mean in enumerate(batch.mean_over_sites(values)):
        sites = batch.crystal_index == crystal
        repeated = values[sites].repeat_interleave(batch.multiplicity[sites].int(), 0)
        torch.testing.assert_close(mean, repeated.mean(dim=0))


def test_sums_are_not_rounded_with_the_values(batch):
    attached = with_features(batch, torch.float32)
    values = torch.ones(len(batch.multiplicity), 1, dtype=torch.bfloat16)
    assert attached.mean_over_sites(values).dtype == torch.float32


def test_it_moves_as_a_whole(batch):
    moved = with_features(batch).to("meta")
    tensors = [each for each in vars(moved).values() if isinstance(each, torch.Tensor)]
    assert len(tensors) == 8
    assert all(each.is_meta for each in tensors)
    assert len(moved) == 7
    assert moved.n_edge_features == 41
