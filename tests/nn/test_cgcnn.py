"""The network, against a plain rendering of the paper's equations, loop by loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sklearn_cgcnn._training import PackedDataset
from sklearn_cgcnn.nn import (
    CGCNN,
    AllLayersPooling,
    BatchNorm,
    Conv,
    CrystalGraphBatch,
    GatedConv,
    GaussianBasis,
    MeanPooling,
    NoEdgeFeatures,
    SharedConv,
    SiteFeatures,
    SiteReadout,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def normalized(rows, norm, training):
    """Batch normalization in training, or by running statistics."""
    mean, var = norm.running_mean.numpy(), norm.running_var.numpy()
    if training:
        mean, var = rows.mean(axis=0), rows.var(axis=0)
    scale, shift = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    return (rows - mean) / np.sqrt(var + norm.eps) * scale + shift


def plain_gated(conv, v, u, edges, training):
    """Eq. 5 one edge at a time, as printed or with the released program's norms."""
    weight = conv.linear.weight.detach().numpy()
    width = v.shape[1]
    z = np.array(
        [
            weight @ np.concatenate([v[i], v[j], u_k])
            for (i, j), u_k in zip(edges, u, strict=True)
        ]
    )
    if conv.edge_norm is None:
        z = z + conv.linear.bias.detach().numpy()
    else:
        z = normalized(z, conv.edge_norm, training)
    summed = np.zeros_like(v)
    for (i, _), z_k in zip(edges, z, strict=True):
        summed[i] += sigmoid(z_k[:width]) * softplus(z_k[width:])
    if conv.edge_norm is None:
        return v + summed
    return softplus(v + normalized(summed, conv.site_norm, training))


def plain_shared(conv, v, u, edges, training):
    """Eq. 4 one edge at a time, as printed or normalized over the sites."""
    W_c = conv.neighbor_linear.weight.detach().numpy().T
    W_s = conv.site_linear.weight.detach().numpy().T
    rows = v @ W_s
    for (i, j), u_k in zip(edges, u, strict=True):
        rows[i] += np.concatenate([v[j], u_k]) @ W_c
    if conv.norm is None:
        return softplus(rows + conv.site_linear.bias.detach().numpy())
    return softplus(normalized(rows, conv.norm, training))


@pytest.fixture
def random_graph():
    """Two crystals of 3 and 4 sites with several edges between the same sites."""
    rng = np.random.RandomState(0)
    first = [(i, j) for i in range(3) for j in rng.randint(0, 3, 5)]
    second = [(i, j) for i in range(3, 7) for j in rng.randint(3, 7, 4)]
    edges = first + second
    return CrystalGraphBatch(
        atomic_numbers=torch.tensor(rng.randint(1, 5, 7)),
        edge_index=torch.tensor(edges).T,
        distances=torch.tensor(rng.uniform(1.5, 6, len(edges))),
        multiplicity=torch.ones(7, dtype=torch.int32),
        edge_weights=torch.ones(len(edges), dtype=torch.int32),
        crystal_index=torch.tensor([0] * 3 + [1] * 4),
        n_crystals=2,
    )


def with_features(batch, edge_features):
    """Attach dense edge features to a batch."""
    columns = torch.arange(edge_features.shape[1]).expand_as(edge_features)
    return batch.with_edge_features(columns, edge_features, edge_features.shape[1])


def crystals(crystal_index, multiplicity):
    """A batch without edges, for poolings."""
    n_sites = len(crystal_index)
    return CrystalGraphBatch(
        atomic_numbers=torch.ones(n_sites, dtype=torch.int64),
        edge_index=torch.empty(2, 0, dtype=torch.int64),
        distances=torch.empty(0),
        multiplicity=multiplicity,
        edge_weights=torch.empty(0),
        crystal_index=crystal_index,
        n_crystals=int(crystal_index.max()) + 1,
    )


def randomize(module):
    """Give the norms statistics and scales that a mistake could not hide behind."""
    generator = torch.Generator().manual_seed(1)
    for each in module.modules():
        if isinstance(each, BatchNorm):
            for values in (each.weight.data, each.bias.data, each.running_mean):
                values.uniform_(-1, 1, generator=generator)
            each.running_var.uniform_(0.5, 2, generator=generator)
    return module.double()


