"""Fitting and predicting, as a user meets them."""

import numpy as np
import pytest
import skorch
import torch
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import mean_absolute_error

from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn.datasets import make_ionic_crystals
from sklearn_cgcnn.exceptions import GraphSettingsError, StructureError
from sklearn_cgcnn.nn import GaussianBasis, OneHotBasis

SMALL = {
    "n_conv_layers": 1,
    "n_site_channels": 8,
    "n_hidden_channels": 8,
    "max_epochs": 3,
    "random_state": 0,
}


@pytest.fixture(params=[CGCNNRegressor, CGCNNClassifier])
def estimator(request):
    return request.param(**SMALL)


@pytest.fixture
def target(estimator, ionic):
    return ionic.target if isinstance(estimator, CGCNNRegressor) else ionic.prototype


def outputs(estimator, X):
    is_regressor = isinstance(estimator, CGCNNRegressor)
    return estimator.predict(X) if is_regressor else estimator.predict_proba(X)


def test_regressor_learns_lattice_energies():
    train = make_ionic_crystals(200, random_state=1)
    test = make_ionic_crystals(50, random_state=2)
    model = CGCNNRegressor(max_epochs=40, random_state=0).fit(train.data, train.target)
    dummy = DummyRegressor().fit(train.data, train.target)
    error = mean_absolute_error(test.target, model.predict(test.data))
    baseline = mean_absolute_error(test.target, dummy.predict(test.data))
    assert error < 0.25 * baseline
    assert model.score(test.data, test.target) > 0.9


def test_classifier_learns_prototypes():
    train = make_ionic_crystals(200, random_state=1)
    test = make_ionic_crystals(50, random_state=2)
    model = CGCNNClassifier(max_epochs=20, random_state=0)
    model.fit(train.data, train.prototype)
    assert model.classes_.tolist() == sorted(set(train.prototype))
    assert model.score(test.data, test.prototype) > 0.95
    probability = model.predict_proba(test.data)
    assert probability.shape == (50, len(model.classes_))
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
    predicted = model.classes_[probability.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(test.data), predicted)


@pytest.mark.parametrize("labels", [[False, True], [3, -1], ["no", "yes"], list("abc")])
def test_labels_come_back_as_they_went_in(ionic, labels):
    y = np.array([labels[i % len(labels)] for i in range(60)])
    model = CGCNNClassifier(**SMALL).fit(ionic.data, y)
    predicted = model.predict(ionic.data)
    assert predicted.dtype == y.dtype
    assert set(predicted) <= set(labels)


def test_structures_and_graphs_are_the_same_to_it(estimator, target, ionic):
    graphs = CrystalGraphFeaturizer().transform(ionic.data)
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


def test_scale_and_shift_of_the_target_carry_over(ionic):
    plain = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    shifted = CGCNNRegressor(**SMALL).fit(ionic.data, 1e6 + 1e3 * ionic.target)
    np.testing.assert_allclose(
        shifted.predict(ionic.data), 1e6 + 1e3 * plain.predict(ionic.data), atol=0.1
    )


def test_a_constant_target_is_predicted(ionic):
    model = CGCNNRegressor(**SMALL).fit(ionic.data, np.full(60, -0.1))
    np.testing.assert_allclose(model.predict(ionic.data), -0.1, rtol=1e-12)


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


HELD_OUT = []


class CatchHeldOut(skorch.callbacks.Callback):
    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        HELD_OUT[:] = [dataset_valid]


