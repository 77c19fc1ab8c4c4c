"""Fit and predict, as both estimators do."""

import gc
import weakref

import numpy as np
import pytest
import torch
from joblib import Parallel, cpu_count, delayed
from pymatgen.core import Lattice, Structure
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate

from helpers import CONSTANT, SMALL, assert_same_weights, outputs
from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._training import _streamed
from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.exceptions import (
    FailedCrystalsWarning,
    GraphSettingsError,
    StructureError,
)
from sklearn_cgcnn.nn import GaussianBasis, OneHotBasis


def test_structures_and_graphs_are_the_same_to_it(estimator, target, ionic, graphs):
    on_structures = clone(estimator).fit(ionic.data, target)
    on_graphs = clone(estimator).fit(graphs, target)
    expected = outputs(on_structures, ionic.data)
    np.testing.assert_array_equal(outputs(on_graphs, ionic.data), expected)
    np.testing.assert_array_equal(outputs(on_structures, graphs), expected)


def test_structures_are_featurized_as_in_fit(estimator, target, ionic):
    featurizer = CrystalGraphFeaturizer(max_neighbors=6, cutoff=5.0)
    graphs = featurizer.transform(ionic.data)
    on_graphs = clone(estimator).fit(graphs, target)
    assert on_graphs.featurizer_.graph_settings() == graphs.settings
    given = clone(estimator).set_params(featurizer=featurizer).fit(ionic.data, target)
    assert given.featurizer_ is not featurizer
    expected = outputs(given, graphs)
    np.testing.assert_array_equal(outputs(on_graphs, ionic.data), expected)


def test_graphs_of_other_settings_are_refused(estimator, target, ionic):
    graphs = CrystalGraphFeaturizer(max_neighbors=6).transform(ionic.data)
    with pytest.raises(GraphSettingsError, match="max_neighbors"):
        estimator.set_params(featurizer=CrystalGraphFeaturizer()).fit(graphs, target)
    estimator.set_params(featurizer=None).fit(ionic.data, target)
    with pytest.raises(GraphSettingsError, match="max_neighbors"):
        estimator.predict(graphs)


def test_a_structure_without_a_graph_is_named(estimator, target, ionic):
    structures = [structure.copy() for structure in ionic.data]
    structures[17].replace_species({structures[17].species[0]: "Rf"})
    with pytest.raises(StructureError, match=r"X\[17\] \(.*Rf"):
        estimator.fit(structures, target)


def test_same_seed_same_model(estimator, target, ionic):
    estimator.set_params(dropout=0.2, early_stopping=True)
    first = outputs(clone(estimator).fit(ionic.data, target), ionic.data)
    torch.rand(1)  # what the caller draws makes no difference
    second = outputs(clone(estimator).fit(ionic.data, target), ionic.data)
    np.testing.assert_array_equal(first, second)
    estimator.set_params(random_state=1)
    third = outputs(estimator.fit(ionic.data, target), ionic.data)
    assert not np.array_equal(first, third)


def test_global_random_states_are_left_alone(estimator, target, ionic):
    of_torch = torch.get_rng_state()
    of_numpy = np.random.get_state()[1].copy()  # noqa: NPY002
    estimator.set_params(dropout=0.2, early_stopping=True).fit(ionic.data, target)
    assert torch.equal(torch.get_rng_state(), of_torch)
    assert np.array_equal(np.random.get_state()[1], of_numpy)  # noqa: NPY002


def test_fitting_again_starts_again(estimator, target, ionic):
    once = outputs(clone(estimator).fit(ionic.data, target), ionic.data)
    estimator.fit(ionic.data[:30], target[:30])
    again = outputs(estimator.fit(ionic.data, target), ionic.data)
    np.testing.assert_array_equal(again, once)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 3


def test_changing_a_parameter_after_fit_changes_no_prediction(estimator, target, ionic):
    before = outputs(estimator.fit(ionic.data, target), ionic.data)
    estimator.set_params(n_conv_layers=4, n_site_channels=5, edge_basis="one-hot")
    np.testing.assert_array_equal(outputs(estimator, ionic.data), before)


