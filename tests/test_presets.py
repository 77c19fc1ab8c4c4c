"""The models of the paper and of the original program, by name.

The model of the program is compared with a plain implementation in torch. It has a
linear embedding. Each convolution applies a linear map to z, then batch normalization
over the edges, and multiplies the sigmoid of one half by the softplus of the other. The
messages are summed, batch normalization over the sites follows, then a softplus of the
residual. The output is made of a mean over the sites, softplus, a linear layer,
softplus, and the output layer.
"""

import inspect
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import RandomizedSearchCV, ShuffleSplit
from skorch.callbacks import Callback
from torch import nn

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn.callbacks import GaussianWeights
from sklearn_cgcnn.graphs import one_hot_site_features
from sklearn_cgcnn.presets import preset, search_space

NAMES = ["paper_eq4", "paper_eq5", "released"]


class PlainLayer(nn.Module):
    def __init__(self, width, n_edge_features):
        super().__init__()
        self.full = nn.Linear(2 * width + n_edge_features, 2 * width)
        self.norm_of_edges = nn.BatchNorm1d(2 * width)
        self.norm_of_sites = nn.BatchNorm1d(width)

    def forward(self, v, u, center, neighbor):
        z = self.norm_of_edges(self.full(torch.cat([v[center], v[neighbor], u], 1)))
        gate, core = z.chunk(2, dim=1)
        messages = torch.sigmoid(gate) * nn.functional.softplus(core)
        rows = [messages[center == i].sum(dim=0) for i in range(len(v))]
        return nn.functional.softplus(v + self.norm_of_sites(torch.stack(rows)))


class PlainProgram(nn.Module):
    """The released network, on unmerged graphs, without parts of this package."""

    def __init__(self, n_outputs, dropout):
        super().__init__()
        self.embedding = nn.Linear(93, 64)
        self.layers = nn.ModuleList(PlainLayer(64, 41) for _ in range(3))
        self.hidden = nn.Linear(64, 128)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(128, n_outputs)

    def forward(self, features, distances, center, neighbor, crystals):
        gaps = distances[:, None] - torch.arange(41).double() * 0.2
        v, u = self.embedding(features), torch.exp(-((gaps / 0.2) ** 2))
        for layer in self.layers:
            v = layer(v, u, center, neighbor)
        pooled = torch.stack([v[sites].mean(dim=0) for sites in crystals])
        hidden = self.hidden(nn.functional.softplus(pooled))
        return self.output(self.dropout(nn.functional.softplus(hidden)))

    def take_weights(self, module):
        """Copy the weights of our network. Its layers before a norm have no bias."""
        pairs = [
            (self.embedding, module.embedding),
            (self.hidden, module.readout.hidden[0]),
            (self.output, module.readout.output),
        ]
        for plain, conv in zip(self.layers, module.convs, strict=True):
            plain.full.weight.data.copy_(conv.linear.weight)
            nn.init.zeros_(plain.full.bias)
            pairs += [
                (plain.norm_of_edges, conv.edge_norm),
                (plain.norm_of_sites, conv.site_norm),
            ]
        for plain, ours in pairs:
            plain.load_state_dict(ours.state_dict())
        return self.double()


def plain_input(graphs):
    table = torch.tensor(one_hot_site_features()).double()
    ends = graphs.site_offsets.tolist()
    return (
        table[graphs.atomic_numbers.astype(int)],
        torch.tensor(graphs.distances),
        *torch.tensor(graphs.edge_index),
        [torch.arange(*pair) for pair in pairwise(ends)],
    )


def featurize(structures):
    """Featurize as the program does, but in whole shells instead of exactly 12."""
    model = CGCNNRegressor.from_preset("released")
    assert model.featurizer.get_params()["cutoff"] == 8.0
    return (
        clone(model.featurizer)
        .set_params(merge_equivalent=False)
        .fit_transform(structures)
    )


@pytest.fixture(scope="module")
def generated(ionic):
    return featurize(ionic.data), ionic.target, ionic.prototype


@pytest.fixture(scope="module")
def real(load_real):
    structures, energies = load_real(200)
    return featurize(structures), energies, np.where(energies > -1, "high", "low")


