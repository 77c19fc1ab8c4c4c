import errno
import json
import os
import subprocess
import sys

import pytest

import killed_writing
from helpers import full_disk
from killed_writing import contents
from sklearn_cgcnn import CrystalGraphFeaturizer
from sklearn_cgcnn.exceptions import GraphSettingsError, StructureError
from sklearn_cgcnn.graphs import ShardedCrystalGraphs, _shard_writer

N_KILLS = 20


@pytest.fixture(scope="module")
def structures(ionic, irregular):
    return irregular[:20] + ionic.data[:30]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a" / "graphs"


def write(structures, path, featurizer=None, **options):
    featurizer = featurizer or CrystalGraphFeaturizer()
    return featurizer.transform_to_disk(structures, path, shard_size=8, **options)


def interrupted(structures, n_read, error=KeyboardInterrupt):
    yield from structures[:n_read]
    raise error


def test_structures_are_read_as_they_are_needed(structures, path):
    n_read = 0

    def read():
        nonlocal n_read
        for structure in structures:
            n_read += 1
            yield structure
            n_files = len(list(path.glob("*.safetensors")))
            assert n_read - 8 * n_files <= 9

    write(read(), path)
    assert n_read == 50


@pytest.mark.parametrize("n_read", [0, 5, 8, 23, 50])
def test_resuming_gives_the_same_files(structures, path, tmp_path, n_read):
    write(structures, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        write(interrupted(structures, n_read), path)
    partial = ShardedCrystalGraphs(path)
    assert len(partial) == n_read // 8 * 8
    assert not partial.is_complete
    assert "is_complete=False" in repr(partial)
    graphs = write(iter(structures), path, if_exists="resume")
    assert graphs.is_complete
    assert len(graphs) == 50
    assert contents(path) == contents(tmp_path / "whole")
    write(structures, path, if_exists="resume")  # nothing is left to do
    assert contents(path) == contents(tmp_path / "whole")


def test_kills_lose_nothing(tmp_path):
    # In a process of its own: it forks, which threads of this one would not survive.
    command = [sys.executable, killed_writing.__file__, tmp_path, str(N_KILLS)]
    found = json.loads(subprocess.check_output(command))
    assert found["n_kills"] == N_KILLS
    # Some of them came in the middle of the writing.
    assert len(set(found["progress"]) - {0, 120}) > 3


def test_appending_and_resuming_what_was_appended(structures, path, tmp_path):
    first = write(structures[:20], path)
    with pytest.raises(KeyboardInterrupt):
        write(interrupted(structures[20:], 10), path, if_exists="append")
    assert len(first) == 20
    with pytest.raises(ValueError, match=r'incomplete.*if_exists="resume"'):
        write(structures[20:], path, if_exists="append")
    write(structures[20:], path, if_exists="resume")
    assert len(ShardedCrystalGraphs(path)) == 50
    whole = tmp_path / "whole"
    write(structures[:20], whole)
    write(structures[20:], whole, if_exists="append")
    assert contents(path) == contents(whole)


def test_appending_nothing_leaves_the_folder_as_it_was(structures, path):
    write(structures[:20], path)
    with pytest.raises(ValueError, match="X contains no crystals"):
        write(iter([]), path, if_exists="append")
    assert ShardedCrystalGraphs(path).is_complete
    assert len(write(structures[20:], path, if_exists="append")) == 50


def test_resuming_with_other_crystals_is_refused(structures, path):
    write(structures, path)
    with pytest.raises(FileExistsError, match=r'exists; choose.*if_exists="resume"'):
        write(structures, path)
    with pytest.raises(ValueError, match=r"X\[0\] has \d sites, but the crystal"):
        write(structures[1:], path, if_exists="resume")
    with pytest.raises(ValueError, match="X has 30 crystals, but 50 were written"):
        write(structures[:30], path, if_exists="resume")
    with pytest.raises(ValueError, match="X has more than 50 crystals"):
        write(structures + structures[:1], path, if_exists="resume")
    other = CrystalGraphFeaturizer(max_neighbors=5)
    for if_exists in ("resume", "append"):
        with pytest.raises(GraphSettingsError, match="max_neighbors=5 instead of 12"):
            write(structures, path, other, if_exists=if_exists)
    assert len(ShardedCrystalGraphs(path).to_memory()) == 50


def test_folders_of_something_else_stay_untouched(structures, tmp_path):
    file = tmp_path / "thesis.unfinished"
    file.write_text("")
    for if_exists in ("raise", "resume", "append"):
        for path in (tmp_path, file):
            with pytest.raises(FileExistsError):
                write(structures, path, if_exists=if_exists)
    assert list(tmp_path.iterdir()) == [file]


def test_failed_crystals_keep_their_place(structures, path):
    X = [*structures[:20], "no crystal", *structures[20:30], 5]
    with pytest.raises(TypeError, match=r"X\[20\]"):
        write(iter(X), path)
    assert len(ShardedCrystalGraphs(path)) == 16
    collecting = CrystalGraphFeaturizer(on_error="collect")
    graphs = write(iter(X), path, collecting, if_exists="resume")
    assert list(graphs.failed) == [20, 31]
    assert list(graphs[18:].failed) == [2, 13]
    assert dict(graphs.failed) == dict(collecting.transform(X).failed)
    # A whole shard may fail.
    graphs = write(["a"] * 9, path, collecting, if_exists="append")
    assert len(graphs.failed) == 11


def test_an_error_counts_from_the_first_crystal(structures, path):
    far = structures[0].copy()
    far.replace_species({species: {species: 0.5} for species in far.composition})
    X = [*structures[:20], far, structures[20], far, *structures[21:]]
    message = (
        r"2 of 24 crystals cannot.*\n.*X\[20\].*\n.*X\[22\](.|\n)*X\[23\] were not"
    )
    with pytest.raises(StructureError, match=message) as caught:
        write(X, path)
    assert caught.value.index == 20
    assert len(ShardedCrystalGraphs(path)) == 16


def test_many_sites_end_a_shard(structures, path, monkeypatch):
    monkeypatch.setattr(_shard_writer, "_MAX_SITES", 20)
    write(structures, path)
    for shard in sorted(path.glob("*.safetensors"))[:-1]:
        index = int(shard.stem)
        _, part = list(ShardedCrystalGraphs(path).chunks())[index]
        assert len(part) == 8 or len(part.site_map) >= 20
        assert len(part[:-1].site_map) < 20


@pytest.mark.parametrize("X", [[], iter([])], ids=["list", "iterator"])
def test_no_crystals(X, path):
    with pytest.raises(ValueError, match="X contains no crystals"):
        write(X, path)


def test_graphs_are_not_structures(structures, path):
    graphs = CrystalGraphFeaturizer().transform(structures)
    with pytest.raises(TypeError, match="X is of type CrystalGraphs, but must hold"):
        write(graphs, path)
    with pytest.raises(TypeError, match=r"X\[0\] is of type CrystalGraphs, but an"):
        write(iter(graphs), path)


def test_processes_make_the_same_files(structures, path, tmp_path):
    many = structures * 4
    CrystalGraphFeaturizer().transform_to_disk(many, path, shard_size=150)
    other = tmp_path / "other"
    CrystalGraphFeaturizer(n_jobs=2).transform_to_disk(many, other, shard_size=150)
    assert contents(path) == contents(other)


@pytest.mark.parametrize("what", ["manifest", "shard"])
def test_a_full_disk_leaves_what_was_there(structures, path, tmp_path, what):
    whole = tmp_path / "whole"
    for folder in (path, whole):
        write(structures[:20], folder)
    write(structures[20:], whole, if_exists="append")
    before = contents(path)
    del before["shards.json"]  # says that something is to follow
    sizes = [len(data) for name, data in contents(whole).items() if name not in before]
    limit = 100 if what == "manifest" else max(sizes[1:]) - 1
    message = os.strerror(errno.EFBIG)
    with full_disk(limit), pytest.raises(OSError, match=message):
        write(structures[20:], path, if_exists="append")
    assert contents(path).items() >= before.items()
    assert {file.suffix for file in path.iterdir()} == {".json", ".safetensors"}
    partial = ShardedCrystalGraphs(path)
    partial.check()
    assert partial.is_complete is (what == "manifest")  # or nothing has begun
    again = "append" if partial.is_complete else "resume"
    write(structures[20:], path, if_exists=again)
    assert contents(path) == contents(whole)
