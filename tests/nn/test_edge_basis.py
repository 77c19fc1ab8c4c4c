import numpy as np
import pytest
import torch

from sklearn_cgcnn.nn import GaussianBasis, OneHotBasis


def test_gaussians_are_those_of_the_formula():
    distances = np.linspace(0.5, 9, 50)
    basis = GaussianBasis()
    assert basis.n_features == 41
    np.testing.assert_allclose(basis.centers, np.arange(41) * 0.2, rtol=1e-6)
    centers = basis.centers.double().numpy()
    expected = np.exp(-((distances[:, None] - centers) ** 2) / 0.2**2)
    features = basis.double()(torch.tensor(distances))
    # The far tails are cut off, at no more than exp(-50).
    np.testing.assert_allclose(features, expected, rtol=1e-12, atol=np.exp(-50))


def test_gaussians_hold_no_subnormal_numbers():
    features = GaussianBasis()(torch.linspace(0.1, 12, 5000))
    smallest = torch.finfo(torch.float32).tiny
    assert ((features == 0) | (features > smallest)).all()
    assert torch.exp(torch.tensor(-90.0)) < smallest  # what they would be otherwise


@pytest.mark.parametrize(
    ("distance", "column"),
    [
        *[(0.7, 0), (1.14, 0), (1.16, 1), (2.94, 4), (2.96, 5), (5.1, 9), (5.2, 9)],
        *[(0.1, 0), (7.0, 9)],  # outside: the nearest bin
    ],
)
def test_one_hot_bins_are_those_of_table_iii(distance, column):
    features = OneHotBasis()(torch.tensor([distance], dtype=torch.float64))
    assert features.shape == (1, 10)
    assert features[0].nonzero().tolist() == [[column]]


@pytest.mark.parametrize("basis", [GaussianBasis(), OneHotBasis()])
def test_features_take_the_type_of_the_basis(basis):
    distances = torch.tensor([2.0, 3.0], dtype=torch.float64)
    assert basis(distances).dtype == torch.float32
    assert basis.double()(distances).dtype == torch.float64
    assert basis(distances[:0]).shape == (0, basis.n_features)
    assert not list(basis.parameters())


@pytest.mark.parametrize(
    ("basis", "ranges"),
    [
        (GaussianBasis, {"step": 0}),
        (GaussianBasis, {"start": 5, "stop": 4}),
        (OneHotBasis, {"n_bins": 0}),
        (OneHotBasis, {"start": 5, "stop": 4}),
    ],
)
def test_impossible_ranges_are_refused(basis, ranges):
    with pytest.raises(ValueError, match="needs stop > start"):
        basis(**ranges)
