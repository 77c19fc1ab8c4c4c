"""Call a function in processes that are ended when a call takes too long.

joblib and concurrent.futures cannot end a single call. multiprocessing could, but its
safe way to start processes runs the user's script again, which then needs a guard.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Timer
from typing import Any, NamedTuple

# Each call runs in one thread. With many processes, more would be too many.
_ONE_THREAD = dict.fromkeys(
    ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
_LONGEST = 1e8  # seconds, which timers accept
_START_LIMIT = 300.0  # seconds, for slow disks
_PATIENCE = 10.0  # seconds, for the system to end a process
_N_AHEAD = 16  # calls for each process whose outcomes may wait for the caller
_PIPE_ERRORS = (EOFError, OSError, pickle.UnpicklingError)
_REMEDY = "pass time_limit=None and n_jobs=1 to read in this process"
_WORKER = Path(__file__).with_name("_timed_worker.py")


class Outcome(NamedTuple):
    """What came of a call.

    Attributes
    ----------
    value : object
        What the function returned, or None if the call failed.
    failure : str
        Why the process ended during the call, or an empty string.
    """

    value: Any
    failure: str


def timed_map(
    function: Callable[[Any], Any],
    arguments: Iterable[Any],
    *,
    n_processes: int,
    time_limit: float | None,
) -> Generator[Outcome, None, None]:
    """Call a function with each argument in other processes, with a time limit.

    Parameters
    ----------
    function : callable
        A function that can be pickled, in a module whose import is quick.
    arguments : iterable
        The arguments.
    n_processes : int
        Number of processes.
    time_limit : float or None
        Seconds after which a call is ended with its process. None means no limit.

    Yields
    ------
    Outcome
        In the order of the arguments. A call whose process is ended, by the limit or by
        a crash, fails. A new process makes the following calls.

    Raises
    ------
    RuntimeError
        If a process cannot be started.
    """
    processes = [_Process(function, time_limit) for _ in range(n_processes)]
    idle: SimpleQueue[_Process] = SimpleQueue()
    for process in processes:
        idle.put(process)

    def call(argument: Any) -> Outcome:
        process = idle.get()
        try:
            return process.call(argument)
        finally:
            idle.put(process)

    executor = ThreadPoolExecutor(n_processes)
    try:
        yield from _in_order(executor, call, arguments, _N_AHEAD * n_processes)
    finally:  # also after an interrupt, or if not all outcomes are wanted
        for process in processes:
            process.end()
        executor.shutdown(cancel_futures=True)
        for process in processes:
            process.close()


def _in_order(
    executor: ThreadPoolExecutor,
    call: Callable[[Any], Outcome],
    arguments: Iterable[Any],
    n_ahead: int,
) -> Iterator[Outcome]:
    """Yield outcomes in order. `map` of the executor would not wait for the caller."""
    pending = deque[Future[Outcome]]()
    for argument in arguments:
        pending.append(executor.submit(call, argument))
        if len(pending) > n_ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class _Process:
    """A process that makes one call at a time. When it ends, another follows."""

    def __init__(
        self, function: Callable[[Any], Any], time_limit: float | None
    ) -> None:
        self._function = function
        self._time_limit = None if time_limit is None else min(time_limit, _LONGEST)
        self._popen: subprocess.Popen[bytes] | None = None
        self._is_over = False
        self._lock = Lock()  # none starts after `end`

    def call(self, argument: Any) -> Outcome:
        popen = self._popen or self._start()
        with _killed_after(self._time_limit, popen) as expired:
            try:
                _send(popen, argument)
                outcome = Outcome(_receive(popen), "")
            except _PIPE_ERRORS:
                how = _how_it_ended(popen)
                outcome = Outcome(None, f"its process {how}")
        if expired.is_set() or outcome.failure:
            self.close()
        if expired.is_set() and outcome.failure:
            return Outcome(None, f"took longer than {self._time_limit:g} s")
        return outcome

    def end(self) -> None:
        """Kill the process, and start no other."""
        with self._lock:
            self._is_over = True
            if self._popen is not None:
                self._popen.kill()

    def close(self) -> None:
        """Kill the process, and close its pipes."""
        popen, self._popen = self._popen, None
        if popen is None:
            return
        popen.kill()
        popen.wait()
        for pipe in (popen.stdin, popen.stdout):
            # What was written to a process that has ended cannot be flushed.
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._is_over:
                raise RuntimeError("no process is started any more")
            try:
                popen = self._popen = subprocess.Popen(
                    [sys.executable or "", "-P", str(_WORKER)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **_ONE_THREAD},
                )
            except OSError as error:
                raise RuntimeError(
                    f"cannot start a process of {sys.executable!r} ({error}); {_REMEDY}"
                ) from error
        try:
            with _killed_after(_START_LIMIT, popen):
                _send(popen, [entry for entry in sys.path if isinstance(entry, str)])
                _send(popen, (self._function, self._time_limit))
                _receive(popen)
        except _PIPE_ERRORS as error:
            how = _how_it_ended(popen)
            self.close()
            raise RuntimeError(
                f"a process {how} when it started; if it left a message, it is on "
                f"standard error; {_REMEDY}"
            ) from error
        return popen


@contextmanager
def _killed_after(
    seconds: float | None, popen: "subprocess.Popen[bytes]"
) -> Iterator[Event]:
    """Kill a process that is not done in time, and set the event that is returned."""
    expired = Event()
    if seconds is None:
        yield expired
        return

    def expire() -> None:
        expired.set()
        popen.kill()

    timer = Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
        timer.join()  # it has either expired or never will


def _send(popen: "subprocess.Popen[bytes]", value: Any) -> None:
    assert popen.stdin is not None
    pickle.dump(value, popen.stdin)
    popen.stdin.flush()


def _receive(popen: "subprocess.Popen[bytes]") -> Any:
    assert popen.stdout is not None
    return pickle.load(popen.stdout)


def _how_it_ended(popen: "subprocess.Popen[bytes]") -> str:
    """Describe the end of a process that has closed its pipes."""
    try:
        code = popen.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        return "stopped answering"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    hint = ", perhaps because memory ran out" if name == "SIGKILL" else ""
    return f"was ended by signal {name}{hint}"