def test_early_stopping_returns_to_its_best_epoch(estimator, target, ionic):
    HELD_OUT.clear()
    estimator.set_params(
        callbacks=[CatchHeldOut()],
        early_stopping=True,
        validation_fraction=0.3,
        n_iter_no_change=4,
        max_epochs=200,
        lr=0.3,
        lr_schedule="constant",
    )
    estimator.fit(ionic.data, target)
    scores = np.array(estimator.validation_scores_)
    assert estimator.n_iter_ == len(scores) < 200
    # It stopped four epochs after the best one...
    assert scores.argmax() == len(scores) - 1 - 4
    # ...and holds its weights, not the last ones.
    (valid,) = HELD_OUT
    net = estimator.net_
    predicted = net.predict_batches(valid)
    loss = net.criterion_(predicted, valid.targets).mean().item()
    assert loss == pytest.approx(-scores.max(), rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_early_stopping_holds_out_every_class(ionic, seed):
    y = np.where(np.arange(60) < 58, "common", "rare")
    HELD_OUT.clear()
    model = CGCNNClassifier(**SMALL).set_params(
        callbacks=[CatchHeldOut()],
        early_stopping=True,
        validation_fraction=0.5,
        random_state=seed,
    )
    model.fit(ionic.data, y)
    (valid,) = HELD_OUT
    assert np.bincount(valid.targets).tolist() == [29, 1]


@pytest.mark.parametrize(("n_crystals", "fraction"), [(1, 0.1), (6, 0.1), (3, 0.99)])
def test_what_cannot_be_held_out_is_named(ionic, n_crystals, fraction):
    model = CGCNNRegressor(early_stopping=True, validation_fraction=fraction, **SMALL)
    y = np.arange(n_crystals)
    if n_crystals == 6:
        model = CGCNNClassifier(early_stopping=True, **SMALL)
    with pytest.raises(ValueError, match=f"validation_fraction={fraction} of"):
        model.fit(ionic.data[:n_crystals], y)


def test_without_early_stopping_nothing_is_held_out(estimator, target, ionic):
    estimator.fit(ionic.data, target)
    assert estimator.validation_scores_ is None
    sizes = estimator.net_.history[-1, "batches", :, "train_batch_size"]
    assert sum(sizes) == 60


@pytest.mark.parametrize("max_epochs", [1, 2, 7])
def test_learning_rate_rises_and_falls_once(ionic, max_epochs):
    rates = []

    class Spy(torch.optim.AdamW):
        def step(self, *args, **kwargs):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*args, **kwargs)

    from sklearn_cgcnn._training import _recipe

    model = CGCNNRegressor(**SMALL).set_params(
        max_epochs=max_epochs, batch_size=6, lr=0.02
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_recipe.OPTIMIZERS, "adamw", (Spy, {}))
        model.fit(ionic.data, ionic.target)
    assert len(rates) == 10 * max_epochs
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(0.02, rel=0.02)
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] < 1e-4 * rates[peak]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("lr_schedule", ["one_cycle", "constant"])
def test_every_optimizer_lowers_the_loss(ionic, optimizer, lr_schedule):
    model = CGCNNRegressor(**SMALL).set_params(
        optimizer=optimizer, lr_schedule=lr_schedule, max_epochs=15
    )
    curve = model.fit(ionic.data, ionic.target).loss_curve_
    assert curve[-1] < 0.7 * curve[0]


@pytest.mark.parametrize("loss", ["absolute_error", "squared_error", "huber"])
def test_every_loss_is_what_its_name_says(ionic, loss):
    model = CGCNNRegressor(loss=loss, **SMALL).fit(ionic.data, ionic.target)
    difference = torch.tensor([[0.5], [-3.0]])
    expected = {
        "absolute_error": 1.75,
        "squared_error": (0.25 + 9) / 2,
        "huber": (0.125 + 2.5) / 2,
    }
    value = model.net_.criterion_(difference, torch.zeros(2, 1)).mean().item()
    assert value == pytest.approx(expected[loss])


@pytest.mark.parametrize(
    "edge_basis", ["one-hot", GaussianBasis(stop=6.0), OneHotBasis()]
)
def test_edge_bases_by_name_or_instance(estimator, target, ionic, edge_basis):
    estimator.set_params(edge_basis=edge_basis).fit(ionic.data, target)
    assert estimator.get_params()["edge_basis"] is edge_basis
    assert estimator.net_.module_.edge_basis is not edge_basis
    assert np.isfinite(outputs(estimator, ionic.data)).all()


