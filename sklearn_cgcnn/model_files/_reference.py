"""Crystals with their predictions, by which a loaded model can be checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymatgen.core import IStructure, Lattice, Structure

from sklearn_cgcnn._advice import describe_item
from sklearn_cgcnn.exceptions import ModelFileError, StructureError
from sklearn_cgcnn.graphs import AnyGraphs, Cell, read_cell

# Predictions differ between machines by rounding, relative to their own spread.
_TOLERANCE = 1e-3


def reference_of(model: Any, structures: Sequence[Any]) -> dict[str, Any]:
    """Return crystals and what a model predicts for them, for storing.

    Parameters
    ----------
    model : estimator
        Fitted.
    structures : sequence of Structure
        The crystals.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    TypeError
        If these are graphs, which store no positions, or an item is no structure.
    StructureError
        If a structure is disordered or damaged.
    ValueError
        If there are none, or the model has no prediction for one of them.
    """
    if isinstance(structures, AnyGraphs):
        raise TypeError("reference holds crystal graphs; pass the structures")
    if len(structures) == 0:
        raise ValueError("reference has no crystals; pass some, or None")
    cells = [_read_cell(structure, row) for row, structure in enumerate(structures)]
    predictions = _predict(model, structures)
    if not np.isfinite(predictions).all():
        row = int(
            np.argmin(np.isfinite(predictions.reshape(len(cells), -1)).all(axis=1))
        )
        raise ValueError(
            f"the model has no prediction for reference[{row}]; leave this crystal out"
        )
    return {
        "lattices": np.array([structure.lattice.matrix for structure in structures]),
        "numbers": np.concatenate([cell.atomic_numbers for cell in cells]),
        "positions": np.concatenate([each.frac_coords for each in structures]),
        "n_sites": np.array([len(structure) for structure in structures]),
        "predictions": predictions,
    }


def _read_cell(structure: Any, row: int) -> Cell:
    if not isinstance(structure, IStructure):
        raise TypeError(f"reference[{row}] {describe_item(structure)}")
    try:
        return read_cell(structure)
    except StructureError as error:
        raise StructureError(f"reference[{row}]: {error}", index=row) from None


def check_reference(model: Any, reference: dict[str, Any]) -> None:
    """Check that a model predicts what it predicted when it was stored.

    Parameters
    ----------
    model : estimator
        Fitted.
    reference : dict of str to ndarray
        What :func:`reference_of` returned.

    Raises
    ------
    ModelFileError
        If a prediction differs.
    """
    try:
        expected = reference["predictions"]
        found = _predict(model, _structures(reference))
    except Exception as error:
        raise ModelFileError("the reference crystals cannot be predicted") from error
    scale = np.ptp(expected) + np.abs(expected).mean()
    difference = np.abs(found - expected).max()
    if not difference <= _TOLERANCE * scale:
        raise ModelFileError(
            f"the model predicts {difference:.3g} away from what it predicted when it "
            "was stored; this machine or release computes something else"
        )


def _structures(reference: dict[str, Any]) -> list[Structure]:
    ends = np.cumsum(reference["n_sites"])[:-1]
    return [
        Structure(Lattice(matrix), numbers.tolist(), positions)
        for matrix, numbers, positions in zip(
            reference["lattices"],
            np.split(reference["numbers"], ends),
            np.split(reference["positions"], ends),
            strict=True,
        )
    ]


def _predict(model: Any, structures: Sequence[Any]) -> Any:
    methods = ("predict_proba", "predict", "score_samples", "transform")
    method = next(name for name in methods if hasattr(model, name))
    return np.asarray(getattr(model, method)(structures), dtype=np.float64)
