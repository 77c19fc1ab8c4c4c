"""Compiled loops on disk: used where they are intact, otherwise compiled again."""

import inspect
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numba
import numpy as np
import pytest

from helpers import flip_bit, full_disk
from sklearn_cgcnn._ops import _numba_cache, _numba_layer_loops
from sklearn_cgcnn._ops._numba_math import compile_loop

ORIGIN = ("1.0", "2.0", b"hash of the source")


def double(x):
    for i in range(len(x)):
        x[i] *= 2


def triple(x):
    for i in range(len(x)):
        x[i] *= 3


def run(loop=double):
    """Run a loop as a new process would, and return whether it was loaded."""
    compiled = _numba_cache.store_on_disk(numba.njit(loop))
    x, expected = np.arange(4.0), np.arange(4.0)
    loop(expected)
    compiled(x)
    np.testing.assert_array_equal(x, expected)
    hits, misses = (
        sum(each.values())
        for each in (compiled.stats.cache_hits, compiled.stats.cache_misses)
    )
    assert hits + misses == 1
    return bool(hits)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def stored(folder):
    """The file that holds the compiled loop."""
    assert not run()
    (path,) = (each for each in folder.rglob("*") if each.is_file())
    return path


def test_an_intact_file_is_loaded(stored):
    written = stored.stat().st_mtime_ns
    assert run()
    assert stored.stat().st_mtime_ns == written