@pytest.mark.parametrize(
    "params",
    [
        {"n_conv_layers": 0},
        {"n_site_channels": 2.0},
        {"n_hidden_layers": -1},
        {"dropout": 1.0},
        {"edge_basis": "bessel"},
        {"optimizer": "lion"},
        {"lr": 0.0},
        {"lr_schedule": "cosine"},
        {"weight_decay": -0.1},
        {"max_epochs": 0},
        {"batch_size": 0},
        {"early_stopping": "yes"},
        {"validation_fraction": 1.0},
        {"n_iter_no_change": 0},
        {"featurizer": "default"},
    ],
    ids=str,
)
def test_impossible_parameters_are_refused(estimator, target, ionic, params):
    (name,) = params
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        estimator.set_params(**params).fit(ionic.data, target)


def test_keyboard_interrupt_goes_through(estimator, target, ionic, monkeypatch):
    from sklearn_cgcnn._training._net import CrystalNet

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(CrystalNet, "infer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(ionic.data, target)


def test_progress_is_shown_when_asked_for(estimator, target, ionic, capsys):
    estimator.fit(ionic.data, target)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    estimator.set_params(verbose=1, early_stopping=True).fit(ionic.data, target)
    captured = capsys.readouterr()
    assert captured.out == ""
    for part in ("featurizing: 100%", "training: 100%", "train_loss=", "valid_loss="):
        assert part in captured.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for what is there")
def test_a_missing_gpu_is_named(estimator, target, ionic):
    with pytest.raises(ValueError, match=r"device='cuda'.*\"auto\" or \"cpu\""):
        estimator.set_params(device="cuda").fit(ionic.data, target)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_gpu_is_used_and_agrees(estimator, target, ionic):
    on_gpu = clone(estimator).fit(ionic.data, target)
    assert next(on_gpu.net_.module_.parameters()).is_cuda
    on_cpu = clone(estimator).set_params(device="cpu").fit(ionic.data, target)
    np.testing.assert_allclose(
        outputs(on_gpu, ionic.data), outputs(on_cpu, ionic.data), rtol=1e-2, atol=1e-2
    )


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


def test_threads_do_not_disturb_each_other(estimator, target, ionic):
    from joblib import Parallel, delayed

    estimator.set_params(dropout=0.3)
    graphs = CrystalGraphFeaturizer().transform(ionic.data)
    alone = outputs(clone(estimator).fit(graphs, target), graphs)
    state = torch.get_rng_state()
    together = Parallel(n_jobs=4, backend="threading")(
        delayed(clone(estimator).fit)(graphs, target) for _ in range(8)
    )
    for model in together:
        np.testing.assert_array_equal(outputs(model, graphs), alone)
    assert torch.equal(torch.get_rng_state(), state)


def test_statistics_are_those_of_the_trained_weights(ionic):
    """A short training leaves no trace of the first batches in the norms."""
    model = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    net = model.net_
    graphs = model.featurizer_.transform(ionic.data)
    batch, _ = PackedDataset(graphs)[torch.arange(60)]
    norm = net.module_.convs[0].site_norm
    seen = []
    norm.register_forward_pre_hook(lambda module, args: seen.append(args))
    net.module_.eval()
    net.infer(batch)
    rows, counts = seen[0]
    share = counts / counts.sum()
    torch.testing.assert_close(norm.running_mean, share @ rows, rtol=1e-4, atol=1e-5)


def test_a_single_step_is_taken_at_the_full_rate(ionic):
    model = CGCNNRegressor(**SMALL).set_params(max_epochs=1, batch_size=60)
    model.fit(ionic.data, ionic.target)
    assert model.net_.optimizer_.param_groups[0]["lr"] == model.lr


def test_workers_share_the_cores():
    """Each worker of joblib computes with its share of them, not with all."""
    from joblib import Parallel, cpu_count, delayed

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
