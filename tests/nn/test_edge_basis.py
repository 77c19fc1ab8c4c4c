import numpy as np
import pytest
import torch

from sklearn_cgcnn.nn import (
    EdgeBasis,
    EmbeddedDistances,
    GaussianBasis,
    NoEdgeFeatures,
    OneHotBasis,
)


def test_gaussians_are_those_of_the_formula():
    distances = np.linspace(0.5, 9, 50)
    basis = GaussianBasis()
    assert basis.n_features == 41
    np.testing.assert_allclose(basis.centers, np.arange(41) * 0.2, rtol=1e-6)
    expected = np.exp(-((distances[:, None] - np.arange(41) * 0.2) ** 2) / 0.2**2)
    # The tails are cut off where they are less than a rounding error.
    for kind, rounding in [(torch.float32, 1e-6), (torch.float64, 1e-13)]:
        features = basis.to(kind)(torch.tensor(distances))
        atol = torch.finfo(kind).eps
        np.testing.assert_allclose(features, expected, rtol=rounding, atol=atol)
        assert not ((features > 0) & (features < 1e-22)).any()  # nothing subnormal


@pytest.mark.parametrize(
    "basis",
    [GaussianBasis(), GaussianBasis(1, 2, 0.5), OneHotBasis(), NoEdgeFeatures()],
)
def test_entries_are_the_features(basis):
    distances = torch.linspace(0.05, 9, 500)
    features = basis(distances)
    columns, values = basis.entries(distances)
    assert columns.shape == values.shape
    assert values.shape[1] <= 8
    if basis.n_features:
        assert 0 <= columns.min() <= columns.max() < basis.n_features
    scattered = torch.zeros_like(features).scatter_add_(1, columns.long(), values)
    assert torch.equal(scattered, features)


def test_a_basis_of_ones_own_names_all_features():
    class Powers(EdgeBasis):
        n_features = 3

        def forward(self, distances):
            return distances[:, None] ** torch.arange(3)

    columns, values = Powers().entries(torch.tensor([2.0, 3.0]))
    assert columns.tolist() == [[0, 1, 2]] * 2
    assert values.tolist() == [[1, 2, 4], [1, 3, 9]]


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
        (EmbeddedDistances, {"step": 0}),
        (EmbeddedDistances, {"start": 5, "stop": 4}),
    ],
)
def test_impossible_ranges_are_refused(basis, ranges):
    with pytest.raises(ValueError, match="needs stop > start"):
        basis(**ranges)


def test_gaussians_have_a_gradient():
    distances = torch.linspace(0.1, 9, 40, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(GaussianBasis().double(), (distances,))


def network(basis, distances):
    """The small network of the embedding, on Gaussians of the distances themselves."""
    distances = distances.clamp(0, 8)[:, None].double()
    gaussians = torch.exp(-(((distances - 0.2 * torch.arange(41)) / 0.2) ** 2))
    for layer in (basis.hidden, basis.output):
        gaussians = torch.nn.functional.silu(
            gaussians @ layer.weight.double().T + layer.bias.double()
        )
    return gaussians


def test_embedded_distances_are_a_network_on_gaussians():
    torch.manual_seed(0)
    basis = EmbeddedDistances(5)
    assert basis.n_features == basis(torch.ones(1)).shape[1] == 5
    points = torch.arange(161, dtype=torch.float64) * 0.05
    torch.testing.assert_close(basis(points).double(), network(basis, points))
    beyond = torch.tensor([8.0, 8.01, 30.0], dtype=torch.float64)
    torch.testing.assert_close(basis(beyond).double(), network(basis, beyond))
    between = torch.linspace(0, 8, 1000, dtype=torch.float64)
    error = (basis(between) - network(basis, between)).abs().max()
    assert 0 < error < 0.01 * network(basis, between).std()
    # It is linear between two points.
    ends, middle = basis(torch.tensor([3.0, 3.05])), basis(torch.tensor([3.02]))
    torch.testing.assert_close(middle[0], 0.6 * ends[0] + 0.4 * ends[1])


def test_entries_and_table_of_embedded_distances():
    basis = EmbeddedDistances(5, stop=4.0).double()
    distances = torch.linspace(0, 5, 400, dtype=torch.float64)
    columns, values = basis.entries(distances)
    table = basis.table()
    assert columns.shape == values.shape == (400, 2)
    assert table.shape == (81, 5)
    assert 0 <= columns.min() <= columns.max() == 80
    assert values.min() >= 0
    torch.testing.assert_close(values.sum(dim=1), torch.ones(400).double())
    dense = torch.zeros(400, 81).double().scatter_add_(1, columns.long(), values)
    torch.testing.assert_close(dense @ table, basis(distances))
    basis(distances).square().sum().backward()
    assert all(each.grad.abs().max() > 0 for each in basis.parameters())


def test_other_bases_have_no_table():
    for basis in (GaussianBasis(), OneHotBasis(), NoEdgeFeatures()):
        assert basis.table() is None
