import numpy as np
import pytest
from pymatgen.io.cif import CifWriter

from cif_mutations import crystal_of, mutate, read_with_others, verdict
from sklearn_cgcnn.datasets import load_cif_directory, make_ionic_crystals
from sklearn_cgcnn.datasets._timed_processes import timed_map


# Of pymatgen, which finds the symmetry: spglib announces another way to raise errors,
# and old versions use functions that monty has deprecated.
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING", "ignore:gcd is deprecated")
def test_damaged_files_are_never_read_wrongly_in_silence(tmp_path):
    crystals = make_ionic_crystals(20, random_state=0).data
    texts = [str(CifWriter(crystal)) for crystal in crystals[:10]]
    texts += [str(CifWriter(crystal, symprec=1e-3)) for crystal in crystals[10:]]
    rng = np.random.RandomState(0)
    for index, text in enumerate(5 * texts):
        content = mutate(text, texts, rng)
        (tmp_path / f"{index:03}.cif").write_bytes(content)
    (tmp_path / "plain").mkdir()
    for index, text in enumerate(texts):
        (tmp_path / "plain" / f"{index:03}.cif").write_text(text)
    plain = load_cif_directory(tmp_path / "plain", time_limit=None)
    assert plain.notes == {}
    loaded = load_cif_directory(tmp_path, on_error="collect", time_limit=20)
    assert 20 < len(loaded.ids) < 90
    assert not any("process" in reason for reason in loaded.failed.values())
    files = sorted(tmp_path.glob("*.cif"))
    outcomes = timed_map(read_with_others, files, n_processes=1, time_limit=20)
    read = dict(zip(loaded.ids, map(crystal_of, loaded.data), strict=True))
    for index, (file, outcome) in enumerate(zip(files, outcomes, strict=True)):
        reading = read.get(file.stem), file.stem in loaded.notes
        undamaged = crystal_of(plain.data[index % len(texts)])
        others = outcome.value or (None, None)
        assert verdict(reading, undamaged, *others)[1] != "silently wrong", file.stem
