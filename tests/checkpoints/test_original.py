"""Loaded checkpoints predict what the original program predicts, and can be trained.

Predictions of published checkpoints are compared with those of the original program,
if these data are available. Predictions of random checkpoints are compared with a plain
implementation of the program, which works site by site and pads missing neighbors.
"""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch.nn.functional import softplus

from helpers import weights_of
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer
from sklearn_cgcnn.callbacks import TrainReadoutOnly
from sklearn_cgcnn.checkpoints import load_original_checkpoint
from sklearn_cgcnn.datasets import load_cif_directory
from sklearn_cgcnn.exceptions import CheckpointFormatError
from sklearn_cgcnn.model_files import load_model, save_model

PUBLISHED = [
    "band-gap",
    "bulk-moduli",
    "formation-energy-per-atom",
    "semi-metal-classification",
]

# Predictions


class PlainProgram:
    """The original program for one crystal at a time, in double precision."""

    def __init__(self, checkpoint, atom_init):
        self.state = {k: v.double() for k, v in checkpoint["state_dict"].items()}
        self.args, self.atom_init = checkpoint["args"], atom_init

    def linear(self, name, rows):
        return rows @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, name, rows):
        shifted = rows - self.state[f"{name}.running_mean"]
        scaled = shifted / torch.sqrt(self.state[f"{name}.running_var"] + 1e-5)
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def conv(self, name, v, edges):
        centers = torch.arange(41).double() * 0.2
        messages = []
        for i, neighbors in enumerate(edges):
            z = [
                torch.cat([v[i], v[j], torch.exp(-(((d - centers) / 0.2) ** 2))])
                for j, d in neighbors
            ]
            z = self.norm(f"{name}.bn1", self.linear(f"{name}.fc_full", torch.stack(z)))
            gate, core = z.chunk(2, dim=1)
            messages.append((torch.sigmoid(gate) * softplus(core)).sum(dim=0))
        return softplus(v + self.norm(f"{name}.bn2", torch.stack(messages)))

    def predict(self, structure):
        edges = padded_edges(structure)
        features = [self.atom_init[str(site.specie.Z)] for site in structure]
        v = self.linear("embedding", torch.tensor(features).double())
        for layer in range(self.args["n_conv"]):
            v = self.conv(f"convs.{layer}", v, edges)
        crystal = softplus(self.linear("conv_to_fc", softplus(v.mean(dim=0))))
        for layer in range(self.args["n_h"] - 1):
            crystal = softplus(self.linear(f"fcs.{layer}", crystal))
        output = self.linear("fc_out", crystal)
        if self.args["task"] == "classification":
            return output.softmax(dim=0)[1].item()
        return (output * 0.5 + 1.5).item()


def padded_edges(structure):
    """Neighbor and distance of the 12 edges of each site, with site 0 as padding."""
    edges = []
    for neighbors in structure.get_all_neighbors(8.0):
        nearest = sorted(neighbors, key=lambda each: each.nn_distance)[:12]
        real = [(each.index, each.nn_distance) for each in nearest]
        edges.append(real + [(0, 9.0)] * (12 - len(real)))
    return edges


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("estimator_class", "classification"),
    [(CGCNNRegressor, False), (CGCNNClassifier, True)],
)
@pytest.mark.parametrize("n_h", [1, 3])
def test_a_checkpoint_predicts_what_the_program_does(
    save,
    make_checkpoint,
    atom_init,
    crystals,
    estimator_class,
    classification,
    n_h,
    zipped,
):
    checkpoint = make_checkpoint(2, n_h, classification)
    model = load_original_checkpoint(save(checkpoint, zipped), atom_init)
    assert isinstance(model, estimator_class)
    program = PlainProgram(checkpoint, atom_init)
    expected = [program.predict(structure) for structure in crystals]
    assert np.std(expected) > 0.01
    actual = predict_numbers(model, crystals)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def predict_numbers(model, X):
    """Targets of a regressor, or probabilities of class 1."""
    if isinstance(model, CGCNNClassifier):
        return model.predict_proba(X)[:, 1]
    return model.predict(X)


