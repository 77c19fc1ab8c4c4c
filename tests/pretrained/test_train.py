"""How trained models are stored into the package."""

import gzip
import json

import numpy as np

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.model_files import load_model, read_card
from sklearn_cgcnn.pretrained import _train


def test_a_card_can_be_stored_again(ionic, tmp_path, monkeypatch):
    monkeypatch.setattr(_train, "FOLDER", tmp_path / "models")
    model = CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)
    path = tmp_path / "models" / "energy.safetensors"
    _train.store("energy", model, {"unit": "eV/site", "elements": ["Na", "Cl"]})
    _train.store("energy", load_model(path, check=True), read_card(path))
    assert read_card(path)["unit"] == "eV/site"
    _train.store_formulas("energy", np.array(["NaCl", "CsCl", "NaCl"]))
    hashes = json.loads((path.parent / "sha256.json").read_text())
    assert list(hashes) == ["energy.formulas.gz", "energy.safetensors"]
    text = gzip.decompress((path.parent / "energy.formulas.gz").read_bytes())
    assert text.decode().split() == ["CsCl", "NaCl"]
