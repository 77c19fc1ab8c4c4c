import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import sklearn_cgcnn
from sklearn_cgcnn.datasets._cif import read_cif
from sklearn_cgcnn.datasets._timed_processes import timed_map

FUNCTIONS = """
import os, signal, sys, time

def double(x):
    return 2 * x

def act(word):
    if word == "print":
        print("not a result", flush=True)
        os.system("echo neither is this")
    if word == "sleep":
        time.sleep(600)
    if word == "hold the interpreter":
        sum(range(10**12))
    if word == "exit":
        os._exit(3)
    if word == "raise":
        raise ValueError("as it should")
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "abort":
        os.abort()
    return word

def pid(word):
    return os.getpid()

def pause(seconds):
    time.sleep(seconds)
    return seconds

def pause_and_pid(seconds):
    time.sleep(seconds)
    return os.getpid()

def modules(word):
    return sorted(sys.modules)

def record_and_sleep(file):
    with open(file, "w") as stream:
        stream.write(str(os.getpid()))
    time.sleep(600)
"""
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """A module that only this process could import, if it did not tell the others."""
    (tmp_path / "functions_in_processes.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    import functions_in_processes

    yield functions_in_processes
    del sys.modules["functions_in_processes"]


def run(function, arguments, time_limit=60.0, n_processes=1):
    return list(
        timed_map(function, arguments, n_processes=n_processes, time_limit=time_limit)
    )


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("n_processes", [1, 3])
@pytest.mark.parametrize("time_limit", [60.0, 1e30, None])
def test_results_come_in_order(functions, n_processes, time_limit):
    outcomes = run(functions.double, range(20), time_limit, n_processes)
    assert [outcome.value for outcome in outcomes] == list(range(0, 40, 2))
    assert not any(outcome.failure for outcome in outcomes)


@posix
def test_calls_that_fail_are_named_and_spare_the_others(functions):
    words = ["a", "sleep", "b", "exit", "print", "hold the interpreter", "kill"]
    words.append("abort")
    outcomes = run(functions.act, [*words, "c"], time_limit=1.5)
    failures = dict(zip(words, (outcome.failure for outcome in outcomes), strict=False))
    assert failures == {
        **dict.fromkeys(["a", "b", "print"], ""),
        **dict.fromkeys(["sleep", "hold the interpreter"], "took longer than 1.5 s"),
        "exit": "its process ended with exit code 3",
        "kill": "its process was ended by signal SIGKILL, perhaps because memory ran "
        "out",
        "abort": "its process was ended by signal SIGABRT",
    }
    values = [outcome.value for outcome in outcomes if not outcome.failure]
    assert values == ["a", "b", "print", "c"]


def test_exceptions_end_only_their_call(functions, capfd):
    outcomes = run(functions.act, ["raise", "a"])
    assert [outcome.value for outcome in outcomes] == [None, "a"]
    assert outcomes[0].failure == "its process ended with exit code 1"
    assert "ValueError: as it should" in capfd.readouterr().err


def test_the_limit_is_that_of_each_call(functions):
    outcomes = run(functions.pause, [0.5] * 5, time_limit=2.0)
    assert [outcome.value for outcome in outcomes] == [0.5] * 5


def test_calls_are_divided_among_processes(functions):
    pids = {outcome.value for outcome in run(functions.pause_and_pid, [1] * 4, 60, 2)}
    assert len(pids) == 2


def test_few_calls_are_ahead_of_the_caller(functions):
    taken = []

    def arguments():
        for index in range(1000):
            taken.append(index)
            yield index

    outcomes = timed_map(functions.double, arguments(), n_processes=1, time_limit=60)
    assert next(outcomes).value == 0
    time.sleep(1)
    assert len(taken) < 200
    outcomes.close()


def test_one_process_makes_many_calls(functions):
    pids = {outcome.value for outcome in run(functions.pid, range(5))}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_processes_import_little(functions):
    modules = run(functions.modules, [0])[0].value
    assert "sklearn_cgcnn.datasets" in modules
    assert not {"torch", "sklearn", "numpy"}.intersection(modules)
    reading = run(read_cif, [os.devnull], time_limit=60)
    assert "AttributeError" in reading[0].value.reason  # a str is not a path


@posix
def test_processes_end_with_the_map(functions):
    outcomes = timed_map(functions.pid, range(4), n_processes=2, time_limit=60)
    pids = {outcome.value for outcome in outcomes}
    assert not any(map(is_alive, pids))
    outcomes = timed_map(functions.pid, iter(range(4)), n_processes=1, time_limit=60)
    pid = next(outcomes).value
    assert is_alive(pid)
    del outcomes
    gc.collect()
    wait_until(lambda: not is_alive(pid))


@posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_main_one(tmp_path, how):
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    script = tmp_path / "script.py"  # it needs no guard
    script.write_text(
        textwrap.dedent(
            """
            import signal
            from functions import record_and_sleep
            from sklearn_cgcnn.datasets._timed_processes import timed_map

            # Processes in the background ignore it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            limit = 2.0 if {kill} else 600.0
            list(timed_map(record_and_sleep, ["pid"], n_processes=1, time_limit=limit))
            """
        ).format(kill=how == signal.SIGKILL)
    )
    main = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(sklearn_cgcnn.__file__).parents[1])},
        stderr=subprocess.PIPE,
    )
    file = tmp_path / "pid"
    wait_until(lambda: file.exists() and file.read_text(), 120)
    main.send_signal(how)
    _, error = main.communicate(timeout=60)
    assert (b"KeyboardInterrupt" in error) == (how == signal.SIGINT)
    # Without a main process, the process ends itself 10 s after the limit.
    wait_until(lambda: not is_alive(int(file.read_text())), 60)


def test_a_process_that_cannot_start(functions, monkeypatch, capfd):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(RuntimeError, match=r"when it started; .* pass time_limit=None"):
        run(functions.double, [1])
    assert "Error" in capfd.readouterr().err
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RuntimeError, match="cannot start a process"):
        run(functions.double, [1])