@pytest.mark.parametrize("norm", [BatchNorm, None])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("kind", "plain", "width"),
    [(GatedConv, plain_gated, 6), (SharedConv, plain_shared, 9)],
    ids=["Eq. 5", "Eq. 4"],
)
def test_convolution_is_that_of_the_paper(
    random_graph, kind, plain, width, training, norm
):
    torch.manual_seed(0)
    conv = randomize(kind(width, 6, 4, norm)).train(training)
    v, edges = torch.randn(7, width).double(), random_graph.edge_index
    u = torch.randn(edges.shape[1], 4).double()
    expected = plain(conv, v.numpy(), u.numpy(), edges.T.tolist(), training)
    found = conv(v, with_features(random_graph, u)).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", [GatedConv, SharedConv])
def test_the_activation_is_the_one_given(random_graph, kind):
    """A linear one makes Eq. 4 linear, and Eq. 5 linear in what follows the gate."""
    torch.manual_seed(0)
    conv = kind(6, 6, 4, None, torch.nn.Identity()).double()
    v, n_edges = torch.randn(7, 6).double(), len(random_graph.distances)
    graph = with_features(random_graph, torch.randn(n_edges, 4).double())
    once = conv(v, graph)
    with torch.no_grad():
        for name, values in conv.named_parameters():
            values[6 if name.startswith("linear") else 0 :] *= 2
    added = v if kind is GatedConv else 0
    torch.testing.assert_close(conv(v, graph) - added, 2 * (once - added))


def test_a_residual_convolution_keeps_the_width():
    with pytest.raises(ValueError, match="n_channels=6 must be n_channels_in=9"):
        GatedConv(9, 6, 4)


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
    net = randomize(net).train(training)

    def plain_linear(layer, rows):
        return rows @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()

    edges = random_graph.edge_index.T.tolist()
    features = table.numpy().astype(float)[random_graph.atomic_numbers]
    centers = np.arange(41) * 0.2
    gap = random_graph.distances.numpy()[:, None] - centers
    u = np.exp(-(gap**2) / 0.2**2)
    v = plain_linear(net.embedding, features)
    for conv in net.convs:
        v = plain_gated(conv, v, u, edges, training)
    crystals = softplus(np.array([v[:3].mean(axis=0), v[3:].mean(axis=0)]))
    for layer in net.readout.hidden:
        crystals = softplus(plain_linear(layer, crystals))
    expected = plain_linear(net.readout.output, crystals)
    np.testing.assert_allclose(net(random_graph).detach(), expected, rtol=1e-6)


def test_pooling_is_the_mean_over_each_crystal():
    sites = torch.arange(10.0).reshape(5, 2)
    crystal = torch.tensor([0, 1, 1, 1, 2])
    pooling = MeanPooling([2])
    pooled = pooling([sites], crystals(crystal, torch.ones(5)))
    torch.testing.assert_close(pooled, torch.tensor([[0, 1], [4, 5], [8, 9.0]]))
    counts = torch.tensor([2, 3, 1, 0, 7.0])
    weighted = pooling([sites], crystals(crystal, counts))
    torch.testing.assert_close(weighted, torch.tensor([[0, 1], [2.5, 3.5], [8, 9]]))


def test_pooling_of_all_layers_is_eqs_S11_to_S13():
    torch.manual_seed(0)
    pooling = AllLayersPooling([5, 3, 3]).double()
    layers = [torch.randn(4, width).double() for width in (5, 3, 3)]
    crystal, counts = torch.tensor([0, 1, 1, 1]), torch.tensor([2.0, 1, 4, 1]).double()
    expected = np.zeros((2, 3))
    for i in range(4):
        for layer, each in zip(layers, pooling.maps, strict=True):
            W, b = each.weight.detach().numpy().T, each.bias.detach().numpy()
            said = np.exp(layer[i].numpy() @ W + b)
            expected[crystal[i]] += counts[i].item() * said / said.sum()
    expected /= np.array([[2], [6]])
    pooled = pooling(layers, crystals(crystal, counts))
    np.testing.assert_allclose(pooled.detach(), expected, rtol=1e-12)
    np.testing.assert_allclose(pooled.detach().sum(dim=1), 3)  # one for each layer