@pytest.fixture(scope="module")
def cif_directories(original_folder):
    names = ["sample-regression", "sample-classification", "mp150"]
    return {name: load_cif_directory(original_folder / name) for name in names}


@pytest.mark.parametrize("crystal_set", ["sample", "mp150"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_checkpoints_predict_what_the_program_does(
    original_folder, cif_directories, name, crystal_set
):
    path = original_folder / "pre-trained" / f"{name}.pth.tar"
    atom_init = original_folder / "mp150" / "atom_init.json"
    model = load_original_checkpoint(path, atom_init)
    directory = crystal_set
    if crystal_set == "sample":
        classification = name == "semi-metal-classification"
        directory = f"sample-{'classification' if classification else 'regression'}"
    dataset = cif_directories[directory]
    predictions = original_folder / "predictions" / f"{name}.{crystal_set}.csv"
    expected = pd.read_csv(predictions, dtype={"id": str}).set_index("id")["prediction"]
    actual = predict_numbers(model, dataset.data)
    difference = abs(actual - expected[dataset.ids].to_numpy())
    assert len(difference) == (150 if crystal_set == "mp150" else 10)
    assert np.median(difference) <= 1e-5
    assert difference.max() <= 1e-4


def test_another_number_of_element_features_is_refused(tmp_path, save, make_checkpoint):
    path = save(make_checkpoint())
    message = "92 element features, but atom_init has 93; pass the atom_init.json"
    with pytest.raises(CheckpointFormatError, match=message):
        load_original_checkpoint(path, "properties")
    with pytest.raises(FileNotFoundError):
        load_original_checkpoint(tmp_path / "missing.pth.tar", "properties")


# Parameters


def test_parameters_are_those_of_the_training(loaded):
    assert loaded.n_conv_layers == 2
    assert (loaded.n_site_channels, loaded.n_hidden_channels) == (16, 8)
    assert (loaded.lr, loaded.max_epochs, loaded.batch_size) == (0.02, 12, 32)
    assert loaded.lr_schedule.keywords == {"milestones": [8]}
    assert loaded.n_iter_ == len(loaded.loss_curve_) == 7
    assert loaded.featurizer_.connectivity == "original"
    loaded._validate_params()


@pytest.mark.parametrize(
    "args",
    [
        {"lr": 10**400, "epochs": np.inf, "batch_size": 0},
        {"lr": 0.0, "epochs": 0, "batch_size": 0.5, "weight_decay": -1.0},
        {"lr": np.inf, "epochs": True, "lr_milestones": ["x"], "optim": [1]},
    ],
    ids=["huge", "zero", "of other types"],
)
def test_invalid_training_arguments_are_replaced_by_defaults(
    save, make_checkpoint, atom_init, crystals, args
):
    checkpoint = make_checkpoint()
    checkpoint["args"] |= args
    model = load_original_checkpoint(save(checkpoint), atom_init)
    model._validate_params()
    assert np.isfinite(model.predict(crystals)).all()
    defaults = CGCNNRegressor.from_preset("released")
    assert (model.lr, model.max_epochs) == (defaults.lr, defaults.max_epochs)


def test_the_momentum_of_the_training_is_kept(save, make_checkpoint, atom_init):
    path = save(make_checkpoint(args__momentum=0.5))
    model = load_original_checkpoint(path, atom_init)
    assert model.optimizer.keywords == {"momentum": 0.5}


# Use as an estimator


def test_a_loaded_model_can_be_pickled_and_used_in_a_pipeline(loaded, crystals):
    expected = loaded.predict(crystals)
    twin = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(twin.predict(crystals), expected)
    pipeline = make_pipeline(loaded.featurizer_, twin)
    np.testing.assert_array_equal(pipeline.predict(crystals), expected)


def test_graphs_of_another_connectivity_are_refused(loaded, ionic):
    with pytest.raises(ValueError, match="'nearest' instead of 'original'"):
        loaded.predict(CrystalGraphFeaturizer().transform(ionic.data))


# Further training


def trained_weights(model):
    """A copy of what a training changes."""
    constant = "num_batches_tracked", "centers"
    weights = weights_of(model).items()
    return {name: value for name, value in weights if not name.endswith(constant)}


def fine_tune(model, X, y, **params):
    return (
        copy.deepcopy(model)
        .set_params(
            warm_start=True,
            max_epochs=3,
            early_stopping=False,
            random_state=0,
            **params,
        )
        .fit(X, y)
    )


@pytest.fixture(scope="module")
def y(crystals):
    return np.linspace(0, 1, len(crystals))


def test_all_layers_can_be_trained_on(loaded, crystals, y):
    model = fine_tune(loaded, crystals, y)
    before, after = trained_weights(loaded), trained_weights(model)
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_the_readout_can_be_trained_alone(loaded, crystals, y):
    model = fine_tune(loaded, crystals, y, callbacks=[TrainReadoutOnly()])
    before, after = trained_weights(loaded), trained_weights(model)
    for name in before:
        unchanged = torch.equal(before[name], after[name])
        assert unchanged != name.startswith("readout."), name
    # Nothing remains frozen.
    again = trained_weights(model.set_params(callbacks=None).fit(crystals, y))
    assert all(not torch.equal(after[name], again[name]) for name in before)


def test_the_readout_alone_with_early_stopping(loaded, crystals, y):
    model = copy.deepcopy(loaded).set_params(
        warm_start=True, max_epochs=3, callbacks=[TrainReadoutOnly()], random_state=0
    )
    before, after = trained_weights(loaded), trained_weights(model.fit(crystals, y))
    for name in before:
        assert name.startswith("readout.") or torch.equal(before[name], after[name])


def test_the_readout_alone_epoch_by_epoch(loaded, crystals, y):
    model = copy.deepcopy(loaded)
    model.set_params(early_stopping=False, callbacks=[TrainReadoutOnly()])
    before, after = (
        trained_weights(loaded),
        trained_weights(model.partial_fit(crystals, y)),
    )
    for name in before:
        assert name.startswith("readout.") or torch.equal(before[name], after[name])
    again = trained_weights(model.set_params(callbacks=None).partial_fit(crystals, y))
    assert all(not torch.equal(after[name], again[name]) for name in before)


class Fail(Callback):
    def on_train_begin(self, net, **kwargs):
        raise RuntimeError("no")


def test_frozen_layers_thaw_if_the_training_fails_to_start(loaded, crystals, y):
    model = copy.deepcopy(loaded)
    params = {"warm_start": True, "early_stopping": False, "max_epochs": 1}
    model.set_params(callbacks=[TrainReadoutOnly(), Fail()], **params)
    with pytest.raises(RuntimeError, match="no"):
        model.fit(crystals, y)
    assert all(p.requires_grad for p in model.net_.module_.parameters())


def test_what_a_user_froze_stays_frozen(loaded, crystals, y):
    model = copy.deepcopy(loaded)
    model.net_.module_.embedding.requires_grad_(False)
    params = {"warm_start": True, "early_stopping": False, "max_epochs": 1}
    model.set_params(callbacks=[TrainReadoutOnly()], **params).fit(crystals, y)
    parameters = model.net_.module_.named_parameters()
    frozen = [name for name, each in parameters if not each.requires_grad]
    assert frozen == ["embedding.weight", "embedding.bias"]


def test_a_checkpoint_becomes_a_model_file(loaded, crystals, tmp_path):
    save_model(loaded, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(crystals), loaded.predict(crystals))
    assert again.lr_schedule.keywords == loaded.lr_schedule.keywords
