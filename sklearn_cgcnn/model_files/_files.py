"""Store fitted models as files, and load them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_cgcnn.exceptions import ModelFileError
from sklearn_cgcnn.model_files._codec import Decoder, Encoder
from sklearn_cgcnn.model_files._container import read_container, write_container
from sklearn_cgcnn.model_files._reference import check_reference, reference_of

FORMAT_VERSION = 1
_PROVENANCE = ("library", "created", "format_version")
#: Keys that `read_card` adds to a card.
RESERVED_KEYS = frozenset({"model", *_PROVENANCE})
#: By version n, the function that turns contents of version n into version n + 1.
_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def save_model(
    model: Any,
    path: str | PathLike[str],
    *,
    card: Mapping[str, Any] | None = None,
    reference: Sequence[Any] | None = None,
) -> None:
    """Store a fitted model in a file that is safe to share.

    The file holds weights and numbers in the format safetensors, and parameters and the
    card as JSON. It contains no code, and loading it executes nothing. To store models
    with classes of your own, use ``skops.io`` or ``joblib``.

    Parameters
    ----------
    model : estimator
        A fitted estimator of this package: regressor, classifier, embedder, ensemble,
        spread, intervals or applicability. A Pipeline may contain it.
    path : path-like
        The file, usually with the suffix ``.safetensors``. It is replaced if it exists,
        and left as it is if the model cannot be stored.
    card : mapping of str to JSON value, default=None
        What users of the model should know: property and unit, data and their license,
        how it was trained and tested. :func:`read_card` returns it, and adds the keys
        ``"model"``, ``"library"``, ``"created"`` and ``"format_version"``.
    reference : sequence of Structure, default=None
        Crystals whose predictions are stored too. ``load_model(path, check=True)``
        predicts them again, and compares.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model, a parameter or the card contains something that cannot be stored,
        such as a class or a callback of your own, or if `reference` holds graphs or
        other objects.
    StructureError
        If a structure of `reference` is disordered or damaged.
    ValueError
        If the card has a key that :func:`read_card` adds, or if the model has no
        prediction for a crystal of `reference`.

    See Also
    --------
    load_model : Loads the file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.model_files import load_model, read_card, save_model
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=5, random_state=0).fit(structures, energy)
    >>> with TemporaryDirectory() as folder:
    ...     path = f"{folder}/energy.safetensors"
    ...     save_model(model, path, card={"unit": "eV"}, reference=structures[:3])
    ...     loaded, card = load_model(path, check=True), read_card(path)
    >>> loaded.predict(structures).shape, card["unit"]
    ((40,), 'eV')
    """
    check_is_fitted(model)
    _check_card(card or {})
    encoder = Encoder()
    contents = {
        "format_version": FORMAT_VERSION,
        "library": f"sklearn_cgcnn {version('sklearn-cgcnn')}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "card": encoder.encode(dict(card or {}), "card"),
        "model": encoder.encode(model, ""),
    }
    if reference is not None:
        stored = reference_of(model, reference)
        contents["reference"] = encoder.encode(stored, "reference")
    write_container(Path(path), contents, encoder.arrays)


def load_model(path: str | PathLike[str], *, check: bool = False) -> Any:
    """Load a model from a file of :func:`save_model`, without executing anything.

    Parameters
    ----------
    path : path-like
        The file.
    check : bool, default=False
        Whether to predict the reference crystals of the file, and to compare.

    Returns
    -------
    estimator
        The fitted model. It runs on the CPU if this machine lacks the device that it
        was trained on.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If the file is damaged, was not made by `save_model`, or was made by a newer
        release, or if `check` is true and the file has no reference crystals, or
        predictions differ.

    See Also
    --------
    read_card : Reads the description alone.

    Examples
    --------
    See :func:`save_model`.
    """
    contents, arrays = _read(Path(path))
    decoder = Decoder(arrays)
    try:
        model = decoder.decode(contents["model"])
        reference = decoder.decode(contents.get("reference"))
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except Exception as error:
        # Whatever a forged file makes go wrong.
        raise ModelFileError(f"{path} does not contain a valid model") from error
    if not isinstance(model, BaseEstimator):
        raise ModelFileError(f"{path} does not contain a model")
    if check:
        if reference is None:
            raise ModelFileError(
                f"{path} has no reference crystals to check; pass check=False"
            )
        check_reference(model, reference)
    return model


def read_card(path: str | PathLike[str]) -> dict[str, Any]:
    """Read the description of a model, without building the model.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    dict of str to object
        The card that `save_model` received, and besides ``"model"`` (the class),
        ``"library"`` (the release that stored it), ``"created"`` and
        ``"format_version"``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If the file is damaged, was not made by `save_model`, or was made by a newer
        release.

    Examples
    --------
    See :func:`save_model`.
    """
    contents, arrays = _read(Path(path))
    try:
        card: dict[str, Any] = dict(Decoder(arrays).decode(contents["card"]))
        name = contents["model"]["$object"]
        provenance = {each: contents[each] for each in _PROVENANCE}
        return {**card, "model": name, **provenance}
    except Exception as error:
        raise ModelFileError(f"{path} does not contain a valid card") from error


def _check_card(card: Mapping[str, Any]) -> None:
    for key in card:
        if key in RESERVED_KEYS:
            raise ValueError(
                f"card has the key {key!r}, which read_card sets itself; leave it out, "
                "or choose another key"
            )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return contents of the current version, and arrays."""
    contents, arrays = read_container(path)
    found = contents.get("format_version")
    while isinstance(found, int) and found in _UPGRADES:
        contents = _UPGRADES[found](contents)
        found = contents.get("format_version")
    if found != FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {str(found)[:20]}, but this release of "
            f"sklearn_cgcnn reads versions up to {FORMAT_VERSION}; load it with the "
            "release that stored it"
        )
    return contents, arrays