DAMAGE = {
    "empty": lambda data: b"",
    "shorter than a checksum": lambda data: data[:20],
    "only a checksum": lambda data: data[:32],
    "truncated": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "one byte too many": lambda data: data + b"\0",
    "a bit of the checksum": lambda data: flip_bit(data, 0),
    "a bit of the machine code": lambda data: flip_bit(data, len(data) // 2),
    "zeros": lambda data: bytes(len(data)),
    "noise": lambda data: np.random.RandomState(0).bytes(len(data)),
    "without its checksum": lambda data: data[32:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_replaced(stored, damage):
    stored.write_bytes(damage(stored.read_bytes()))
    assert not run()
    assert run()


def test_a_missing_file_is_written_again(stored):
    stored.unlink()
    assert not run()
    assert run()


def test_the_file_of_another_loop_is_replaced(stored, folder):
    assert not run(triple)
    (other,) = (each for each in folder.rglob("*.nbc") if each != stored)
    stored.write_bytes(other.read_bytes())
    assert not run()
    assert run()


def test_if_numba_cannot_use_intact_data_the_loop_is_compiled_again(
    stored, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(
            _numba_cache._CheckedFiles, "load", lambda *_: ("of", "another", "build")
        )
        assert not run()
    assert run()


def test_intact_data_that_cannot_be_unpickled_are_replaced(stored, monkeypatch):
    stored.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(_numba_cache, "dumps", lambda _: b"no pickle")
        assert not run()
    assert not run()
    assert run()


def test_a_folder_in_place_of_the_file_changes_nothing(stored):
    stored.unlink()
    stored.mkdir()
    assert not run()
    assert not run()
    assert list(stored.parent.iterdir()) == [stored]


def test_a_file_that_cannot_be_opened_is_replaced(stored):
    stored.unlink()
    stored.symlink_to(stored)
    assert not run()
    assert run()


def test_if_the_folder_becomes_a_file_the_loop_is_compiled(stored):
    compiled = _numba_cache.store_on_disk(numba.njit(double))
    stored.unlink()
    stored.parent.rmdir()
    stored.parent.touch()
    x = np.ones(1)
    compiled(x)
    assert x[0] == 2


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o300])
def test_if_the_folder_becomes_protected_the_loop_is_compiled(stored, mode):
    compiled = _numba_cache.store_on_disk(numba.njit(double))
    stored.chmod(0o000)
    if os.access(stored, os.R_OK):
        pytest.skip("this user, or this system, may read a file without permission")
    stored.parent.chmod(mode)
    try:
        x = np.ones(1)
        compiled(x)
        assert x[0] == 2
    finally:
        stored.parent.chmod(0o700)


@pytest.mark.parametrize("n_bytes", [0, 1000])
def test_if_the_disk_is_full_nothing_is_left_behind(folder, n_bytes):
    with full_disk(n_bytes):
        assert not run()
    assert not [each for each in folder.rglob("*") if each.is_file()]
    assert not run()
    assert run()


def test_without_a_folder_that_can_be_written_to_each_process_compiles(
    folder, monkeypatch
):
    cache = numba.core.caching.FunctionCache
    monkeypatch.setattr(cache._impl_class, "_locator_classes", [])
    assert not run()
    assert not run()
    assert not list(folder.iterdir())


def test_a_function_that_numba_does_not_compile_is_returned():
    assert _numba_cache.store_on_disk(double) is double


def test_recompiling_removes_what_was_stored(stored):
    stored.with_name("another_loop.nbc").touch()
    compiled = _numba_cache.store_on_disk(numba.njit(double))
    compiled(np.ones(1))
    written = stored.stat().st_mtime_ns
    compiled.recompile()
    assert stored.stat().st_mtime_ns > written
    assert stored.with_name("another_loop.nbc").exists()


def test_no_truncation_and_no_flipped_bit_is_missed(tmp_path):
    files = _numba_cache._CheckedFiles(tmp_path, "loop", ORIGIN)
    files.save("key", 5)
    (path,) = tmp_path.iterdir()
    intact = path.read_bytes()
    flipped = (
        flip_bit(intact, place, bit) for place in range(len(intact)) for bit in range(8)
    )
    truncated = (intact[:length] for length in range(len(intact)))
    for damaged in chain(flipped, truncated):
        path.write_bytes(damaged)
        assert files.load("key") is None
    path.write_bytes(intact)
    assert files.load("key") == 5


@pytest.mark.parametrize("field", range(len(ORIGIN)))
def test_what_was_stored_by_other_versions_is_ignored(tmp_path, field):
    other = (*ORIGIN[:field], "other", *ORIGIN[field + 1 :])
    _numba_cache._CheckedFiles(tmp_path, "loop", other).save("key", 1)
    files = _numba_cache._CheckedFiles(tmp_path, "loop", ORIGIN)
    assert files.load("key") is None
    files.save("key", 2)
    assert files.load("key") == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_writing_at_the_same_time_mixes_nothing_up(tmp_path):
    """Each reader gets the whole of what one of the writers wrote for its key."""
    files = _numba_cache._CheckedFiles(tmp_path, "loop", ORIGIN)
    keys = ["first", "second"]
    for key in keys:
        files.save(key, (key, 0, bytes(100_000)))

    def write_and_read(number):
        key = keys[number % 2]
        files.save(key, (key, number, bytes(100_000)))
        return files.load(key)[0] == key

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(write_and_read, range(200)))
    assert len(list(tmp_path.iterdir())) == 2


def call(term_gradients, update_sites):
    """Return how often each loop was loaded, and what they compute."""
    random = np.random.RandomState(0)
    sites, summed, standard, updated = random.rand(4, 5, 4).astype("f")
    coefficients, covariances, grads = random.rand(5), *random.rand(2, 5, 4).astype("f")
    constants, buffer = random.rand(4, 4).astype("f"), np.empty(4)
    term_gradients(0, 2, coefficients, covariances, *constants, 2, grads)
    inputs = sites, summed, random.rand(5).astype("f"), *constants[:2], 1e-5, buffer
    update_sites(*inputs, standard, updated, *np.empty((3, 4), "f"))
    loops = (term_gradients, update_sites)
    n_loaded = [len(loop.stats.cache_hits) for loop in loops]
    return *n_loaded, grads.tobytes().hex(), updated.tobytes().hex()


IN_A_NEW_PROCESS = f"""
import numpy as np
from sklearn_cgcnn._ops._numba_layer_loops import term_gradients, update_sites

{inspect.getsource(call)}
print(*call(term_gradients, update_sites))
"""


def test_a_new_process_loads_what_is_intact(folder):
    loops = _numba_layer_loops.term_gradients, _numba_layer_loops.update_sites
    *n_loaded, grads, updated = call(*(compile_loop(x.py_func) for x in loops))
    assert n_loaded == [0, 0]
    (path,) = folder.rglob("*.update_sites-*")
    path.write_bytes(DAMAGE["a bit of the machine code"](path.read_bytes()))
    command = [sys.executable, "-c", IN_A_NEW_PROCESS]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    finished = subprocess.run(
        command, check=True, timeout=300, env=environment, stdout=subprocess.PIPE
    )
    assert finished.stdout.decode().split() == ["1", "0", grads, updated]