@pytest.mark.parametrize("n_crystals", [1, 2])
def test_the_smallest_training_sets(ionic, n_crystals):
    # A single crystal of a single site: no spread to normalize by anywhere.
    polonium = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])
    X = [polonium, ionic.data[0]][:n_crystals]
    model = CGCNNRegressor(**SMALL).fit(X, np.arange(n_crystals))
    assert np.isfinite(model.predict(X)).all()


def test_crystals_without_edges(ionic):
    featurizer = CrystalGraphFeaturizer(cutoff=0.5, isolated_sites="keep")
    model = CGCNNRegressor(featurizer=featurizer, **SMALL)
    model.fit(ionic.data, ionic.target)
    assert np.isfinite(model.predict(ionic.data)).all()


@pytest.mark.parametrize(
    "edge_basis", ["one-hot", GaussianBasis(stop=6.0), OneHotBasis()]
)
def test_edge_bases_by_name_or_instance(estimator, target, ionic, edge_basis):
    estimator.set_params(edge_basis=edge_basis).fit(ionic.data, target)
    assert estimator.get_params()["edge_basis"] is edge_basis
    assert estimator.net_.module_.edge_basis is not edge_basis
    assert np.isfinite(outputs(estimator, ionic.data)).all()


def test_a_fit_that_fails_leaves_the_model_before_it(estimator, target, ionic):
    before = outputs(estimator.fit(ionic.data, target), ionic.data)
    broken = [structure.copy() for structure in ionic.data]
    broken[3].replace_species({broken[3].species[0]: "Rf"})
    other = target[::-1] if target.dtype.kind == "U" else 1000 * target
    for method in (estimator.fit, estimator.partial_fit):
        with pytest.raises(StructureError, match=r"X\[3\]"):
            method(broken, other)
        np.testing.assert_array_equal(outputs(estimator, ionic.data), before)
    with pytest.raises(ValueError, match="sample_weight"):
        estimator.fit(ionic.data, other, sample_weight=np.full(60, -1))
    np.testing.assert_array_equal(outputs(estimator, ionic.data), before)


def test_a_first_fit_that_fails_leaves_the_model_unfitted(estimator, target, ionic):
    with pytest.raises(StructureError):
        estimator.fit([Structure(Lattice.cubic(3), ["Rf"], [[0] * 3])] * 60, target)
    with pytest.raises(NotFittedError):
        estimator.predict(ionic.data)


@pytest.mark.parametrize(
    "name",
    [
        "n_conv_layers",
        "n_site_channels",
        "n_hidden_layers",
        "n_hidden_channels",
        "max_epochs",
        "batch_size",
        "n_iter_no_change",
        "random_state",
        "n_jobs",
        "verbose",
    ],
)
def test_integers_of_numpy_are_integers(ionic, name):
    value = np.int64({"verbose": 0, "n_jobs": 1}.get(name, 2))
    model = CGCNNRegressor(**{**SMALL, name: value, "early_stopping": True})
    assert np.isfinite(model.fit(ionic.data, ionic.target).predict(ionic.data)).all()


def test_every_parameter_of_the_network_reaches_it(ionic):
    model = CGCNNRegressor(
        n_conv_layers=2,
        n_site_channels=7,
        n_hidden_layers=3,
        n_hidden_channels=5,
        dropout=0.25,
        weight_decay=0.125,
        lr=0.003,
        batch_size=9,
        max_epochs=1,
        n_jobs=1,
        verbose=0,
    ).fit(ionic.data, ionic.target)
    module, net = model.net_.module_, model.net_
    assert len(module.convs) == 2
    assert module.embedding.out_features == 7
    assert [layer.out_features for layer in module.readout.hidden] == [5, 5, 5]
    assert module.readout.dropout.p == 0.25
    assert net.optimizer_.param_groups[0]["weight_decay"] == 0.125
    assert max(net.history[-1, "batches", :, "train_batch_size"]) <= 9
    assert model.featurizer_.n_jobs == 1


def test_threads_do_not_disturb_each_other(estimator, target, graphs):
    estimator.set_params(dropout=0.3)
    alone = outputs(clone(estimator).fit(graphs, target), graphs)
    state = torch.get_rng_state()
    together = Parallel(n_jobs=4, backend="threading")(
        delayed(clone(estimator).fit)(graphs, target) for _ in range(8)
    )
    for model in together:
        np.testing.assert_array_equal(outputs(model, graphs), alone)
    assert torch.equal(torch.get_rng_state(), state)


