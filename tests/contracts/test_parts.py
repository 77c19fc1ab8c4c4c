"""Every part that a network may be made of trains, is searched, pickles, and keeps the
invariances of the whole.
"""

import copy
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Element
from sklearn.model_selection import GridSearchCV

from helpers import EQ_5
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import StructureError
from sklearn_cgcnn.graphs import one_hot_site_features
from sklearn_cgcnn.nn import (
    Conv,
    CrystalReadout,
    GaussianBasis,
    OneHotBasis,
    Pooling,
    SiteFeatures,
)


class MeanConv(Conv):
    """A user's own convolution: the mean over the neighbors, added."""

    def __init__(self, n_channels_in, n_channels, n_edge_features, norm, activation):
        super().__init__(n_channels_in, n_channels, n_edge_features, norm, activation)
        self.linear = torch.nn.Linear(n_channels + n_edge_features, n_channels)

    def forward(self, sites, batch):
        center, neighbor = batch.edge_index
        messages = torch.cat([sites[neighbor], batch.edge_features], dim=1)
        total = sites.new_zeros(len(sites), messages.shape[1])
        total = total.index_add(0, center, messages * batch.edge_weights[:, None])
        count = sites.new_zeros(len(sites)).index_add(0, center, batch.edge_weights)
        return sites + self.activation(self.linear(total / count[:, None]))


class SoftMaxPooling(Pooling):
    """A user's own pooling: a smooth maximum over the sites."""

    def forward(self, layers, batch):
        sites = layers[-1]
        weights = sites.exp() * batch.multiplicity[:, None]
        zeros = sites.new_zeros(len(batch), sites.shape[1])
        total = zeros.index_add(0, batch.crystal_index, weights * sites)
        return total / zeros.index_add(0, batch.crystal_index, weights)


class BoundedReadout(CrystalReadout):
    """A user's own readout: bounded by ±3 standard deviations."""

    def forward(self, *args):
        return 3 * torch.tanh(super().forward(*args) / 3)


class Scale(torch.nn.Module):
    """A user's own norm: only a scale."""

    def __init__(self, n_channels, start=0.1):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((n_channels,), start))

    def forward(self, rows, counts):
        return rows * self.weight


def one_minus_exp(values):
    """A user's own activation."""
    return 1 - torch.exp(-values.abs())


ELEMENTS = [Element.from_Z(number) for number in range(1, 104)]
FRAME = pd.DataFrame(
    [[e.row / 4, e.group / 9, e.Z / 50] for e in ELEMENTS],
    index=[e.symbol for e in ELEMENTS],
)
SLOW = {"lr": 3e-3}  # without a norm, activations are large at first
PARTS = {
    "Eq. 5": EQ_5,
    "Eq. 5 as printed": {**EQ_5, "norm": None, **SLOW},
    "Eq. 4": {"conv": "shared"},
    "no norm": {"norm": None, **SLOW},
    "Gaussians": {"edge_basis": "gaussian"},
    "embedded distances, Eq. 5": {**EQ_5, "edge_basis": "embedded"},
    "Eq. 4 as printed": {"conv": "shared", "norm": None, **SLOW},
    "own conv": {"conv": MeanConv},
    "all layers": {"pooling": "all_layers"},
    "all layers, Eq. 4": {"conv": "shared", "pooling": "all_layers"},
    "own pooling": {"pooling": SoftMaxPooling},
    "site readout": {"readout": "site"},
    "site readout, deep": {"readout": "site", "n_hidden_layers": 3, "dropout": 0.1},
    "site readout, linear": {"readout": "site", "n_hidden_layers": 0},
    "deep readout": {"n_hidden_layers": 4, "n_hidden_channels": 32},
    "own readout": {"readout": BoundedReadout},
    "depth and width": {"n_conv_layers": 5, "n_site_channels": 20},
    "two properties": {"site_features": ("group", "period")},
    "three properties": {"site_features": ["group", "period", "electronegativity"]},
    "learned": {"site_features": "learned"},
    "frame": {"site_features": FRAME},
    "array": {"site_features": np.eye(104)[:, 1:]},
    "own features": {
        "site_features": SiteFeatures(torch.tensor(one_hot_site_features(["group"])))
    },
    "one-hot edges": {"edge_basis": "one-hot"},
    "own edges": {"edge_basis": GaussianBasis(stop=6.0, step=0.5)},
    "edges without features": {"edge_basis": None},
    "own norm": {"norm": Scale},
    "relu": {"activation": "relu"},
    "softplus": {"activation": "softplus"},
    "tanh": {"activation": "tanh"},
    "identity": {"activation": "identity"},
    "activation by class": {"activation": torch.nn.PReLU},
    "activation by instance": {"activation": torch.nn.ELU(0.5)},
    "activation by function": {"activation": one_minus_exp},
}
every_part = pytest.mark.parametrize("part", PARTS)


