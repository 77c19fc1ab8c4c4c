"""The command line: tables, files that fail, exit codes."""

import csv
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from helpers import SMALL
from sklearn_cgcnn import CGCNNClassifier, CGCNNRegressor
from sklearn_cgcnn._command_line import main
from sklearn_cgcnn.exceptions import FailedCrystalsWarning
from sklearn_cgcnn.model_files import load_model, read_card, save_model
from sklearn_cgcnn.uncertainty import ConformalRegressor, SpreadRegressor


@pytest.fixture(scope="module")
def folder(ionic, tmp_path_factory):
    """A folder of CIF files with a table."""
    folder = tmp_path_factory.mktemp("crystals")
    lines = []
    for number, (structure, energy) in enumerate(
        zip(ionic.data, ionic.target, strict=True)
    ):
        structure.to(str(folder / f"c{number:02d}.cif"))
        lines.append(f"c{number:02d},{energy}")
    (folder / "id_prop.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def models(ionic, tmp_path_factory):
    """Files of a regressor, of intervals and of a classifier."""
    folder = tmp_path_factory.mktemp("models")
    y = ionic.target
    labels = np.where(y < np.median(y), "low", "high")
    for name, model, target in (
        ("plain", CGCNNRegressor(**SMALL), y),
        (
            "intervals",
            ConformalRegressor(
                SpreadRegressor(
                    CGCNNRegressor(**SMALL), held_out_fraction=0.3, random_state=0
                ),
                random_state=0,
            ),
            y,
        ),
        ("classes", CGCNNClassifier(**SMALL), labels),
    ):
        model.fit(ionic.data, target)
        save_model(model, folder / name, card={"unit": "eV"})
    return folder


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_predictions_of_a_folder(folder, models, ionic, capsys):
    assert main(["predict", str(models / "plain"), str(folder), "-q"]) == 0
    rows = table(capsys.readouterr().out)
    assert [row["id"][-7:-4] for row in rows] == [f"c{n:02d}" for n in range(60)]
    predicted = load_model(models / "plain").predict(ionic.data)
    values = [float(row["value"]) for row in rows]
    # A CIF file has coordinates of limited precision.
    np.testing.assert_allclose(values, predicted, rtol=1e-3)
    assert {row["unit"] for row in rows} == {"eV"}
    assert rows[0]["formula"] == ionic.data[0].reduced_formula


def test_intervals_and_warnings(folder, models, ionic, capsys, tmp_path):
    squeezed = ionic.data[0].copy()
    squeezed.scale_lattice(0.3 * squeezed.volume)
    squeezed.to(str(tmp_path / "POSCAR_squeezed"), fmt="poscar")
    arguments = [str(folder / "c00.cif"), str(tmp_path / "POSCAR_squeezed"), "-q"]
    model = str(models / "intervals")
    assert main(["predict", model, *arguments, "--level", "0.8"]) == 0
    usual, strange = table(capsys.readouterr().out)
    low, high = load_model(model).predict_interval(ionic.data[:1], 0.8)[0]
    assert float(usual["lower"]) == pytest.approx(low, rel=1e-3)
    assert float(usual["upper"]) == pytest.approx(high, rel=1e-3)
    assert usual["warnings"] == ""
    scores = load_model(model).score_samples(ionic.data[:1])
    assert float(usual["similarity"]) == pytest.approx(scores[0], rel=1e-2)
    assert float(strange["similarity"]) < 0.01
    assert "shorter" in strange["warnings"]
    assert main(["predict", model, *arguments, "--format", "jsonl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[0])["warnings"] == []
    assert "shorter" in json.loads(lines[1])["warnings"][0]


def test_classes_have_probabilities(folder, models, ionic, capsys):
    assert main(["predict", str(models / "classes"), str(folder), "-q"]) == 0
    rows = table(capsys.readouterr().out)
    assert {row["value"] for row in rows} <= {"low", "high"}
    probabilities = load_model(models / "classes").predict_proba(ionic.data)
    found = [float(row["probability"]) for row in rows]
    np.testing.assert_allclose(found, probabilities.max(axis=1), rtol=1e-2)


def test_bad_files_are_named_and_the_others_predicted(folder, models, tmp_path, capsys):
    bad = tmp_path / "bad.cif"
    bad.write_text("data_x\n_cell_length_a oops\n")
    arguments = [str(bad), str(folder / "c03.cif"), str(tmp_path / "missing.cif")]
    assert main(["predict", str(models / "plain"), *arguments, "-q"]) == 1
    captured = capsys.readouterr()
    assert [row["id"] for row in table(captured.out)] == [str(folder / "c03.cif")]
    assert str(bad) in captured.err
    assert "missing.cif" in captured.err
    assert main(["predict", str(models / "plain"), str(bad), "-q"]) == 1
    assert table(capsys.readouterr().out) == []


def test_names_come_from_standard_input(folder, models, capsys, monkeypatch):
    names = "\n".join(str(folder / f"c{n:02d}.cif") for n in (4, 2)) + "\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(names))
    assert main(["predict", str(models / "plain"), "-", "-q", "-j", "2"]) == 0
    rows = table(capsys.readouterr().out)
    assert [row["id"] for row in rows] == names.split()


def test_fit_then_predict_from_a_file(folder, tmp_path):
    model, out = tmp_path / "model", tmp_path / "table.csv"
    settings = [f"--set={name}={value}" for name, value in SMALL.items()]
    arguments = ["fit", str(folder), "-o", str(model), "--unit", "eV", *settings]
    assert main([*arguments, "--set", "device=cpu"]) == 0
    expected = CGCNNRegressor(**SMALL, device="cpu")
    assert repr(load_model(model)) == repr(expected)
    assert read_card(model)["training crystals"] == 60
    assert main(["predict", str(model), str(folder), "-o", str(out), "-q"]) == 0
    assert len(table(out.read_text())) == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nothing", "x.cif"], "neither a file nor one of"),
        (["fit", "nowhere", "-o", "m"], "nowhere is not a folder"),
        (["fit", ".", "-o", "m", "--set", "lr"], "not of the form NAME=VALUE"),
        (["fit", ".", "-o", "m", "--set", "colour=1"], "colour"),
        (["fit", ".", "-o", "m", "--set", "loss__x=1"], "no parameter"),
        (["fit", ".", "-o", "m", "--set", "featurizer__x=1"], "Invalid parameter"),
        (["fit", ".", "-o", "no/m"], "no is not a folder"),
    ],
)
def test_mistakes_are_said_in_one_line(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_commands_without_arguments_explain_themselves(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    with pytest.raises(SystemExit) as stopped:
        main(["predict", "--help"])
    assert stopped.value.code == 0
    assert "CIF" in capsys.readouterr().out


def test_models_are_listed(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("log_bulk_modulus") for line in lines)


def test_it_runs_as_a_module(folder, models):
    command = [sys.executable, "-m", "sklearn_cgcnn", "predict", models / "plain"]
    done = subprocess.run(
        [*command, folder / "c00.cif", "-q"], capture_output=True, text=True, check=True
    )
    assert len(table(done.stdout)) == 1


def test_fit_goes_on_without_files_that_cannot_be_read(folder, tmp_path, capsys):
    copies = tmp_path / "crystals"
    shutil.copytree(folder, copies)
    (copies / "c03.cif").write_text("no crystal")
    command = ["fit", str(copies), "-o", str(tmp_path / "model"), "--set"]
    command.append("max_epochs=1")
    assert main(command) == 1
    assert "--skip-unreadable" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    assert main([*command, "--skip-unreadable"]) == 1
    assert "c03" in capsys.readouterr().err
    n_files = len(list(folder.glob("*.cif")))
    assert read_card(tmp_path / "model")["training crystals"] == n_files - 1


def test_a_reader_that_stops_early_is_no_error():
    command = [sys.executable, "-m", "sklearn_cgcnn", "models"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


def test_new_elements_are_named_by_any_model(models, ionic, tmp_path, capsys):
    changed = ionic.data[0].copy()
    changed.replace_species({changed[0].specie: "Pu"})
    changed.to(str(tmp_path / "new.cif"))
    assert main(["predict", str(models / "plain"), str(tmp_path), "-q"]) == 0
    (row,) = table(capsys.readouterr().out)
    assert row["warnings"] == "no training crystal contains Pu"


def test_elements_without_features_leave_the_others(ionic, tmp_path, capsys):
    features = {symbol: [1.0] for symbol in set(ionic.data[0].symbol_set)}
    model = CGCNNRegressor(**SMALL, site_features=features)
    same = [each for each in ionic.data if set(each.symbol_set) <= set(features)]
    model.fit(same * 2, [1.0, 2.0] * len(same))
    save_model(model, tmp_path / "model")
    other = next(
        each for each in ionic.data if not set(each.symbol_set) & set(features)
    )
    same[0].to(str(tmp_path / "a.cif"))
    other.to(str(tmp_path / "b.cif"))
    assert main(["predict", str(tmp_path / "model"), str(tmp_path), "-q"]) == 1
    captured = capsys.readouterr()
    assert [row["id"][-5:] for row in table(captured.out)] == ["a.cif"]
    assert "b.cif" in captured.err


def test_all_crystals_may_fail(models, tmp_path, capsys):
    site = "Na 0 0 0 0.5\n"
    (tmp_path / "half.cif").write_text(
        "data_x\n_symmetry_space_group_name_H-M 'P 1'\n"
        + "".join(f"_cell_length_{axis} 4.0\n" for axis in "abc")
        + "".join(f"_cell_angle_{name} 90\n" for name in ("alpha", "beta", "gamma"))
        + "loop_\n_atom_site_type_symbol\n"
        + "".join(f"_atom_site_fract_{axis}\n" for axis in "xyz")
        + f"_atom_site_occupancy\n{site}"
    )
    assert main(["predict", str(models / "plain"), str(tmp_path), "-q"]) == 1
    captured = capsys.readouterr()
    assert table(captured.out) == []
    assert "half.cif: " in captured.err
    assert "disordered" in captured.err


def test_the_card_of_a_model_is_printed(models, capsys):
    assert main(["models", "log_bulk_modulus"]) == 0
    lines = dict(
        line.split(": ", 1) for line in capsys.readouterr().out.strip().splitlines()
    )
    assert lines["unit"] == "log10(GPa)"
    assert lines["elements"].startswith("H, ")
    assert main(["models", str(models / "plain")]) == 0
    assert "unit: eV\n" in capsys.readouterr().out
    assert main(["models", "missing"]) == 1
    assert "missing is neither a file nor one of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("properties", "arguments", "message"),
    [
        ([0, 1] * 30, [], "pass --classify to predict classes"),
        (["n/a", *range(59)], [], "has 'n/a', which is not a number"),
        (None, [], "there are no properties"),
        ([0, 1] * 30, ["--classify"], "trained on 60 crystals"),
        (
            list(range(60)),
            ["--set", "featurizer__max_neighbors=4"],
            "trained on 60 crystals",
        ),
    ],
)
def test_fit_says_what_it_learns(
    folder, tmp_path, capsys, properties, arguments, message
):
    for file in folder.glob("*.cif"):
        shutil.copy(file, tmp_path)
    if properties is not None:
        lines = [f"c{number:02d},{each}" for number, each in enumerate(properties)]
        (tmp_path / "id_prop.csv").write_text("\n".join(lines))
    quick = ["--set", "max_epochs=1", "--set", "n_conv_layers=1"]
    output = tmp_path / "model"
    code = main(["fit", str(tmp_path), "-o", str(output), *quick, *arguments])
    error = capsys.readouterr().err
    assert message in error
    assert (code == 0) == output.exists() == ("trained on 60" in error)


@pytest.mark.parametrize("more", [[], ["--set", "featurizer__max_neighbors=6"]])
def test_crystals_without_a_graph_may_be_left_out(ionic, tmp_path, more):
    structures = [each.copy() for each in ionic.data[:8]]
    structures[3].replace(0, {"Na": 0.5, "K": 0.5})
    for number, structure in enumerate(structures):
        structure.to(str(tmp_path / f"{number}.cif"))
    lines = [f"{number},{number}.5\n" for number in range(8)]
    (tmp_path / "id_prop.csv").write_text("".join(lines))
    quick = ["--set", "max_epochs=1", "--set", "n_conv_layers=1", *more]
    arguments = ["fit", str(tmp_path), "-o", str(tmp_path / "model"), *quick]
    assert main(arguments) == 1
    with pytest.warns(FailedCrystalsWarning):
        assert main([*arguments, "--set", "on_error=collect"]) == 0


def test_a_folder_that_is_missing_is_named(models, tmp_path, capsys):
    missing = str(tmp_path / "missing")
    assert main(["predict", str(models / "plain"), missing, "-q"]) == 1
    assert f"{missing}: there is no such file or folder" in capsys.readouterr().err


@pytest.mark.parametrize("level", ["0", "1.5", "ninety"])
def test_a_level_that_is_none_is_refused_before_the_work(models, capsys, level):
    with pytest.raises(SystemExit) as refused:
        main(["predict", str(models / "plain"), "a.cif", "--level", level])
    assert refused.value.code == 2
    message = f"--level: {level} is not a number between 0 and 1"
    assert message in capsys.readouterr().err