def assert_same_predictions(graphs, y, classes):
    for estimator, target in (CGCNNRegressor, y), (CGCNNClassifier, classes):
        model = estimator.from_preset(
            "released", featurizer=None, max_epochs=3, random_state=0
        ).fit(graphs, target)
        module = model.net_.module_.double()
        plain = PlainProgram(module.readout.output.out_features, dropout=0.5)
        plain.take_weights(module).eval()
        with torch.no_grad():
            expected = plain(*plain_input(graphs))
        assert expected.std() > 0.01
        found = model.net_.predict_batches(PackedDataset(graphs))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        if estimator is CGCNNRegressor:
            expected = expected.numpy()[:, 0] * target.std() + target.mean()
            np.testing.assert_allclose(
                model.predict(graphs), expected, rtol=0, atol=1e-6 * target.std()
            )
        else:
            expected = expected.softmax(dim=1).numpy()
            np.testing.assert_allclose(model.predict_proba(graphs), expected, atol=1e-6)


def test_the_released_program_is_rendered(generated):
    assert_same_predictions(*generated)


def test_the_released_program_is_rendered_on_real_crystals(real):
    assert_same_predictions(*real)


def test_training_goes_the_released_program_s_way(generated):
    """Compare three steps from equal weights, with its optimizer and its loss."""
    graphs, y, _ = generated
    model = CGCNNRegressor.from_preset("released", featurizer=None, random_state=0)
    model.set_params(early_stopping=False, max_epochs=1, warm_start=True)
    model.fit(graphs, y).net_.module_.double()
    plain = PlainProgram(1, dropout=0.0).take_weights(model.net_.module_).train()
    steps = torch.optim.SGD(plain.parameters(), 0.01, momentum=0.9)
    target = torch.tensor((y - y.mean()) / y.std())
    features = plain_input(graphs)
    for _ in range(3):
        loss = nn.functional.mse_loss(plain(*features)[:, 0], target)
        steps.zero_grad()
        loss.backward()
        steps.step()
    model.set_params(max_epochs=3, batch_size=len(graphs)).fit(graphs, y)
    ours = model.net_.module_
    pairs = [
        (ours.embedding, plain.embedding),
        (ours.readout.hidden[0], plain.hidden),
        (ours.readout.output, plain.output),
    ]
    for conv, layer in zip(ours.convs, plain.layers, strict=True):
        pairs += [(conv.linear, layer.full), (conv.edge_norm, layer.norm_of_edges)]
    for found, expected in pairs:
        # Single precision, as for the targets.
        torch.testing.assert_close(
            found.weight, expected.weight, rtol=0, atol=1e-6, check_dtype=False
        )


