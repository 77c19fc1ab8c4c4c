"""Model files: what comes back, what is refused, and what damage does."""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from safetensors.numpy import load, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch.optim.lr_scheduler import MultiStepLR

from helpers import SMALL, small
from sklearn_cgcnn import (
    CGCNNClassifier,
    CrystalEmbedder,
    CrystalGraphFeaturizer,
)
from sklearn_cgcnn.exceptions import ModelFileError, StructureError
from sklearn_cgcnn.graphs import NearestNeighbors
from sklearn_cgcnn.model_files import _files, load_model, read_card, save_model
from sklearn_cgcnn.model_files._codec import Decoder
from sklearn_cgcnn.nn import SharedConv
from sklearn_cgcnn.uncertainty import (
    ApplicabilityDomain,
    ConformalRegressor,
    EnsembleClassifier,
    EnsembleRegressor,
    SpreadRegressor,
)

SIX = NearestNeighbors(max_neighbors=6)
MODELS = {
    "regressor": small(),
    "own graphs": small(featurizer=CrystalGraphFeaturizer(max_neighbors=6)),
    "own rule": small(featurizer=CrystalGraphFeaturizer(connectivity=SIX)),
    "own table": small(site_features=np.eye(101, 8, k=-1)),
    "part by class": small(conv=SharedConv, norm=None),
    "site readout": small(readout="site"),
    "ensemble": EnsembleRegressor(small(), 2, random_state=0),
    "spread": SpreadRegressor(small(), random_state=0, held_out_fraction=0.3),
    "intervals": ConformalRegressor(
        SpreadRegressor(small(), random_state=0, held_out_fraction=0.3), random_state=0
    ),
    "pipeline": make_pipeline(CrystalGraphFeaturizer(), small()),
    "spread of an ensemble": SpreadRegressor(
        EnsembleRegressor(small(), 2, random_state=0),
        random_state=0,
        held_out_fraction=0.3,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_predictions_come_back(name, ionic, path):
    model = clone(MODELS[name])
    model.fit(ionic.data, ionic.target)
    save_model(model, path)
    loaded = load_model(path)
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.predict(ionic.data), model.predict(ionic.data))
    if "spread" in name:
        np.testing.assert_array_equal(
            loaded.predict(ionic.data, return_std=True)[1],
            model.predict(ionic.data, return_std=True)[1],
        )
    if name == "intervals":
        np.testing.assert_array_equal(
            loaded.predict_interval(ionic.data, 0.8),
            model.predict_interval(ionic.data, 0.8),
        )
    assert repr(loaded) == repr(model)


@pytest.mark.parametrize("labels", [[False, True], ["metal", "insulator"], [3, 7]])
def test_classes_come_back(labels, ionic, path):
    y = np.array(labels)[(ionic.target > np.median(ionic.target)).astype(int)]
    one = CGCNNClassifier(**SMALL)
    for model in (one, EnsembleClassifier(one, 2)):
        model.fit(ionic.data, y)
        save_model(model, path)
        loaded = load_model(path)
        np.testing.assert_array_equal(loaded.classes_, model.classes_)
        assert loaded.classes_.dtype == model.classes_.dtype
        np.testing.assert_array_equal(
            loaded.predict_proba(ionic.data), model.predict_proba(ionic.data)
        )


def test_what_else_is_fitted_comes_back(trained, ionic, path):
    domain = ApplicabilityDomain(FrozenEstimator(trained)).fit(ionic.data)
    save_model(domain, path)
    changed = ionic.data[0].copy()
    changed.scale_lattice(0.3 * changed.volume)
    loaded = load_model(path)
    assert loaded.reasons([changed]) == domain.reasons([changed])
    np.testing.assert_array_equal(
        loaded.score_samples(ionic.data), domain.score_samples(ionic.data)
    )
    embedder = CrystalEmbedder(FrozenEstimator(trained)).fit(ionic.data)
    save_model(embedder, path)
    np.testing.assert_array_equal(
        load_model(path).transform(ionic.data), embedder.transform(ionic.data)
    )


def test_what_is_shared_is_stored_once(trained, ionic, path):
    spread = SpreadRegressor(FrozenEstimator(trained)).fit(
        ionic.data[:40], ionic.target[:40], ionic.data[40:], ionic.target[40:]
    )
    save_model(
        ConformalRegressor(FrozenEstimator(spread)).fit(ionic.data, ionic.target), path
    )
    loaded = load_model(path)
    assert loaded.estimator is loaded.estimator_
    inner = loaded.estimator.estimator
    assert inner.estimator.estimator is inner.estimator_.estimator
    names = [name for name in load(path.read_bytes()) if "readout.output.bias" in name]
    assert len(names) == 1


def test_a_loaded_model_can_be_trained_on(trained, ionic, stored):
    loaded = load_model(stored)
    again = clone(loaded).fit(ionic.data, ionic.target)
    np.testing.assert_array_equal(
        again.predict(ionic.data), trained.predict(ionic.data)
    )
    begun = small(pretrained=FrozenEstimator(loaded)).fit(ionic.data, ionic.target)
    assert np.isfinite(begun.predict(ionic.data)).all()


def test_devices_and_paths_become_text(ionic, path, tmp_path):
    table = tmp_path / "table.json"
    symbols = {symbol for crystal in ionic.data for symbol in crystal.symbol_set}
    table.write_text(json.dumps({symbol: [1.0] for symbol in symbols}))
    model = small(device=torch.device("cpu"), site_features=table)
    save_model(model.fit(ionic.data, ionic.target), path)
    loaded = load_model(path)
    assert loaded.device == "cpu"
    assert loaded.site_features == str(table)
    np.testing.assert_array_equal(loaded.predict(ionic.data), model.predict(ionic.data))
    clone(loaded).fit(ionic.data, ionic.target)


@pytest.mark.parametrize("key", ["model", "library", "created", "format_version"])
def test_a_card_has_no_keys_that_reading_adds(trained, path, key):
    with pytest.raises(ValueError, match=f"card has the key '{key}'.*leave it out"):
        save_model(trained, path, card={"unit": "eV", key: "mine"})
    assert not path.exists()


def test_the_card_is_read_without_the_model(stored):
    card = read_card(stored)
    assert card["unit"] == "eV"
    assert card["model"] == "CGCNNRegressor"
    assert card["library"].startswith("sklearn_cgcnn ")
    assert card["format_version"] == 1


def test_files_of_all_format_versions_load():
    files = sorted(Path(__file__).with_name("stored").glob("*.safetensors"))
    versions = [read_card(file)["format_version"] for file in files]
    assert len(files) == _files.FORMAT_VERSION
    assert set(versions) == {_files.FORMAT_VERSION}
    for file in files:
        load_model(file, check=True)


def test_references_are_checked(trained, ionic, path):
    save_model(trained, path, reference=ionic.data[:5])
    load_model(path, check=True)
    other = clone(trained).set_params(random_state=1).fit(ionic.data, ionic.target)
    contents, arrays = _files._read(path)
    encoder = _files.Encoder()
    model = encoder.encode(other, "")
    kept = {k: v for k, v in arrays.items() if k.startswith("reference")}
    _files.write_container(
        path, {**contents, "model": model}, {**encoder.arrays, **kept}
    )
    load_model(path)
    with pytest.raises(ModelFileError, match="away from what it predicted"):
        load_model(path, check=True)


def test_without_references_nothing_can_be_checked(stored):
    with pytest.raises(ModelFileError, match="no reference crystals"):
        load_model(stored, check=True)


def test_places_are_not_stored(ionic, path, tmp_path):
    model = small(checkpoint_dir=str(tmp_path / "c")).fit(ionic.data, ionic.target)
    save_model(model, path)
    assert load_model(path).checkpoint_dir is None


def test_references_of_what_does_not_predict(trained, ionic, path):
    frozen = FrozenEstimator(trained)
    for model in (CrystalEmbedder(frozen), ApplicabilityDomain(frozen)):
        save_model(model.fit(ionic.data), path, reference=ionic.data[:3])
        load_model(path, check=True)
    with pytest.raises(ValueError, match="reference has no crystals"):
        save_model(trained, path, reference=[])


@dataclass(frozen=True)
class OwnRule(NearestNeighbors):
    """An edge rule of a user."""


class OwnConv(SharedConv):
    pass


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            small(featurizer=CrystalGraphFeaturizer(connectivity=OwnRule())),
            r"connectivity is your own edge rule .*OwnRule",
        ),
        (small(conv=OwnConv), r"conv is or contains .*OwnConv"),
        (small(activation=torch.nn.ReLU()), r"activation is or contains torch.*ReLU"),
        (make_pipeline(CrystalEmbedder(estimator=small()), Ridge()), "Ridge"),
    ],
)
def test_classes_of_others_are_refused_by_name(model, message, ionic, path):
    model = clone(model).fit(ionic.data, ionic.target)
    path.write_text("before")
    with pytest.raises(TypeError, match=message + r".*skops.io.dump or joblib.dump"):
        save_model(model, path)
    assert path.read_text() == "before"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_is_not_a_model_is_refused(trained, ionic, graphs, path):
    with pytest.raises(NotFittedError):
        save_model(small(), path)
    with pytest.raises(TypeError, match="pass the structures"):
        save_model(trained, path, reference=graphs[:2])
    with pytest.raises(
        TypeError, match=r"reference\[1\] is of type str; read the file"
    ):
        save_model(trained, path, reference=[ionic.data[0], "NaCl.cif"])
    alloy = Structure(Lattice.cubic(2.86), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    with pytest.raises(StructureError, match=r"reference\[1\]: site 0 is disordered"):
        save_model(trained, path, reference=[ionic.data[0], alloy])
    with pytest.raises(TypeError, match="card"):
        save_model(trained, path, card={"when": object()})
    with pytest.raises(TypeError, match="card has the key 3"):
        save_model(trained, path, card={3: "x"})
    assert not path.exists()


def test_other_files_are_refused(tmp_path, path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(path)
    with pytest.raises(FileNotFoundError, match="not a file"):
        load_model(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ModelFileError, match="is not a model file"):
        load_model(path)
    save_file({"a": np.ones(3)}, path)
    with pytest.raises(ModelFileError, match="save_model did not make it"):
        load_model(path)


def test_newer_files_say_so(stored, monkeypatch):
    monkeypatch.setattr(_files, "FORMAT_VERSION", 0)
    with pytest.raises(ModelFileError, match="format version 1, but this release"):
        load_model(stored)
    with pytest.raises(ModelFileError, match="format version 1"):
        read_card(stored)


def test_other_readers_understand_the_weights(trained, stored):
    arrays = load(stored.read_bytes())
    weights = trained.net_.module_.state_dict()
    for name, value in weights.items():
        np.testing.assert_array_equal(arrays[f"_weights.{name}"], value.numpy())


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_new_process_predicts_the_same(trained, ionic, path, threads):
    save_model(trained, path, reference=ionic.data[:5])
    script = (
        "import torch, sys; torch.set_num_threads(int(sys.argv[2]));"
        "from sklearn_cgcnn.model_files import load_model;"
        "load_model(sys.argv[1], check=True)"
    )
    subprocess.run([sys.executable, "-c", script, path, threads], check=True)


def test_a_search_is_refused_and_its_best_estimator_named(ionic, tmp_path):
    search = GridSearchCV(small(), {"lr": [0.01]}, cv=2)
    search.fit(ionic.data, ionic.target)
    with pytest.raises(
        TypeError, match=r"the model is .*GridSearchCV.*best_estimator_"
    ):
        save_model(search, tmp_path / "model")
    save_model(search.best_estimator_, tmp_path / "model")


@pytest.mark.parametrize(
    "params",
    [
        {"lr_schedule": partial(MultiStepLR, milestones=[800], gamma=0.2)},
        {"optimizer": torch.optim.SGD},
    ],
)
def test_optimizers_and_schedules_of_torch_are_stored_by_name(ionic, path, params):
    model = small(**params).fit(ionic.data, ionic.target)
    save_model(model, path)
    loaded = load_model(path)
    ((name, given),) = params.items()
    stored = getattr(loaded, name)
    assert getattr(stored, "func", stored) is getattr(given, "func", given)
    assert getattr(stored, "keywords", None) == getattr(given, "keywords", None)
    np.testing.assert_array_equal(loaded.predict(ionic.data), model.predict(ionic.data))
    np.testing.assert_array_equal(
        clone(loaded).fit(ionic.data, ionic.target).predict(ionic.data),
        model.predict(ionic.data),
    )


@pytest.mark.parametrize("name", ["os.system", "torch.optim.lr_scheduler.math", 3, []])
def test_nothing_else_is_made_by_its_name(name):
    value = {"$torch": name, "keywords": {"$dict": {}}}
    with pytest.raises(ModelFileError, match="torch has no class"):
        Decoder({}).decode(value)
