"""A fitted model and its file."""

import pytest

from helpers import SMALL
from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.model_files import save_model


@pytest.fixture(scope="module")
def trained(ionic):
    return CGCNNRegressor(**SMALL).fit(ionic.data, ionic.target)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def stored(trained, path):
    """The file of a model, with a card and references."""
    save_model(trained, path, card={"unit": "eV"})
    return path