def make_model(part, **params):
    """A regressor with one part that is not the default."""
    return CGCNNRegressor(**{"random_state": 0, **params, **PARTS[part]})


def assert_unmoved(model, structures, tolerance):
    """Check relabeling, another cell, and being alone, in double precision."""
    model.net_.module_.double()
    before = model.predict(structures)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(each)) for each in structures]
    moved = [
        type(each).from_sites([each[i] for i in order])
        for each, order in zip(structures, orders, strict=True)
    ]
    cells = [each.make_supercell([[1, 1, 0], [0, 2, 0], [0, 0, 1]]) for each in moved]
    atol = tolerance * model.target_scale_.item()
    np.testing.assert_allclose(model.predict(cells), before, rtol=0, atol=atol)
    alone = [model.predict([each])[0] for each in structures[:10]]
    np.testing.assert_allclose(alone, before[:10], rtol=0, atol=atol)
    model.net_.module_.float()
    assert np.ptp(before) > 0.1 * model.target_scale_.item()


def assert_same_through_pickle(model, X):
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))


# Generated crystals


# numpy looks for a masked array's data in the frame that a search tries.
@pytest.mark.filterwarnings("ignore:DataFrame._data is deprecated")
@every_part
def test_a_search_chooses_among_parts(ionic, part):
    changed = {name: [value] for name, value in PARTS[part].items()}
    search = GridSearchCV(
        CGCNNRegressor(n_site_channels=8, max_epochs=2, random_state=0),
        [{}, changed],
        cv=2,
        error_score="raise",
    ).fit(ionic.data, ionic.target)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) == 2
    assert search.best_index_ == np.argmax(scores)


@every_part
def test_a_model_of_generated_crystals(ionic, irregular, part):
    structures = ionic.data + irregular
    target = np.concatenate([ionic.target, np.linspace(-12, -2, len(irregular))])
    # A baseline would have lowered the loss before.
    model = make_model(part, max_epochs=15, baseline=None).fit(structures, target)
    assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]
    assert_unmoved(model, structures, 1e-9)
    assert_same_through_pickle(model, structures)


@pytest.mark.parametrize("part", ["Eq. 4", "all layers", "site readout, deep"])
def test_a_classifier_is_made_of_the_same_parts(ionic, part):
    model = CGCNNClassifier(max_epochs=40, random_state=0, **PARTS[part])
    model.fit(ionic.data, ionic.prototype)
    assert model.score(ionic.data, ionic.prototype) > 0.7
    assert_same_through_pickle(model, ionic.data)


# Elements without features

SOME = {e.symbol: [e.X, e.row] for e in map(Element, ["Cs", "Cl", "Na", "F", "K"])}


