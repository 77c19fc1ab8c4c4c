"""Tables of predictions for crystals in files."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure
from sklearn.pipeline import Pipeline

from sklearn_cgcnn._estimators import collect_graphs
from sklearn_cgcnn._progress import progress_bar
from sklearn_cgcnn.datasets._cif_files import cif_files, iter_readings
from sklearn_cgcnn.datasets._structure_file import read_structure
from sklearn_cgcnn.graphs import CrystalGraphs
from sklearn_cgcnn.uncertainty._members import networks_of
from sklearn_cgcnn.uncertainty._training_range import new_elements


def expand(names: Sequence[str]) -> list[Path]:
    """Return the files that names stand for.

    Parameters
    ----------
    names : sequence of str
        Files, folders of CIF files, or ``"-"`` for the lines of standard input.

    Returns
    -------
    list of Path

    Raises
    ------
    FileNotFoundError
        If there are no files at all.
    """
    files: list[Path] = []
    for name in names:
        if name == "-":
            files += [Path(line.strip()) for line in sys.stdin if line.strip()]
        elif Path(name).is_dir():
            files += cif_files(Path(name))
        else:
            files.append(Path(name))
    if not files:
        raise FileNotFoundError(
            f"there are no CIF files in {', '.join(names)}; pass files, or folders "
            "that contain CIF files"
        )
    return files


def read_structures(
    files: Sequence[Path], n_jobs: int | None, *, verbose: bool
) -> tuple[dict[str, Structure], dict[str, str]]:
    """Read files.

    Parameters
    ----------
    files : sequence of Path
        CIF files, or any other files that pymatgen reads, such as POSCAR.
    n_jobs : int or None
        Number of processes. None means one per processor for many files.
    verbose : bool
        Whether to show a progress bar.

    Returns
    -------
    structures : dict of str to Structure
        By the names of the files.
    failed : dict of str to str
        The reasons for files that cannot be read.
    """
    structures, failed = {}, {}
    readings = iter_readings(list(files), None, n_jobs, read_structure)
    with (
        closing(readings),
        progress_bar(len(files), "reading", "file", int(verbose)) as bar,
    ):
        for file, reading in zip(files, readings, strict=True):
            if reading.structure is None:
                failed[str(file)] = reading.reason
            else:
                structures[str(file)] = reading.structure
            bar.update()
    return structures, failed


def predict_table(
    model: Any, crystals: Mapping[str, Structure], unit: str | None, level: float
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Predict a property of crystals.

    Parameters
    ----------
    model : estimator
        Fitted.
    crystals : mapping of str to Structure
        Crystals by their ids.
    unit : str or None
        Unit of the property.
    level : float
        Confidence level of intervals.

    Returns
    -------
    rows : list of dict of str to object
        Id, formula, value and unit of each crystal. Where the model has them, the ends
        of its interval, how similar it is to the training crystals, and what is unlike
        them, which is not known of weights from elsewhere.
    failed : dict of str to str
        The reasons for crystals that cannot become graphs, by their ids.
    """
    if not crystals:
        return [], {}
    ids, structures = list(crystals), list(crystals.values())
    graphs = collect_graphs(networks_of(model), structures)
    good = np.flatnonzero(~graphs.is_failed)
    failed = {ids[row]: reason for row, reason in graphs.failed.items()}
    columns = _columns(model, graphs[good], level)
    rows = [
        {
            "id": ids[row],
            "formula": structures[row].reduced_formula,
            **{name: values[place] for name, values in columns.items()},
            "unit": unit or "",
        }
        for place, row in enumerate(good)
    ]
    return rows, failed


def write_table(rows: Sequence[dict[str, Any]], form: str, path: Path | None) -> None:
    """Write a table.

    Parameters
    ----------
    rows : sequence of dict of str to object
        Its rows.
    form : {"csv", "jsonl"}
        The format.
    path : Path or None
        The file. None means standard output.
    """
    if path is not None:
        with path.open("w", newline="", encoding="utf-8") as file:
            _write(rows, form, file)
    else:
        _write(rows, form, sys.stdout)


def _write(rows: Sequence[dict[str, Any]], form: str, file: Any) -> None:
    if form == "jsonl":
        file.writelines(json.dumps(row) + "\n" for row in rows)
        return
    table = csv.DictWriter(file, list(rows[0]) if rows else ["id"])
    table.writeheader()
    for row in rows:
        if "warnings" in row:
            row = {**row, "warnings": "; ".join(row["warnings"])}
        table.writerow(row)


def _columns(model: Any, graphs: CrystalGraphs, level: float) -> dict[str, list[Any]]:
    """Return the columns that a model fills."""
    if len(graphs) == 0:
        return {}
    if isinstance(model, Pipeline):
        # In a model file, nothing but a featurizer can come before.
        model = model.steps[-1][1]
    values = np.asarray(model.predict(graphs))
    columns = {"value": values.tolist()}
    if hasattr(model, "predict_proba"):
        columns["probability"] = model.predict_proba(graphs).max(axis=1).tolist()
    if hasattr(model, "predict_interval"):
        low, high = model.predict_interval(graphs, level).T
        columns |= {"lower": low.tolist(), "upper": high.tolist()}
    elements = networks_of(model)[0]._elements
    if hasattr(model, "reasons"):
        columns["similarity"] = model.score_samples(graphs).tolist()
        columns["warnings"] = model.reasons(graphs)
    elif elements is not None:
        columns["warnings"] = new_elements(graphs, elements).reasons
    return columns
