"""The models that come with the package."""

import hashlib
import json
from pathlib import Path
from typing import Any

from sklearn_cgcnn.exceptions import ModelFileError
from sklearn_cgcnn.model_files import load_model, read_card

FOLDER = Path(__file__).with_name("models")
HASHES = "sha256.json"


def list_models() -> list[str]:
    """List the names of the models that come with the package.

    Returns
    -------
    list of str
        In alphabetical order. :func:`card` describes each.

    Examples
    --------
    >>> from sklearn_cgcnn.pretrained import list_models
    >>> "log_bulk_modulus" in list_models()
    True
    """
    return sorted(_hashes())


def load(name: str) -> Any:
    """Load a model that comes with the package.

    Parameters
    ----------
    name : str
        One of :func:`list_models`.

    Returns
    -------
    ConformalRegressor or CGCNNClassifier
        The fitted model. ``predict`` returns the property in the unit of its
        :func:`card`. Of a regressor, ``predict_interval(X, 0.9)`` returns intervals
        that contain 90 % of the true values, and ``estimator_.predict(X,
        return_std=True)`` the standard deviation of the error.

    Raises
    ------
    ValueError
        If there is no such model.
    ModelFileError
        If its file differs from the one that was published.

    Examples
    --------
    >>> from sklearn_cgcnn.pretrained import load, textbook_crystals
    >>> model = load("log_bulk_modulus")
    >>> silicon = textbook_crystals()["silicon"]
    >>> round(float(10 ** model.predict([silicon])[0]), -1)  # GPa; experiment: 98.8
    90.0
    """
    return load_model(_path(name))


def card(name: str) -> dict[str, Any]:
    """Return what users of a model that comes with the package should know.

    Parameters
    ----------
    name : str
        One of :func:`list_models`.

    Returns
    -------
    dict of str to object
        Property and unit, data and their license, how it was trained, its error on
        crystals that it was not trained on, and the elements that it has seen.

    Raises
    ------
    ValueError
        If there is no such model.
    ModelFileError
        If its file differs from the one that was published.

    Examples
    --------
    >>> from sklearn_cgcnn.pretrained import card
    >>> card("log_bulk_modulus")["unit"]
    'log10(GPa)'
    """
    return read_card(_path(name))


def _path(name: str) -> Path:
    """Return the file of a model, which is as it was published."""
    hashes = _hashes()
    if name not in hashes:
        raise ValueError(
            f"there is no model {name!r}; choose one of {', '.join(sorted(hashes))}"
        )
    path = FOLDER / f"{name}.safetensors"
    if hashlib.sha256(path.read_bytes()).hexdigest() != hashes[name]:
        raise ModelFileError(
            f"{path} differs from the published file; install the package again"
        )
    return path


def _hashes() -> dict[str, str]:
    hashes: dict[str, str] = json.loads((FOLDER / HASHES).read_text())
    return hashes
