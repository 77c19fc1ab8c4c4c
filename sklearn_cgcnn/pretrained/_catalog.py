"""The models that come with the package."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_cgcnn.exceptions import ModelFileError
from sklearn_cgcnn.model_files import load_model, read_card

FOLDER = Path(__file__).with_name("models")
HASHES = "sha256.json"
MODEL, FORMULAS = ".safetensors", ".formulas.gz"


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
    names = [name for name in _hashes() if name.endswith(MODEL)]
    return sorted(name.removesuffix(MODEL) for name in names)


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
        that contain 90 % of the true values, ``predict(X, return_std=True)`` also the
        standard deviation of the error, and ``score_samples(X)`` and ``reasons(X)`` how
        crystals are like those of the training.

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
    return load_model(_path(name, MODEL))


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
    return read_card(_path(name, MODEL))


def training_formulas(name: str) -> NDArray[np.str_]:
    """Return the formulas of the crystals that a model was trained on.

    To test a model that begins from this one, or to test this one on crystals of your
    own, leave out crystals with these formulas.

    Parameters
    ----------
    name : str
        One of :func:`list_models`.

    Returns
    -------
    ndarray of shape (n_formulas,), str
        Each once, in alphabetical order, as
        :func:`~sklearn_cgcnn.metrics.crystal_groups` labels crystals by formula.

    Raises
    ------
    ValueError
        If there is no such model.
    ModelFileError
        If its file differs from the one that was published.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cgcnn.metrics import crystal_groups
    >>> from sklearn_cgcnn.pretrained import textbook_crystals, training_formulas
    >>> structures = [textbook_crystals()[name] for name in ("silicon", "rock salt")]
    >>> formulas = training_formulas("last_phonon_peak")
    >>> np.isin(crystal_groups(structures), formulas).tolist()
    [True, False]
    """
    text = gzip.decompress(_path(name, FORMULAS).read_bytes()).decode()
    return np.array(text.split())


def _path(name: str, ending: str) -> Path:
    """Return a file of a model, which is as it was published."""
    if name not in list_models():
        raise ValueError(
            f"there is no model {name!r}; choose one of {', '.join(list_models())}"
        )
    path = FOLDER / f"{name}{ending}"
    if hashlib.sha256(path.read_bytes()).hexdigest() != _hashes()[path.name]:
        raise ModelFileError(
            f"{path} differs from the published file; install the package again"
        )
    return path


def _hashes() -> dict[str, str]:
    hashes: dict[str, str] = json.loads((FOLDER / HASHES).read_text())
    return hashes
