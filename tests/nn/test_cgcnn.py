"""The network, against a plain rendering of the paper's equations, loop by loop."""

import numpy as np
import pytest
import torch

from sklearn_cgcnn.nn import (
    CGCNN,
    BatchNorm,
    GatedConv,
    GaussianBasis,
    MeanPooling,
    SiteFeatures,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def normalised(rows, norm, training):
    """Batch normalisation in training, or by running statistics."""
    mean, var = norm.running_mean.numpy(), norm.running_var.numpy()
    if training:
        mean, var = rows.mean(axis=0), rows.var(axis=0)
    scale, shift = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    return (rows - mean) / np.sqrt(var + norm.eps) * scale + shift


def plain_conv(conv, v, u, edges, training):
    """Eq. 5 with the released program's normalisation, one edge at a time."""
    weight = conv.linear.weight.detach().numpy()
    width = v.shape[1]
    z = [
        weight @ np.concatenate([v[i], v[j], u_k])
        for (i, j), u_k in zip(edges, u, strict=True)
    ]
    z = normalised(np.array(z), conv.edge_norm, training)
    summed = np.zeros_like(v)
    for (i, _), z_k in zip(edges, z, strict=True):
        summed[i] += sigmoid(z_k[:width]) * softplus(z_k[width:])
    return softplus(v + normalised(summed, conv.site_norm, training))


@pytest.fixture
def random_graph():
    """Two crystals of 3 and 4 sites with several edges between the same sites."""
    rng = np.random.RandomState(0)
    first = [(i, j) for i in range(3) for j in rng.randint(0, 3, 5)]
    second = [(i, j) for i in range(3, 7) for j in rng.randint(3, 7, 4)]
    edges = first + second
    return {
        "atomic_numbers": torch.tensor(rng.randint(1, 5, 7)),
        "edge_index": torch.tensor(edges).T,
        "distances": torch.tensor(rng.uniform(1.5, 6, len(edges))),
        "multiplicity": torch.ones(7, dtype=torch.int32),
        "edge_weights": torch.ones(len(edges), dtype=torch.int32),
        "crystal_index": torch.tensor([0] * 3 + [1] * 4),
        "n_crystals": 2,
    }


def randomise(module):
    """Give the norms statistics and scales that a mistake could not hide behind."""
    generator = torch.Generator().manual_seed(1)
    for each in module.modules():
        if isinstance(each, BatchNorm):
            for values in (each.weight.data, each.bias.data, each.running_mean):
                values.uniform_(-1, 1, generator=generator)
            each.running_var.uniform_(0.5, 2, generator=generator)
    return module.double()


@pytest.mark.parametrize("training", [True, False])
def test_convolution_is_eq_5(random_graph, training):
    torch.manual_seed(0)
    conv = randomise(GatedConv(6, 4)).train(training)
    v, edges = torch.randn(7, 6).double(), random_graph["edge_index"]
    u = torch.randn(edges.shape[1], 4).double()
    expected = plain_conv(conv, v.numpy(), u.numpy(), edges.T.tolist(), training)
    ones = torch.ones(7).double(), torch.ones(edges.shape[1]).double()
    np.testing.assert_allclose(conv(v, u, edges, *ones).detach(), expected, rtol=1e-12)


@pytest.mark.parametrize("n_hidden_layers", [0, 1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_network_is_that_of_the_released_program(
    random_graph, n_hidden_layers, training
):
    torch.manual_seed(0)
    table = torch.randn(5, 9)
    net = CGCNN(
        SiteFeatures(table),
        GaussianBasis(),
        n_outputs=2,
        n_conv_layers=2,
        n_site_channels=6,
        n_hidden_layers=n_hidden_layers,
        n_hidden_channels=5,
    )
    net = randomise(net).train(training)

    def plain_linear(layer, rows):
        return rows @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()

    edges = random_graph["edge_index"].T.tolist()
    features = table.numpy().astype(float)[random_graph["atomic_numbers"]]
    centers = np.arange(41) * 0.2
    gap = random_graph["distances"].numpy()[:, None] - centers
    u = np.exp(-(gap**2) / 0.2**2)
    v = plain_linear(net.embedding, features)
    for conv in net.convs:
        v = plain_conv(conv, v, u, edges, training)
    crystals = softplus(np.array([v[:3].mean(axis=0), v[3:].mean(axis=0)]))
    for layer in net.hidden:
        crystals = softplus(plain_linear(layer, crystals))
    expected = plain_linear(net.output, crystals)
    np.testing.assert_allclose(net(**random_graph).detach(), expected, rtol=1e-6)


def test_pooling_is_the_mean_over_each_crystal():
    sites = torch.arange(10.0).reshape(5, 2)
    crystal = torch.tensor([0, 1, 1, 1, 2])
    pooled = MeanPooling()(sites, torch.ones(5), crystal, 3)
    torch.testing.assert_close(pooled, torch.tensor([[0, 1], [4, 5], [8, 9.0]]))
    weighted = MeanPooling()(sites, torch.tensor([2, 3, 1, 0, 7.0]), crystal, 3)
    torch.testing.assert_close(weighted, torch.tensor([[0, 1], [2.5, 3.5], [8, 9]]))


def test_dropout_acts_after_pooling_in_training_only(random_graph):
    torch.manual_seed(0)
    table = SiteFeatures(torch.randn(5, 9))
    net = CGCNN(table, GaussianBasis(), n_site_channels=8, dropout=0.9)
    captured = []
    net.pooling.register_forward_hook(lambda *args: captured.append(args[2]))
    net.train()
    random_graph["distances"] = random_graph["distances"].float()
    first, second = net(**random_graph), net(**random_graph)
    assert not torch.equal(first, second)
    torch.testing.assert_close(captured[0], captured[1])
    net.eval()
    assert torch.equal(net(**random_graph), net(**random_graph))