def test_the_released_program_s_recipe():
    model = CGCNNRegressor.from_preset("released")
    assert (model.optimizer, model.lr, model.weight_decay) == ("sgd", 0.01, 0.0)
    assert (model.loss, model.dropout) == ("squared_error", 0.0)
    assert (model.max_epochs, model.batch_size) == (30, 256)
    classifier = CGCNNClassifier.from_preset("released", n_conv_layers=4)
    assert (classifier.dropout, classifier.n_conv_layers) == (0.5, 4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("estimator", [CGCNNRegressor, CGCNNClassifier])
def test_a_preset_is_an_estimator_like_any_other(ionic, estimator, name):
    # Enough steps for plain SGD on sixty crystals.
    model = estimator.from_preset(name, max_epochs=40, batch_size=16, random_state=0)
    y = ionic.target if estimator is CGCNNRegressor else ionic.target > -6
    assert repr(clone(model)) == repr(model)
    # Predicting the same value for all crystals scores 0, or 0.55.
    least = 0.5 if estimator is CGCNNRegressor else 0.75
    assert model.fit(ionic.data, y).score(ionic.data, y) > least
    one, two = (clone(model).set_params(max_epochs=2) for _ in range(2))
    one.fit(ionic.data, y), two.fit(ionic.data, y)
    np.testing.assert_array_equal(one.predict(ionic.data), two.predict(ionic.data))


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_names_parameters_of_the_estimators(name):
    signature = inspect.signature(CGCNNRegressor).parameters
    assert set(preset(name)) <= set(signature)
    signature = inspect.signature(CGCNNClassifier).parameters
    assert set(preset(name, classification=True)) <= set(signature)


def test_a_preset_is_not_changed_by_what_is_made_of_it():
    model = CGCNNRegressor.from_preset("released")
    model.featurizer.set_params(cutoff=4.0)
    assert CGCNNRegressor.from_preset("released").featurizer.cutoff == 8.0


def test_presets_that_there_are_not():
    with pytest.raises(
        ValueError, match=r"name=.* is not a preset; choose one of .*'paper_eq4'"
    ):
        CGCNNRegressor.from_preset("paper")
    with pytest.raises(ValueError, match="no search for 'released'"):
        search_space("released")
    with pytest.raises(TypeError, match="n_conv"):
        CGCNNRegressor.from_preset("released", n_conv=3)


# The paper's search


@pytest.mark.parametrize("name", ["paper_eq4", "paper_eq5"])
@pytest.mark.parametrize("estimator", [CGCNNRegressor, CGCNNClassifier])
def test_the_paper_s_search(ionic, estimator, name):
    model = estimator.from_preset(name, max_epochs=2, random_state=0)
    search = RandomizedSearchCV(
        model,
        search_space(name),
        n_iter=6,
        cv=ShuffleSplit(1, test_size=0.25, random_state=0),
        random_state=0,
        error_score="raise",
        n_jobs=2,
    )
    y = ionic.target if estimator is CGCNNRegressor else ionic.target > -8
    search.fit((model.featurizer or CrystalGraphFeaturizer()).transform(ionic.data), y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_the_paper_s_search_space():
    on_sites, on_crystals = search_space("paper_eq4")
    assert on_sites["n_hidden_layers"] == [1, 2, 3, 4]
    assert on_crystals["n_hidden_layers"] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(
        np.log(np.array(on_crystals["weight_decay"]) / 2), [-6, -4, -2, 0]
    )
    scales = [each.scale for [each] in on_crystals["callbacks"]]
    np.testing.assert_allclose(np.log(scales), [-8, -6, -4, -2])
    np.testing.assert_allclose(np.log(on_crystals["lr"]), range(-8, -2))
    assert set(search_space("paper_eq5")[0]) == {"n_conv_layers", "weight_decay", "lr"}


# Weights from a Gaussian


def drawn(ionic, scale=0.05, **params):
    """Fit a model whose weights hardly change from their initial values."""
    params = {"random_state": 0, "lr": 1e-12, "weight_decay": 0.0, **params}
    model = CGCNNRegressor(
        max_epochs=1, callbacks=[GaussianWeights(scale)], optimizer="sgd", **params
    )
    return model.fit(ionic.data, ionic.target)


def weights(model):
    maps = [m for m in model.net_.module_.modules() if isinstance(m, nn.Linear)]
    return torch.cat([each.weight.flatten() for each in maps]).detach()


def test_first_weights_are_gaussian(ionic):
    state = torch.get_rng_state()
    found = weights(drawn(ionic)) / 0.05
    assert abs(found.mean()) < 0.02
    assert abs(found.std() - 1) < 0.02
    assert abs((found.abs() < 1).float().mean() - 0.683) < 0.02
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found, weights(drawn(ionic)) / 0.05)
    assert not torch.equal(found, weights(drawn(ionic, random_state=1)) / 0.05)


@pytest.mark.parametrize("scale", [-1.0, 0, np.nan, "wide", None])
def test_scales_that_are_none(ionic, scale):
    model = CGCNNRegressor(callbacks=[GaussianWeights(scale)], max_epochs=1)
    with pytest.raises(ValueError, match=r"scale=.*pass a positive, finite number"):
        model.fit(ionic.data, ionic.target)
    assert not hasattr(model, "net_")


class Interrupt(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_an_interrupted_start_leaves_nothing(ionic):
    model = CGCNNRegressor(callbacks=[Interrupt()], early_stopping=True, max_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(ionic.data, ionic.target)
    assert not hasattr(model, "net_")


def test_weights_that_were_trained_stay(ionic):
    model = drawn(ionic, warm_start=True)
    before = weights(model)
    model.set_params(random_state=1).fit(ionic.data, ionic.target)
    torch.testing.assert_close(weights(model), before, rtol=0, atol=1e-6)
    model.set_params(warm_start=False).partial_fit(ionic.data, ionic.target)
    model.partial_fit(ionic.data, ionic.target)
    torch.testing.assert_close(weights(model), before, rtol=0, atol=1e-6)
