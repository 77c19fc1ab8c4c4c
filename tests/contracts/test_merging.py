"""Merging equivalent sites leaves the function, and its training, as they are.

Equivalent sites carry equal features in every layer, so that one of them, counted as
often as it occurs, enters every sum, mean and batch statistic as all of them would. In
double precision nothing but the order of the sums is left to tell the two apart.
"""

import numpy as np
import pytest
import torch

from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._estimators._network_spec import NetworkSpec
from sklearn_cgcnn._training import build_net
from sklearn_cgcnn._training._packed import PackedDataset


def featurize(structures):
    """Graphs merged, and unmerged with the distances of the merged ones."""
    merged = CrystalGraphFeaturizer().transform(structures)
    plain = CrystalGraphFeaturizer(merge_equivalent=False).transform(structures)
    for many, few, first in zip(plain, merged, plain.site_offsets[:-1], strict=True):
        edges = slice(*plain.edge_offsets[[first, first + many.n_sites]])
        plain.distances[edges] = matched_distances(many, few)
    return merged, plain


def matched_distances(many, few):
    """For each unmerged edge the length of the merged one between the same sites."""

    def along_a_line(sites, distances):
        return (sites[0] * few.n_sites + sites[1]) * 1e3 + distances

    stored = along_a_line(few.edge_index, few.distances)
    wanted = along_a_line(few.site_map[many.edge_index], many.distances)
    order = np.argsort(stored)
    middles = (stored[order][1:] + stored[order][:-1]) / 2
    matched = few.distances[order[np.searchsorted(middles, wanted)]]
    assert abs(matched - many.distances).max() < 1e-3
    return matched


def double_net(graphs, y, max_epochs, **part):
    """A net in double precision, and the dataset that it learns from."""
    spec = NetworkSpec.from_params(CGCNNRegressor(**part).get_params(), n_outputs=1)
    net = build_net(
        spec.build().double(),
        criterion=torch.nn.L1Loss(reduction="none"),
        device="cpu",
        batch_size=32,
        optimizer=torch.optim.AdamW,
        lr=3e-3,
        max_epochs=max_epochs,
    )
    y = (y - y.mean()) / y.std()
    return net, PackedDataset(graphs, torch.tensor(y[:, None]))


@pytest.fixture(scope="module")
def generated(ionic, irregular):
    structures = [
        each.make_supercell([1, 1, 2], in_place=False) if i % 3 == 0 else each
        for i, each in enumerate(ionic.data)
    ]
    structures += irregular
    return *featurize(structures), np.linspace(-1, 1, len(structures))


@pytest.fixture(scope="module")
def real(load_real):
    structures, energies = load_real(500)
    return *featurize(structures), energies


def gradients_and_weights(graphs, y, part):
    """The gradients of a first batch, and the weights after three epochs."""
    net, dataset = double_net(graphs, y, max_epochs=3, **part)
    net._set_training(True)
    batch, targets = dataset[torch.arange(64)]
    net.get_loss(net.infer(batch), targets).backward()
    gradients = {n: p.grad.clone() for n, p in net.module_.named_parameters()}
    net.train(dataset, net.max_epochs)
    return gradients, net.module_.state_dict()


def assert_same_training(merged, plain, y, **part):
    gradients, weights = gradients_and_weights(merged, y, part)
    plain_gradients, plain_weights = gradients_and_weights(plain, y, part)
    for name, gradient in gradients.items():
        difference = (gradient - plain_gradients[name]).abs().max()
        assert difference <= 1e-8 * gradient.abs().max(), name
    for name, value in weights.items():
        difference = (value - plain_weights[name]).abs().max()
        assert difference <= 1e-6 * value.abs().max().clamp(min=1), name


def test_training_is_the_same(generated):
    assert_same_training(*generated)


@pytest.mark.parametrize(
    "part",
    [
        {"norm": None},
        {"conv": "shared"},
        {"conv": "shared", "norm": None},
        {"pooling": "all_layers"},
        {"readout": "site"},
        {"dropout": 0.5},
        {"readout": "site", "n_hidden_layers": 2, "dropout": 0.5},
        {"edge_basis": None, "site_features": "learned", "activation": "tanh"},
    ],
    ids=str,
)
def test_training_of_every_part_is_the_same(generated, part):
    assert_same_training(*generated, **part)


def test_training_on_real_crystals_is_the_same(real):
    assert_same_training(*real)


def assert_same_predictions(merged, plain, y):
    net, dataset = double_net(merged, y, max_epochs=2)
    net.train(dataset, net.max_epochs)
    few = net.predict_batches(dataset)
    many = net.predict_batches(PackedDataset(plain))
    assert few.std() > 0.1
    torch.testing.assert_close(few, many, rtol=1e-9, atol=1e-9 * few.std().item())


def test_predictions_are_the_same(generated):
    assert_same_predictions(*generated)


def test_predictions_of_real_crystals_are_the_same(real):
    assert_same_predictions(*real)


@pytest.fixture(scope="module")
def trained_on_real(load_real):
    structures, energies = load_real(500)
    model = CGCNNRegressor(max_epochs=20, random_state=0)
    return model.fit(structures, energies), structures, energies


def test_real_crystals_as_users_run_them(trained_on_real):
    """In single precision, against the distances as they were found."""
    model, structures, energies = trained_on_real
    plain = CrystalGraphFeaturizer(merge_equivalent=False).transform(structures)
    outputs = model.net_.predict_batches(PackedDataset(plain))[:, 0].numpy()
    unmerged = model.target_mean_ + model.target_scale_ * outputs
    difference = abs(model.predict(structures) - unmerged).max()
    assert difference <= 1e-5 * energies.std()


def test_jitter_that_parts_sites_hardly_moves_a_prediction(trained_on_real):
    model, structures, energies = trained_on_real
    rng = np.random.default_rng(0)
    moved = [structure.copy() for structure in structures]
    for structure in moved:
        shifts = rng.normal(size=(len(structure), 3))
        shifts *= 1e-5 / np.linalg.norm(shifts, axis=1, keepdims=True)
        for site, shift in enumerate(shifts):
            structure.translate_sites([site], shift, frac_coords=False)
    difference = abs(model.predict(moved) - model.predict(structures))
    # A neighbor may cross the edge of the last shell, and be counted or not.
    plain = CrystalGraphFeaturizer(merge_equivalent=False)
    before, after = (
        np.array([len(graph.distances) for graph in plain.transform(each)])
        for each in (structures, moved)
    )
    same = before == after
    assert same.mean() > 0.99
    assert difference[same].max() <= 1e-5 * energies.std()
    assert difference.max() <= 1e-2 * energies.std()
