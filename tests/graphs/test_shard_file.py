import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file

from helpers import flip_bit
from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphFormatError
from sklearn_cgcnn.graphs import ShardedCrystalGraphs
from sklearn_cgcnn.graphs._invariants import DTYPES

N_DAMAGED = 100


@pytest.fixture
def stored(ionic, tmp_path):
    return CrystalGraphFeaturizer().transform_to_disk(
        ionic.data[:30], tmp_path / "graphs", shard_size=10
    )


def damaged(rng, data, kind):
    place = rng.randint(len(data))
    if kind == "truncated":
        return data[:place]
    return flip_bit(data, place, rng.randint(8))


@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_damage_is_reported_with_the_name_of_the_file(stored, kind):
    rng = np.random.RandomState(0)
    files = sorted(stored.path.iterdir())
    assert len(files) == 4
    for _ in range(N_DAMAGED):
        file = files[rng.randint(4)]
        whole = file.read_bytes()
        file.write_bytes(damaged(rng, whole, kind))
        with pytest.raises(GraphFormatError, match=f"{file} (is damaged|has format)"):
            ShardedCrystalGraphs(stored.path).to_memory()
        file.write_bytes(whole)
    assert len(stored.to_memory()) == 30


def test_check_finds_damage_after_the_first_touch(stored, monkeypatch):
    monkeypatch.setattr("sklearn_cgcnn.graphs._shard_file._RECENT", -1e9)
    file = stored.path / "000001.safetensors"
    stored.to_memory()
    whole, status = file.read_bytes(), file.stat()
    file.write_bytes(whole[:-1] + b"x")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    stored.to_memory()  # not read again
    with pytest.raises(GraphFormatError, match=str(file)):
        stored.check()
    with pytest.raises(GraphFormatError, match=str(file)):
        stored.to_memory()


def test_a_shard_is_a_safetensors_file(stored):
    arrays = load_file(stored.path / "000001.safetensors")
    expected = stored[10:20].to_memory()
    assert set(arrays) == set(DTYPES)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, getattr(expected, name), strict=True)


def test_a_shard_of_another_folder_is_refused(stored, ionic, tmp_path):
    CrystalGraphFeaturizer().transform_to_disk(ionic.data[30:], tmp_path / "other")
    other = tmp_path / "other" / "000000.safetensors"
    (stored.path / "000000.safetensors").write_bytes(other.read_bytes())
    with pytest.raises(GraphFormatError, match=r"graphs/000000.safetensors is damaged"):
        stored.to_memory()


def test_a_manifest_of_a_later_release_is_refused(stored):
    file = stored.path / "shards.json"
    manifest = json.loads(file.read_text())
    manifest["format_version"] = 99
    file.write_text(json.dumps(manifest))
    with pytest.raises(GraphFormatError, match=r"version 99.*use a newer release"):
        ShardedCrystalGraphs(stored.path)
