"""The models of the package: their files, cards and predictions."""

import shutil

import numpy as np
import pytest
from pymatgen.core import Composition

from sklearn_cgcnn import CGCNNClassifier
from sklearn_cgcnn.exceptions import ModelFileError
from sklearn_cgcnn.metrics import crystal_groups
from sklearn_cgcnn.model_files import load_model
from sklearn_cgcnn.pretrained import (
    _catalog,
    card,
    list_models,
    load,
    textbook_crystals,
    training_formulas,
)
from sklearn_cgcnn.pretrained._tasks import TASKS
from sklearn_cgcnn.uncertainty import ConformalRegressor

# Values from experiment for the textbook crystals, and how far a model may be away from
# them, which includes the error of DFT (bulk moduli: C. Kittel, Introduction to Solid
# State Physics; formation energies: CRC Handbook of Chemistry and Physics).
PUBLISHED = {
    "log_bulk_modulus": {
        "silicon": (np.log10(98.8), 0.1),
        "magnesium oxide": (np.log10(160), 0.1),
        "gallium arsenide": (np.log10(75), 0.15),
        "rock salt": (np.log10(24), 0.15),
    },
    "formation_energy": {
        "rock salt": (-2.13, 0.25),
        "magnesium oxide": (-3.11, 0.25),
        "strontium titanate": (-3.4, 0.3),
        "silicon": (0.0, 0.15),
    },
}


@pytest.mark.parametrize("name", list_models())
def test_each_model_predicts_what_it_did(name):
    model = load_model(_catalog.FOLDER / f"{name}.safetensors", check=True)
    kind = CGCNNClassifier if TASKS[name].is_class else ConformalRegressor
    assert isinstance(model, kind)


@pytest.mark.parametrize("name", list_models())
def test_each_card_is_complete(name):
    found = card(name)
    assert found["unit"] == TASKS[name].unit
    assert found["data license"]
    assert found["data"]
    assert set(found["textbook crystals in the training set"]) <= set(
        textbook_crystals()
    )
    assert found["training crystals"] > found["test crystals"] > 50
    assert "Si" in found["elements"]
    if not TASKS[name].is_class:
        deviation = found["mean absolute deviation of the property"]
        assert 0 < found["mean absolute error"] < 0.7 * deviation
        assert 0.8 < found["coverage of 90 % intervals"] < 1


@pytest.mark.parametrize("name", list_models())
def test_formulas_are_those_of_the_training_crystals(name):
    formulas, found = training_formulas(name), card(name)
    assert 0 < len(formulas) == len(set(formulas)) <= found["training crystals"]
    for crystal in found["textbook crystals in the training set"]:
        assert crystal_groups([textbook_crystals()[crystal]])[0] in formulas
    elements = {each.symbol for text in formulas for each in Composition(text)}
    assert elements == set(found["elements"])


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) & set(list_models())))
def test_predictions_are_near_published_values(name):
    crystals, model = textbook_crystals(), load(name)
    for crystal, (value, tolerance) in PUBLISHED[name].items():
        assert abs(model.predict([crystals[crystal]])[0] - value) < tolerance


def test_the_wheel_stays_small():
    sizes = [file.stat().st_size for file in _catalog.FOLDER.iterdir()]
    assert sum(sizes) < 30e6


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no model 'hardness'; choose one of"):
        load("hardness")
    with pytest.raises(ValueError, match="no model"):
        card("../../secret")


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    shutil.copytree(_catalog.FOLDER, folder)
    monkeypatch.setattr(_catalog, "FOLDER", folder)
    name = list_models()[0]
    file = folder / f"{name}.safetensors"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ModelFileError, match="differs from the published file"):
        load(name)


def test_textbook_crystals_have_their_densities():
    # g/cm³ (CRC Handbook of Chemistry and Physics).
    densities = {
        "rock salt": 2.17,
        "magnesium oxide": 3.6,
        "silicon": 2.33,
        "gallium arsenide": 5.32,
        "iron": 7.87,
        "strontium titanate": 5.1,
    }
    for name, structure in textbook_crystals().items():
        assert float(structure.density) == pytest.approx(densities[name], rel=0.02)