@pytest.mark.parametrize("n_hidden_layers", [0, 2])
def test_site_readout_is_eqs_S14_and_S15(random_graph, n_hidden_layers):
    torch.manual_seed(0)
    net = CGCNN(
        SiteFeatures(torch.randn(5, 9)),
        GaussianBasis(),
        n_outputs=2,
        readout=SiteReadout,
        n_hidden_layers=n_hidden_layers,
    ).double()
    layers = net.convolve(*net.featurize(random_graph))
    values = layers[-1].detach().numpy()
    for layer in [*net.readout.hidden, net.readout.output]:
        values = values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        if layer is not net.readout.output:
            values = softplus(values)
    found = net.contributions(random_graph).detach()
    np.testing.assert_allclose(found, values, rtol=1e-12)
    expected = [values[:3].mean(axis=0), values[3:].mean(axis=0)]
    np.testing.assert_allclose(net(random_graph).detach(), expected, rtol=1e-12)


def test_a_site_readout_needs_a_mean():
    with pytest.raises(
        ValueError, match=r"readout='site'.*AllLayersPooling is not a mean"
    ):
        SiteReadout(3, AllLayersPooling([3]))


def test_a_readout_of_crystals_knows_no_contributions(random_graph):
    net = CGCNN(SiteFeatures(torch.randn(5, 9)), GaussianBasis())
    with pytest.raises(
        TypeError, match="CrystalReadout, which has no contributions of sites"
    ):
        net.contributions(random_graph)


def test_dropout_takes_the_same_channels_of_all_sites_of_a_crystal(random_graph):
    torch.manual_seed(0)
    dropout = SiteReadout(3, MeanPooling([3]), dropout=0.5).dropout
    crystal = random_graph.crystal_index
    dropped = dropout(torch.ones(7, 50), 2, crystal)
    assert torch.equal(dropped, dropped[[0, 3]][crystal])
    assert not torch.equal(dropped[0], dropped[3])
    assert set(dropped.unique().tolist()) == {0.0, 2.0}


def test_edges_without_features_only_say_who_is_near(random_graph):
    torch.manual_seed(0)
    table = SiteFeatures(torch.randn(5, 9))
    net = CGCNN(table, NoEdgeFeatures(), conv=SharedConv).double().eval()
    before = net(random_graph)
    stretched = replace(random_graph, distances=1.5 * random_graph.distances)
    assert torch.equal(net(stretched), before)


def test_a_convolution_of_ones_own(random_graph):
    class Nothing(Conv):
        def forward(self, sites, *edges):
            return sites

    net = CGCNN(SiteFeatures(torch.randn(5, 9)), GaussianBasis(), conv=Nothing)
    sites = net.embedding(net.site_features(random_graph.atomic_numbers))
    pooled = net.readout.pooling([sites], random_graph)
    hidden = torch.nn.functional.softplus(
        net.readout.hidden[0](torch.nn.functional.softplus(pooled))
    )
    torch.testing.assert_close(net(random_graph), net.readout.output(hidden))


def test_dropout_acts_after_pooling_in_training_only(random_graph):
    torch.manual_seed(0)
    table = SiteFeatures(torch.randn(5, 9))
    net = CGCNN(table, GaussianBasis(), n_site_channels=8, dropout=0.9)
    captured = []
    net.readout.pooling.register_forward_hook(lambda *args: captured.append(args[2]))
    net.train()
    random_graph = replace(random_graph, distances=random_graph.distances.float())
    first, second = net(random_graph), net(random_graph)
    assert not torch.equal(first, second)
    torch.testing.assert_close(captured[0], captured[1])
    net.eval()
    assert torch.equal(net(random_graph), net(random_graph))


class LearnedGaussians(GaussianBasis):
    """Its centers change during a training, unlike those of its base."""

    def __init__(self):
        super().__init__()
        self.centers = torch.nn.Parameter(self._buffers.pop("centers"))


def test_features_of_a_subclass_are_not_taken_for_constant():
    def network(basis):
        return CGCNN(SiteFeatures(torch.rand(100, 4)), basis)

    assert network(GaussianBasis()).has_constant_edge_features
    assert not network(LearnedGaussians()).has_constant_edge_features


def test_features_attached_before_are_kept(graphs):
    batch, _ = PackedDataset(graphs)[torch.arange(3)]
    network = CGCNN(SiteFeatures(torch.rand(100, 4)), GaussianBasis())
    attached = network.attach_edge_features(batch)
    assert network.featurize(attached)[1] is attached
    torch.testing.assert_close(network(attached), network(batch))
