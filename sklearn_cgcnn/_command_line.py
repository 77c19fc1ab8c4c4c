"""The commands of the command line, each a few lines over the public functions."""

import argparse
import ast
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sklearn_cgcnn._prediction_table import (
    expand,
    predict_table,
    read_structures,
    write_table,
)
from sklearn_cgcnn.datasets._property_table import TABLE_NAME, is_number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str or None, default=None
        What follows the name of the program. None means those of this process.

    Returns
    -------
    int
        The exit code: 0, or 1 if something failed. Bad arguments exit with 2.
    """
    options = _parser().parse_args(arguments)
    try:
        _check_output(getattr(options, "output", None))
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as "head", has what it wants. Python would flush once more
        # when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, TypeError, ArithmeticError, ImportError) as error:
        _say(f"sklearn-cgcnn: {error}")
        return 1
    return code


def _say(message: str) -> None:
    """Tell people something, on standard error, apart from tables."""
    print(message, file=sys.stderr)  # noqa: T201


def _check_output(path: Path | None) -> None:
    """Check before the work that its result can be written."""
    if path is not None and not path.parent.is_dir():
        raise FileNotFoundError(f"--output {path}: {path.parent} is not a folder")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sklearn-cgcnn",
        description="Predict properties of crystals from their structures.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_predict(commands)
    _add_fit(commands)
    _add_models(commands)
    _add_import(commands)
    return parser


def _add_predict(commands: Any) -> None:
    command = commands.add_parser(
        "predict",
        help="predict a property of crystals in files",
        description="Predict a property of crystals. Files that cannot be read are "
        "named on standard error, and the exit code is then 1.",
    )
    command.add_argument("model", help="name of a model of the package, or a file")
    command.add_argument(
        "files",
        nargs="+",
        help="CIF files, POSCAR files, folders of CIF files, or - to read names from "
        "standard input, one a line",
    )
    command.add_argument("-o", "--output", type=Path, help="file to write the table to")
    command.add_argument(
        "--format", choices=("csv", "jsonl"), default="csv", help="default: csv"
    )
    command.add_argument(
        "--level", type=_level, default=0.9, help="confidence level; default: 0.9"
    )
    command.add_argument(
        "-j",
        "--jobs",
        type=int,
        help="processes that read files; default: one for every 500 files, but no more "
        "than processors",
    )
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    command.set_defaults(run=_predict)


def _level(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not a number between 0 and 1")


def _predict(options: argparse.Namespace) -> int:
    model, card = _load(options.model)
    files = expand(options.files)
    crystals, failed = read_structures(files, options.jobs, verbose=not options.quiet)
    with warnings.catch_warnings():
        # The table says so of each crystal.
        warnings.simplefilter("ignore")
        rows, unfit = predict_table(model, crystals, card.get("unit"), options.level)
    write_table(rows, options.format, options.output)
    return _report({**failed, **unfit})


def _report(failed: Mapping[str, str]) -> int:
    """Name what failed on standard error, and return the exit code."""
    for name, reason in failed.items():
        _say(f"{name}: {reason}")
    return 1 if failed else 0


def _load(name: str) -> tuple[Any, dict[str, Any]]:
    """Return a model and its card, by the name of a model or of a file."""
    from sklearn_cgcnn import model_files, pretrained

    card = _card(name)
    if name in pretrained.list_models():
        return pretrained.load(name), card
    model = model_files.load_model(name)
    if not hasattr(model, "predict"):
        raise TypeError(f"{name} holds a {card['model']}, which predicts no property")
    return model, card


def _card(name: str) -> dict[str, Any]:
    """Return the card of a model, by the name of a model or of a file."""
    from sklearn_cgcnn import model_files, pretrained

    if name in pretrained.list_models():
        return pretrained.card(name)
    if not Path(name).exists():
        raise FileNotFoundError(
            f"{name} is neither a file nor one of {', '.join(pretrained.list_models())}"
        )
    return model_files.read_card(name)


def _add_fit(commands: Any) -> None:
    command = commands.add_parser(
        "fit",
        help="train a model on a folder of CIF files",
        description="Train a model on a folder with a table id_prop.csv and a file "
        "<id>.cif for each crystal.",
    )
    command.add_argument("folder", type=Path, help="the folder")
    command.add_argument("-o", "--output", type=Path, required=True, help="model file")
    command.add_argument("--classify", action="store_true", help="predict classes")
    command.add_argument("--unit", default="", help="unit of the property, for tables")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the estimator, such as max_epochs=50; may be repeated",
    )
    command.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="leave out files that cannot be read; the exit code is then 1",
    )
    command.set_defaults(run=_fit)


def _fit(options: argparse.Namespace) -> int:
    from sklearn_cgcnn.datasets import load_cif_directory
    from sklearn_cgcnn.model_files import save_model

    estimator = _estimator(options)
    crystals = load_cif_directory(options.folder, on_error="collect", verbose=1)
    code = _report(crystals.failed)
    if crystals.failed and not options.skip_unreadable:
        raise ValueError(
            "not all files can be read, and no model was trained; correct them, or "
            "pass --skip-unreadable to leave them out"
        )
    _check_target(crystals.target, options)
    estimator.fit(crystals.data, crystals.target)
    n_crystals = len(crystals.data)
    card = {"unit": options.unit, "training crystals": n_crystals}
    save_model(estimator, options.output, card=card)
    _say(f"wrote {options.output}, trained on {n_crystals} crystals")
    return code


def _estimator(options: argparse.Namespace) -> Any:
    """Return an unfitted estimator with the parameters of ``--set``."""
    from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor, CrystalGraphFeaturizer

    estimator: Any = CGCNNClassifier() if options.classify else CGCNNRegressor()
    settings = dict(map(_parameter, options.set))
    if any(name.startswith("featurizer__") for name in settings):
        # An estimator does not pass these on to a featurizer that it was given.
        names = {"on_error", "n_jobs", "verbose"} & settings.keys()
        estimator.featurizer = CrystalGraphFeaturizer(
            **{name: settings[name] for name in names}
        )
    try:
        return estimator.set_params(**settings)
    except AttributeError as error:  # a part of a parameter that is not set
        raise ValueError(f"--set names no parameter: {error}") from error


def _check_target(target: Any, options: argparse.Namespace) -> None:
    """Check that there is something to predict, of the kind that was asked for."""
    table = options.folder / TABLE_NAME
    if target is None:
        raise ValueError(f"there are no properties; write them in {table}")
    if options.classify:
        return
    if target.dtype.kind == "U":
        label = next(text for text in target.ravel().tolist() if not is_number(text))
        raise ValueError(
            f"{table} has {label!r}, which is not a number; correct it (an empty field "
            "is a missing value), or pass --classify to predict classes"
        )
    if target.dtype.kind == "i" and target.ndim == 1 and len(set(target)) == 2:
        _say(
            f"{table} has two values only, which are predicted as numbers; pass "
            "--classify to predict classes"
        )


def _parameter(assignment: str) -> tuple[str, Any]:
    name, separator, value = assignment.partition("=")
    if not separator:
        raise ValueError(f"--set {assignment} is not of the form NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a word without quotes


def _add_models(commands: Any) -> None:
    command = commands.add_parser(
        "models",
        help="list the models of the package, or describe one",
        description="List the models that come with the package: name, unit, error on "
        "crystals that they were not trained on, and what they predict. With a name, "
        "print the card of this model: its data, errors and limits.",
    )
    command.add_argument("name", nargs="?", help="a model of the package, or a file")
    command.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> int:
    from sklearn_cgcnn.pretrained import card, list_models

    if options.name:
        for key, value in _card(options.name).items():
            text = ", ".join(value) if isinstance(value, list) else value
            print(f"{key}: {text}")  # noqa: T201
        return 0
    for name in list_models():
        found = card(name)
        measure = next(key for key in found if "error" in key or "ROC" in key)
        print(  # noqa: T201
            f"{name:30s} {found['unit']:12s} {measure} {found[measure]}; "
            f"{found['property']}"
        )
    return 0


def _add_import(commands: Any) -> None:
    command = commands.add_parser(
        "import",
        help="convert a model of the original program",
        description="Convert a checkpoint of the program of the paper's authors.",
    )
    command.add_argument("checkpoint", type=Path, help="a file *.pth.tar")
    command.add_argument(
        "--atom-init", type=Path, required=True, help="its atom_init.json"
    )
    command.add_argument("-o", "--output", type=Path, required=True, help="model file")
    command.add_argument("--unit", default="", help="unit of the property, for tables")
    command.set_defaults(run=_import)


def _import(options: argparse.Namespace) -> int:
    from sklearn_cgcnn.checkpoints import load_original_checkpoint
    from sklearn_cgcnn.model_files import save_model

    model = load_original_checkpoint(options.checkpoint, options.atom_init)
    save_model(model, options.output, card={"unit": options.unit})
    _say(f"wrote {options.output}")
    return 0