def test_workers_share_the_cores():
    """Each worker of joblib computes with its share of them, not with all."""
    threads = Parallel(n_jobs=2)(delayed(torch.get_num_threads)() for _ in range(2))
    assert max(threads) <= max(1, cpu_count() // 2)


def test_rounded_products_change_little(ionic):
    """Where a processor cannot round, it changes nothing."""
    # Until little is left to learn: before, small differences grow and shrink again.
    model = CGCNNRegressor(max_epochs=60, random_state=0)
    exact = model.fit(ionic.data, ionic.target).predict(ionic.data)
    try:
        torch.set_float32_matmul_precision("medium")
        rounded = model.predict(ionic.data)
        trained = clone(model).fit(ionic.data, ionic.target)
    finally:
        torch.set_float32_matmul_precision("highest")
    scale = ionic.target.std()
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=0.02 * scale)
    gap = trained.score(ionic.data, ionic.target) - model.score(
        ionic.data, ionic.target
    )
    assert abs(gap) < 0.01


def test_crystals_of_weight_zero_are_as_if_not_there(
    estimator_class, target, ionic, graphs
):
    weight = np.ones(60)
    weight[40:] = 0
    model = estimator_class(**SMALL)
    weighted = clone(model).fit(graphs, target, sample_weight=weight)
    assert set(target[:40]) == set(target) or estimator_class is CGCNNRegressor
    without = clone(model).fit(graphs[:40], target[:40])
    assert_same_weights(weighted, without)
    on_structures = clone(model).fit(ionic.data, target, sample_weight=weight)
    assert_same_weights(weighted, on_structures)


def test_crystals_of_weight_zero_do_not_count_as_many_crystals():
    X, y = make_ionic_crystals(130, random_state=0, return_X_y=True)
    weight = np.repeat([1.0, 0.0], [50, 80])
    model = CGCNNRegressor(**SMALL).fit(X, y, sample_weight=weight)
    alone = CGCNNRegressor(**SMALL).fit(X[:50], y[:50])
    assert_same_weights(model, alone)
    # Nor do those that cannot become graphs.
    broken = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    model = CGCNNRegressor(**SMALL, on_error="collect")
    with pytest.warns(FailedCrystalsWarning):
        model.fit([*X[:50], *[broken] * 80], y)
    assert_same_weights(model, alone)


def test_a_common_factor_of_the_weights_makes_no_difference(
    estimator_class, target, graphs
):
    weight = np.linspace(0.5, 2, 60)
    once = estimator_class(**SMALL).fit(graphs, target, sample_weight=weight)
    again = estimator_class(**SMALL).fit(graphs, target, sample_weight=4 * weight)
    assert_same_weights(once, again)


def test_weights_are_routed(graphs, ionic):
    weight = np.linspace(0.1, 1, 60)
    with config_context(enable_metadata_routing=True):
        model = CGCNNRegressor(**SMALL).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        routed = cross_validate(
            model,
            graphs,
            ionic.target,
            cv=2,
            params={"sample_weight": weight},
            return_estimator=True,
            return_indices=True,
        )
    train = routed["indices"]["train"][0]
    by_hand = clone(model).fit(
        graphs[train], ionic.target[train], sample_weight=weight[train]
    )
    assert_same_weights(routed["estimator"][0], by_hand)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_fitted_model_holds_no_crystals(graphs, ionic, early_stopping, monkeypatch):
    references = []

    class Watched(PackedDataset):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            references.append(weakref.ref(self))

    monkeypatch.setattr(_streamed, "PackedDataset", Watched)
    model = CGCNNRegressor(early_stopping=early_stopping, **SMALL)
    model.fit(graphs, ionic.target)
    gc.collect()
    assert len(references) == 1 + early_stopping
    assert [reference() for reference in references] == [None] * len(references)


def test_a_worker_finds_the_same(estimator_class, target, graphs):
    model = estimator_class(**CONSTANT)
    here = clone(model).fit(graphs, target)
    (there,) = Parallel(n_jobs=2)([delayed(clone(model).fit)(graphs, target)])
    assert_same_weights(there, here)
