"""Beginning from the weights of a fitted model: fine-tuning that survives `clone`."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from helpers import SMALL, assert_same_weights, outputs, weights_of
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphSettingsError
from sklearn_cgcnn.graphs import VoronoiNeighbors
from sklearn_cgcnn.nn import GaussianBasis

OTHER_NETWORK = {
    "n_conv_layers": 2,
    "n_site_channels": 12,
    "n_hidden_channels": 10,
    "edge_basis": GaussianBasis(stop=7.0),
    "activation": "silu",
    "featurizer": CrystalGraphFeaturizer(max_neighbors=8),
    "max_epochs": 3,
    "random_state": 1,
}
# The weights that a training begins from, up to 1e-10.
STILL = {"lr": 1e-12, "weight_decay": 0.0, "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def fitted(ionic):
    # A baseline would be fitted to each new target.
    return CGCNNRegressor(**OTHER_NETWORK, baseline=None).fit(ionic.data, ionic.target)


@pytest.fixture(scope="module")
def frozen(fitted):
    return FrozenEstimator(fitted)


def test_network_graphs_and_weights_come_from_there(fitted, frozen, ionic):
    model = clone(CGCNNRegressor(pretrained=frozen, **STILL))
    y = 5 * ionic.target[:20] - 3
    model.fit(ionic.data[:20], y)
    before, after = weights_of(fitted), weights_of(model)
    assert before.keys() == after.keys()
    for name, _ in fitted.net_.module_.named_parameters():
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-9)
    settings = model.featurizer_.graph_settings()
    assert settings == fitted.featurizer_.graph_settings()
    # Targets are standardized anew.
    np.testing.assert_allclose(model.target_mean_, y.mean())
    assert model.n_iter_ == 1


def test_the_source_does_not_change(fitted, frozen, ionic):
    before = weights_of(fitted)
    model = CGCNNRegressor(pretrained=frozen, max_epochs=3, random_state=0)
    model.fit(ionic.data, ionic.target)
    for name, value in weights_of(fitted).items():
        assert torch.equal(value, before[name])


def test_cross_validation_is_fine_tuning_by_hand_on_each_fold(fitted, frozen, ionic):
    y = np.tanh(ionic.target)
    params = {"max_epochs": 2, "lr": 1e-3, "random_state": 0}
    folds = KFold(3, shuffle=True, random_state=0)
    model = CGCNNRegressor(pretrained=frozen, **params)
    scores = cross_val_score(model, ionic.data, y, cv=folds, error_score="raise")
    by_hand = []
    for train, test in folds.split(y):
        twin = copy.deepcopy(fitted).set_params(
            warm_start=True, featurizer=OTHER_NETWORK["featurizer"], **params
        )
        twin.fit([ionic.data[i] for i in train], y[train])
        by_hand.append(twin.score([ionic.data[i] for i in test], y[test]))
    np.testing.assert_array_equal(scores, by_hand)


def test_searches_pipelines_and_pickles_keep_the_weights(fitted, frozen, ionic):
    graphs = fitted.featurizer_.transform(ionic.data)
    model = CGCNNRegressor(pretrained=frozen, **STILL)
    search = GridSearchCV(model, {"freeze": [None, "convolutions"]}, cv=2)
    search.fit(graphs, ionic.target)
    pipeline = make_pipeline(clone(fitted.featurizer), clone(model))
    pipeline.fit(ionic.data, ionic.target)
    twin = pickle.loads(pickle.dumps(model)).fit(graphs, ionic.target)
    expected = weights_of(fitted)["convs.1.linear.weight"]
    for found in (search.best_estimator_, pipeline[-1], twin):
        weights = weights_of(found)["convs.1.linear.weight"]
        torch.testing.assert_close(weights, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["pipeline", "search", "frozen twice"])
def test_the_source_may_be_inside_another_estimator(fitted, ionic, kind):
    if kind == "pipeline":
        source = make_pipeline(CrystalGraphFeaturizer(), CGCNNRegressor(**SMALL))
        model = source.fit(ionic.data, ionic.target)[-1]
    elif kind == "search":
        source = GridSearchCV(CGCNNRegressor(**SMALL), {"lr": [0.01]}, cv=2)
        model = source.fit(ionic.data, ionic.target).best_estimator_
    else:
        source, model = FrozenEstimator(fitted), fitted
    tuned = CGCNNRegressor(pretrained=FrozenEstimator(source), **STILL)
    tuned.fit(ionic.data, ionic.target)
    name = "convs.0.linear.weight"
    torch.testing.assert_close(
        weights_of(tuned)[name], weights_of(model)[name], rtol=0, atol=1e-9
    )


def changed_entries(fitted, model):
    before, after = weights_of(fitted), weights_of(model)
    names = [name for name, _ in model.net_.module_.named_parameters()]
    return {
        name
        for name in names
        if before[name].shape != after[name].shape
        or not torch.allclose(before[name], after[name], rtol=0, atol=1e-9)
    }


OUTPUT = {"readout.output.weight", "readout.output.bias"}


def test_the_output_layer_is_redrawn_where_the_outputs_differ(fitted, frozen, ionic):
    y = np.stack([ionic.target, -ionic.target], axis=1)
    model = CGCNNRegressor(pretrained=frozen, **STILL).fit(ionic.data, y)
    assert changed_entries(fitted, model) == OUTPUT
    labels = ionic.prototype
    classifier = CGCNNClassifier(pretrained=frozen, **STILL).fit(ionic.data, labels)
    assert changed_entries(fitted, classifier) == OUTPUT
    again = CGCNNClassifier(pretrained=FrozenEstimator(classifier), **STILL)
    again.set_params(random_state=1)  # another seed, another output layer
    again.fit(ionic.data, labels)
    assert changed_entries(classifier, again) == set()
    others = np.char.add("x", labels.astype(str))
    again.fit(ionic.data, others)
    assert changed_entries(classifier, again) == OUTPUT
    back = clone(model).set_params(
        pretrained=FrozenEstimator(classifier), random_state=1
    )
    back.fit(ionic.data, np.stack([ionic.target] * len(classifier.classes_), axis=1))
    assert changed_entries(classifier, back) == OUTPUT


@pytest.mark.parametrize(
    "params",
    [
        {"n_conv_layers": 4},
        {"n_site_channels": 16},
        {"edge_basis": "one-hot"},
        {"activation": "relu"},
        {"site_features": ["group"]},
        {"readout": "site"},
    ],
    ids=str,
)
def test_a_parameter_set_to_something_else_is_refused(frozen, ionic, params):
    model = CGCNNRegressor(pretrained=frozen, **params)
    (name,) = params
    with pytest.raises(ValueError, match=rf"^{name}=.*weights of pretrained.*default"):
        model.fit(ionic.data, ionic.target)
    assert not hasattr(model, "net_")


def test_parameters_that_agree_are_accepted(frozen, ionic):
    params = {k: v for k, v in OTHER_NETWORK.items() if k not in STILL}
    model = CGCNNRegressor(pretrained=frozen, dropout=0.2, **params, **STILL)
    model.fit(ionic.data, ionic.target)
    assert model.net_.module_.readout.dropout.p == 0.2


def test_other_graphs_are_refused(frozen, ionic):
    own = CrystalGraphFeaturizer(connectivity=VoronoiNeighbors())
    model = CGCNNRegressor(pretrained=frozen, featurizer=own)
    with pytest.raises(GraphSettingsError, match=r"featurizer.*pretrained.*None"):
        model.fit(ionic.data, ionic.target)
    model = CGCNNRegressor(pretrained=frozen)
    with pytest.raises(GraphSettingsError, match="X holds graphs"):
        model.fit(CrystalGraphFeaturizer().transform(ionic.data), ionic.target)


def test_what_clone_would_empty_is_refused_with_the_remedy(fitted, ionic):
    with pytest.raises(TypeError, match=r"pretrained=FrozenEstimator\(model\)"):
        CGCNNRegressor(pretrained=fitted).fit(ionic.data, ionic.target)


def test_sources_without_weights_are_named(ionic):
    from sklearn.linear_model import Ridge

    unfitted = FrozenEstimator(CGCNNRegressor())
    with pytest.raises(ValueError, match="CGCNNRegressor that is not fitted; fit it"):
        CGCNNRegressor(pretrained=unfitted).fit(ionic.data, ionic.target)
    with pytest.raises(TypeError, match="pretrained is or holds a Ridge; pass a CGCNN"):
        CGCNNRegressor(pretrained=FrozenEstimator(Ridge())).fit(ionic.data, [0] * 60)
    search = FrozenEstimator(GridSearchCV(CGCNNRegressor(), {"lr": [1]}))
    with pytest.raises(
        ValueError, match=r"GridSearchCV without best_estimator_; fit it"
    ):
        CGCNNRegressor(pretrained=search).fit(ionic.data, ionic.target)


@pytest.mark.parametrize(
    ("freeze", "kept"),
    [
        (0, ["embedding"]),
        (1, ["embedding", "convs.0"]),
        (2, ["embedding", "convs.0", "convs.1"]),
        ("convolutions", ["embedding", "convs.0", "convs.1"]),
        (["convs.1.*", "*.bias"], ["convs.1", "readout.hidden.0.bias"]),
    ],
)
def test_frozen_layers_keep_their_weights(fitted, frozen, ionic, freeze, kept):
    model = CGCNNRegressor(pretrained=frozen, freeze=freeze, random_state=0)
    model.set_params(max_epochs=2).fit(ionic.data, ionic.target)
    before, after = weights_of(fitted), weights_of(model)
    for name in before:
        if any(name.startswith(each) for each in kept):
            assert torch.equal(before[name], after[name]), name
    changed = changed_entries(fitted, model)
    assert "readout.output.weight" in changed
    assert ("convs.1.linear.weight" in changed) == ("convs.1" not in kept)
    assert all(each.requires_grad for each in model.net_.module_.parameters())


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (5, "^freeze=5: the network has 2 convolutions"),
        (["conv0"], r"^freeze=\['conv0'\]: no parameter has a name like 'conv0'"),
    ],
)
def test_layers_that_do_not_exist_are_named(frozen, ionic, freeze, message):
    model = CGCNNRegressor(pretrained=frozen, freeze=freeze)
    with pytest.raises(ValueError, match=message):
        model.fit(ionic.data, ionic.target)
    assert not hasattr(model, "net_")


def test_partial_fit_and_warm_start_begin_there_too(fitted, frozen, ionic):
    once = CGCNNRegressor(pretrained=frozen, **STILL)
    once.partial_fit(ionic.data, ionic.target)
    assert changed_entries(fitted, once) == set()
    once.set_params(warm_start=True, lr=0.01).fit(ionic.data, ionic.target)
    moved = weights_of(once)
    once.set_params(lr=1e-12).fit(ionic.data, ionic.target)
    for name, parameter in once.net_.module_.named_parameters():
        torch.testing.assert_close(parameter, moved[name], rtol=0, atol=1e-9)


def test_double_precision_is_inherited(fitted, ionic):
    source = copy.deepcopy(fitted)
    source.net_.module_.double()
    model = CGCNNRegressor(pretrained=FrozenEstimator(source), **STILL)
    model.partial_fit(ionic.data, ionic.target)
    assert next(model.net_.module_.parameters()).dtype == torch.float64


def test_the_same_seed_gives_the_same_model(frozen, ionic):
    first, second = (
        CGCNNRegressor(pretrained=frozen, max_epochs=2, random_state=3).fit(
            ionic.data, ionic.target
        )
        for _ in range(2)
    )
    assert_same_weights(first, second)
    assert np.isfinite(outputs(first, ionic.data)).all()