def test_an_element_without_features(ionic):
    holds_other = [not {s.symbol for s in c.species} <= set(SOME) for c in ionic.data]
    model = CGCNNRegressor(site_features=SOME, max_epochs=1)
    known = [c for c, other in zip(ionic.data, holds_other, strict=True) if not other]
    first = holds_other.index(True)
    with pytest.raises(
        StructureError, match=rf"X\[{first}\] contains \w+, but site_feat"
    ):
        model.fit(ionic.data, ionic.target)
    assert not hasattr(model, "net_")
    model.fit(known, np.arange(len(known)))
    with pytest.raises(StructureError, match="site_features has no features") as caught:
        model.predict([*known, ionic.data[first]])
    assert caught.value.index == len(known)
    with pytest.raises(StructureError, match="but site_features has no features"):
        model.partial_fit(ionic.data, ionic.target)
    twin = pickle.loads(pickle.dumps(model))
    with pytest.raises(StructureError, match="but site_features has no features"):
        twin.predict(ionic.data)


def test_features_that_are_not_finite(ionic):
    table = one_hot_site_features(["group"])
    model = CGCNNRegressor(site_features=table, max_epochs=1)
    model.fit(ionic.data, ionic.target)
    structure = ionic.data[3]
    table[structure[0].specie.Z, 0] = np.inf
    model.predict([structure])  # the model keeps a table of its own
    with pytest.raises(StructureError, match=rf"contains {structure[0].specie}"):
        model.set_params(site_features=table).fit([structure], [1.0])


# Going on


@every_part
def test_going_on_needs_the_same_parts(ionic, part):
    model = make_model(part, max_epochs=1, warm_start=True)
    model.fit(ionic.data, ionic.target).fit(ionic.data, ionic.target)
    assert model.n_iter_ == 2
    other = {name: CGCNNRegressor().get_params()[name] for name in PARTS[part]}
    with pytest.raises(ValueError, match=rf"has ({'|'.join(other)})=.*set it back"):
        model.set_params(**other).fit(ionic.data, ionic.target)
    assert model.n_iter_ == 2


PAIRS = {
    "edge_basis": (GaussianBasis(0.0, 8.0, 0.2), GaussianBasis(0.0, 4.0, 0.1)),
    "one-hot edges": (OneHotBasis(), OneHotBasis(0.7, 9.2)),
    "site_features": (
        SiteFeatures(torch.tensor(one_hot_site_features(["group"]))),
        SiteFeatures(torch.tensor(one_hot_site_features(["group"])).roll(1, dims=1)),
    ),
    "activation": (torch.nn.ELU(0.1), torch.nn.ELU(1.5)),
    "activation by partial": (
        partial(torch.nn.functional.leaky_relu, negative_slope=0.1),
        partial(torch.nn.functional.leaky_relu, negative_slope=0.9),
    ),
    "norm": (partial(Scale, start=0.1), partial(Scale, start=0.01)),
    "dropout": (0.5, 0.25),
}


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("way", ["warm_start", "partial_fit"])
def test_going_on_compares_what_parts_hold(ionic, kind, way):
    name = {"one-hot edges": "edge_basis"}.get(kind, kind.split(" ")[0])
    first, other = PAIRS[kind]
    model = CGCNNRegressor(max_epochs=2, random_state=0, warm_start=True)
    model.set_params(**{name: first}).fit(ionic.data, ionic.target)
    go_on = model.fit if way == "warm_start" else model.partial_fit
    model.set_params(**{name: copy.deepcopy(first)})
    go_on(ionic.data, ionic.target)
    n_epochs, before = model.n_iter_, model.predict(ionic.data)
    assert_same_through_pickle(model, ionic.data)
    with pytest.raises(ValueError, match=f"has {name}=.*to start from a new network"):
        getattr(model.set_params(**{name: other}), go_on.__name__)(
            ionic.data, ionic.target
        )
    assert model.n_iter_ == n_epochs
    np.testing.assert_array_equal(model.predict(ionic.data), before)
    assert_same_through_pickle(model, ionic.data)


