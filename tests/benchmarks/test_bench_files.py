"""From files to predictions: rates over 2,000 CIF files, and what gemmi adds.

Run by ``tox run -e bench -- -k files``. With FILES_BEFORE, the path of a checkout,
the same is measured there, in turns. FILES_NUMBER and FILES_ROUNDS set how many files
are read, and how often. The files are generated crystals, half of them with symmetry
operations, and strained crystals of the Materials Project. Each measurement is a
process of its own. Its start and the import of the package do not count, but the start
of the processes that read files does.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from cif_mutations import mutate
from cif_readings import assert_same_readings
from sklearn_cgcnn.datasets import make_ionic_crystals

N_FILES = int(os.environ.get("FILES_NUMBER", "2000"))
N_ROUNDS = int(os.environ.get("FILES_ROUNDS", "3"))
BEFORE = os.environ.get("FILES_BEFORE")
HERE = Path(__file__).parents[2]

# Expressions, in which `folder`, `model` and the `name` of the model are known.
TASKS = {
    "load_cif_directory": "load_cif_directory(folder)",
    "load_cif_directory, 1 process": "load_cif_directory(folder, n_jobs=1)",
    "iter_predictions": "list(iter_predictions(model, iter_cif_directory(folder)))",
    "command line": "main(['predict', name, folder, '-o', folder + '.csv', '-q'])",
}
SCRIPT = """
import json, resource, sys, time, warnings
from sklearn_cgcnn import pretrained
from sklearn_cgcnn._command_line import main
from sklearn_cgcnn.datasets import iter_cif_directory, load_cif_directory
from sklearn_cgcnn.streams import iter_predictions

def cpu():
    usages = [resource.getrusage(who) for who in (0, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)

folder, task, without_gemmi = json.loads(sys.argv[1])
if without_gemmi:
    sys.path.insert(0, without_gemmi)
name = "formation_energy"
warnings.simplefilter("ignore")
model = pretrained.load(name)
start = time.perf_counter(), cpu()
eval(task)
print(json.dumps([time.perf_counter() - start[0], cpu() - start[1]]))
"""


def write_files(data_folder, folder):
    texts = []
    ionic = make_ionic_crystals(N_FILES // 2, random_state=0).data
    for i, crystal in enumerate(ionic):
        texts.append(str(CifWriter(crystal, symprec=1e-3 if i % 2 else None)))
    sources = sorted((data_folder / "original" / "mp150").glob("*.cif"))
    published = [Structure.from_file(each) for each in sources]
    rng = np.random.default_rng(0)
    for i in range(N_FILES - len(texts)):
        crystal = published[i % len(published)].copy()
        crystal.apply_strain(rng.normal(0, 0.02, 3))
        texts.append(str(CifWriter(crystal)))
    for i, text in enumerate(texts):
        (folder / f"{i:05}.cif").write_text(text)
    return texts


@pytest.fixture(scope="module")
def texts_and_folder(data_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # coordinates are rounded
        return write_files(data_folder, folder), folder


def measure(checkout, folder, task, without_gemmi=None):
    """Return seconds, and those of all processors together."""
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([str(folder), task, without_gemmi])],
        cwd=folder,  # not in a checkout, from which Python would import
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return json.loads(output.splitlines()[-1])


def report(title, measured):
    seconds, of_processors = np.median(measured, axis=0)
    print(
        f"{title:45} {seconds:6.2f} s, {N_FILES / seconds:5.0f} files/s, "
        f"{1e3 * of_processors / N_FILES:5.2f} ms of a processor per file"
    )
    return seconds


def test_rates(texts_and_folder, tmp_path):
    _, folder = texts_and_folder
    (tmp_path / "gemmi.py").write_text("raise ImportError('as if not installed')")
    runs = {"here": (HERE, None), "here, without gemmi": (HERE, str(tmp_path))}
    if BEFORE:
        runs["before"] = (Path(BEFORE), None)
    for title, task in TASKS.items():
        measured = {name: [] for name in runs}
        for _ in range(N_ROUNDS):
            for name, (checkout, without_gemmi) in runs.items():
                measured[name].append(measure(checkout, folder, task, without_gemmi))
        print()
        seconds = {name: report(f"{title}: {name}", measured[name]) for name in runs}
        if BEFORE:
            print(f"{seconds['before'] / seconds['here']:.1f} times the rate")


def test_readings_of_mutated_files(texts_and_folder, tmp_path, monkeypatch):
    texts, _ = texts_and_folder
    rng = np.random.RandomState(1)
    files = []
    for i in range(N_FILES):
        files.append(tmp_path / f"{i:05}.cif")
        files[-1].write_bytes(mutate(texts[rng.randint(len(texts))], texts, rng))
    made = assert_same_readings(files, monkeypatch)
    print(f"\n{N_FILES} mutated files: the same readings, {sum(made)} made directly")


def test_readings_of_written_files(texts_and_folder, monkeypatch):
    texts, folder = texts_and_folder
    files = [folder / f"{i:05}.cif" for i in range(len(texts))]
    made = assert_same_readings(files, monkeypatch)
    print(f"\n{N_FILES} written files: the same readings, {sum(made)} made directly")
