"""NaCl against KCl: the example that the supplement works out by hand, Eqs. S3 to S10.

Sites of three kinds, v_Cl = (1, 0, 0), v_Na = (0, 1, 0), v_K = (0, 0, 1), no features
of edges, one convolution by Eq. 4 to a single channel without bias and with g(x) = x,
and the mean. (KCl is drawn as cesium chloride, with eight neighbors.)
"""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn.nn import CGCNN, NoEdgeFeatures, SharedConv, SiteFeatures

FEATURES = {"Cl": [1, 0, 0], "Na": [0, 1, 0], "K": [0, 0, 1]}
NACL = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
KCL = Structure(Lattice.cubic(3.83), ["K", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
KCL_OF_8_SITES = KCL.make_supercell([2, 2, 1], in_place=False)


@pytest.fixture
def network():
    """The network of the supplement, its weights, and nothing after the mean."""
    table = torch.zeros(20, 3)
    table[[17, 11, 19]] = torch.eye(3)
    net = CGCNN(
        SiteFeatures(table),
        NoEdgeFeatures(),
        conv=SharedConv,
        n_conv_layers=1,
        n_site_channels=1,
        n_hidden_layers=0,
        norm=None,
        activation=torch.nn.Identity(),
    )
    torch.nn.init.zeros_(net.convs[0].site_linear.bias)
    torch.nn.init.ones_(net.readout.output.weight)
    torch.nn.init.zeros_(net.readout.output.bias)
    w_c, w_s = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    net.convs[0].neighbor_linear.weight.data[0] = w_c
    net.convs[0].site_linear.weight.data[0] = w_s
    return net, w_c, w_s


def graphs(merge):
    featurizer = CrystalGraphFeaturizer(max_neighbors=6, merge_equivalent=merge)
    return featurizer.transform([NACL, KCL, KCL_OF_8_SITES])


def test_graphs_of_8_nodes_and_of_2():
    assert np.diff(graphs(merge=False).site_offsets).tolist() == [8, 2, 8]
    assert np.diff(graphs(merge=True).site_offsets).tolist() == [2, 2, 2]


@pytest.mark.parametrize("merge", [True, False])
def test_sites_after_the_convolution(network, merge):
    """Eqs. S3 to S6."""
    net, w_c, w_s = network
    packed = graphs(merge)
    batch, _ = PackedDataset(packed)[torch.arange(3)]
    convolved = net.convolve(*net.featurize(batch))
    found = packed.expand_sites(convolved[-1].detach().numpy())[:, 0]
    numbers = {"Cl": 0, "Na": 1, "K": 2}
    for crystal, n_unlike, other in [(NACL, 6, "Na"), (KCL, 8, "K")]:
        first = 0 if crystal is NACL else 8
        for site, value in zip(crystal, found[first:], strict=False):
            own, like = site.specie.symbol, numbers[site.specie.symbol]
            neighbor = numbers["Cl" if own == other else other]
            expected = n_unlike * w_c[neighbor] + w_s[like]
            assert value == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("merge", [True, False])
def test_crystals(network, merge):
    """Eqs. S7 to S10."""
    net, w_c, w_s = network
    batch, _ = PackedDataset(graphs(merge))[torch.arange(3)]
    nacl = 3 * w_c[0] + 3 * w_c[1] + w_s[0] / 2 + w_s[1] / 2
    kcl = 4 * w_c[0] + 4 * w_c[2] + w_s[0] / 2 + w_s[2] / 2
    expected = torch.stack([nacl, kcl, kcl])[:, None]
    torch.testing.assert_close(net(batch), expected, rtol=1e-6, atol=1e-6)


def test_an_estimator_learns_to_tell_them_apart():
    model = CGCNNRegressor(
        featurizer=CrystalGraphFeaturizer(max_neighbors=6),
        conv="shared",
        n_conv_layers=1,
        n_site_channels=1,
        n_hidden_layers=0,
        site_features=FEATURES,
        edge_basis=None,
        norm=None,
        activation="identity",
        max_epochs=200,
        random_state=0,
    ).fit([NACL, KCL], [1, -1])
    predicted = model.predict([NACL, KCL, KCL_OF_8_SITES])
    np.testing.assert_allclose(predicted, [1, -1, -1], atol=0.02)