def test_going_on_takes_equal_numbers_for_the_same(ionic):
    model = CGCNNRegressor(max_epochs=1, warm_start=True, dropout=0.0, n_conv_layers=2)
    model.fit(ionic.data, ionic.target)
    model.set_params(dropout=0, n_conv_layers=np.int64(2)).fit(ionic.data, ionic.target)
    assert model.n_iter_ == 2


class Flat(CrystalReadout):
    def forward(self, *args):
        return super().forward(*args)[:, 0]


class OneOutput(CrystalReadout):
    def forward(self, *args):
        return super().forward(*args)[:, :1]


class BadConv(Conv):
    def forward(self, sites):
        return sites


class WidePooling(SoftMaxPooling):
    def forward(self, *args):
        return super().forward(*args).repeat(1, 2)


BAD = {
    "norm of rows alone": {"norm": torch.nn.LayerNorm},
    "activation of another shape": {"activation": torch.sum},
    "activation that is none": {"activation": int},
    "in place": {"activation": torch.nn.ReLU(inplace=True), "norm": None},
    "conv of sites alone": {"conv": BadConv},
    "pooling of another width": {"pooling": WidePooling},
    "flat readout": {"readout": Flat},
    "one output of two": {"readout": OneOutput},
}


@pytest.mark.parametrize("kind", BAD)
def test_a_part_that_does_not_work(ionic, kind):
    y = np.column_stack([ionic.target, -ionic.target])
    model = CGCNNRegressor(max_epochs=2, random_state=0).fit(ionic.data, y)
    before = model.predict(ionic.data)
    name = next(iter(BAD[kind]))
    state = vars(model.set_params(**BAD[kind])).copy()
    with pytest.raises((ValueError, TypeError), match=name):
        model.fit(ionic.data, y)
    assert vars(model) == state
    np.testing.assert_array_equal(model.predict(ionic.data), before)


def test_a_double_table_becomes_single(ionic):
    table = torch.tensor(one_hot_site_features(["group"]).astype(float))
    model = CGCNNRegressor(site_features=SiteFeatures(table), max_epochs=1)
    assert np.isfinite(model.fit(ionic.data, ionic.target).predict(ionic.data)).all()
    with pytest.raises(ValueError, match=r"table has shape \(3,\)"):
        SiteFeatures(torch.ones(3))


class Drawn(torch.nn.Module):
    """An activation that begins with a weight drawn at random."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(1))

    def forward(self, values):
        return self.weight * torch.nn.functional.softplus(values)


def test_an_activation_with_weights_is_drawn_by_the_seed(ionic):
    model = CGCNNRegressor(activation=Drawn, max_epochs=1, random_state=0)
    state = torch.get_rng_state()
    first = model.fit(ionic.data, ionic.target).predict(ionic.data)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    again = model.fit(ionic.data, ionic.target).predict(ionic.data)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", ["conv", "pooling", "readout"])
def test_a_class_that_is_no_part(ionic, name):
    model = CGCNNRegressor(**{name: torch.nn.Linear})
    with pytest.raises(
        TypeError, match=rf"{name}=Linear is not a subclass of .*nn\.\w+;"
    ):
        model.fit(ionic.data, ionic.target)


def test_a_site_readout_of_all_layers(ionic):
    model = CGCNNRegressor(readout="site", pooling="all_layers")
    with pytest.raises(ValueError, match=r"readout='site'.*set pooling='mean'"):
        model.fit(ionic.data, ionic.target)


# Real crystals


@pytest.fixture(scope="module")
def two_thousand(load_real):
    structures, energies = load_real(2000)
    graphs = CrystalGraphFeaturizer(n_jobs=2).transform(structures)
    return structures, graphs, energies


@every_part
def test_a_model_of_real_crystals(two_thousand, part):
    structures, graphs, energies = two_thousand
    model = make_model(part, max_epochs=4).fit(graphs[:1800], energies[:1800])
    assert model.score(graphs[1800:], energies[1800:]) > 0.3
    assert_unmoved(model, structures[:100], 1e-9)
    assert_same_through_pickle(model, graphs[:100])
