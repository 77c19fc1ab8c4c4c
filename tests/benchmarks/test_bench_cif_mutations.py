"""What the loader of CIF files makes of 10,000 damaged files.

Run by ``tox run -e bench -- -k mutations``. The files are those of the original program
and of the Materials Project, the latter also rewritten with symmetry operations.
"""

import time
import warnings
from collections import Counter

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from cif_mutations import crystal_of, mutate, read_with_others, verdict
from sklearn_cgcnn.datasets import load_cif_directory
from sklearn_cgcnn.datasets._timed_processes import timed_map

N_FILES = 10_000
TIME_LIMIT = 20.0  # seconds


def undamaged_texts(folder):
    """Return texts of three kinds, each with its crystal."""
    published = sorted((folder / "sample-regression").glob("*.cif"))
    calculated = sorted((folder / "mp150").glob("*.cif"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # coordinates are rounded
        kinds = [
            [(f.read_text(), Structure.from_file(f)) for f in files]
            for files in (published, calculated)
        ]
        small = [structure for _, structure in kinds[1] if len(structure) <= 20]
        rewritten = [str(CifWriter(structure, symprec=0.1)) for structure in small]
        kinds.append([(t, Structure.from_str(t, fmt="cif")) for t in rewritten])
    return [[(text, crystal_of(s)) for text, s in kind] for kind in kinds]


def damage(kinds, folder):
    """Write damaged files, and return the crystals before the damage."""
    rng = np.random.RandomState(0)
    others = [text for text, _ in kinds[1]]
    crystals = {}
    for index in range(N_FILES):
        kind = kinds[index % len(kinds)]
        text, crystal = kind[rng.randint(len(kind))]
        name = f"{index:05}"
        (folder / f"{name}.cif").write_bytes(mutate(text, others, rng))
        crystals[name] = crystal
    return crystals


def test_damaged_files(data_folder, tmp_path):
    crystals = damage(undamaged_texts(data_folder / "original"), tmp_path)
    start = time.perf_counter()
    loaded = load_cif_directory(tmp_path, on_error="collect", time_limit=TIME_LIMIT)
    seconds = time.perf_counter() - start
    files = [tmp_path / f"{name}.cif" for name in crystals]
    outcomes = timed_map(
        read_with_others, files, n_processes=1, time_limit=2 * TIME_LIMIT
    )
    read = dict(zip(loaded.ids, map(crystal_of, loaded.data), strict=True))
    counts, wrong, n_hangs = Counter(), [], 0
    for (name, undamaged), (others, failure) in zip(
        crystals.items(), outcomes, strict=True
    ):
        n_hangs += bool(failure)
        reading = read.get(name), name in loaded.notes
        result = verdict(reading, undamaged, *(others or (None, None)))
        counts[result] += 1
        if result[1] == "silently wrong":
            wrong.append(name)
    n_late = sum("took longer" in reason for reason in loaded.failed.values())
    print(f"\n{N_FILES} damaged files, {1e3 * seconds / N_FILES:.0f} ms each")
    print(f"ended by the limit: {n_late} of the loader, {n_hangs} of the others")
    for (others, result), count in sorted(counts.items()):
        print(f"{count:6} pymatgen and ASE {others}: {result}")
    assert not any("its process" in reason for reason in loaded.failed.values())
    assert wrong == []
