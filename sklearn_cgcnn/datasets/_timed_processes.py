"""Call a function in processes that are ended when a call takes too long.

joblib and concurrent.futures cannot end a single call. multiprocessing could, but its
safe way to start processes runs the user's script again, which then needs a guard.
"""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread, Timer
from typing import Any, NamedTuple

# Each call runs in one thread. With many processes, more would be too many.
_ONE_THREAD = dict.fromkeys(
    ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
_LONGEST = 1e8  # seconds, which timers accept
_START_LIMIT = 300.0  # seconds, for slow disks
_PATIENCE = 10.0  # seconds, for the system to end a process
_N_AHEAD = 128  # calls for each process whose outcomes may wait for the caller

# Calls that a process has been sent. It need not wait for this process between them,
# which might be busy with the outcomes.
_N_SENT = 16
_PIPE_ERRORS = (EOFError, OSError, pickle.UnpicklingError)
_REMEDY = "pass time_limit=None and n_jobs=1 to read in this process"
_WORKER = Path(__file__).with_name("_timed_worker.py")


class Outcome(NamedTuple):
    """The outcome of a call.

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
        The arguments, which should be small.
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
    calls: SimpleQueue[_Call | None] = SimpleQueue()
    processes = [
        _Process(function, time_limit, calls, n_processes) for _ in range(n_processes)
    ]
    threads = [Thread(target=each.serve, daemon=True) for each in processes]
    is_over = Event()
    if time_limit is not None:
        threads.append(Thread(target=_watch, args=(processes, is_over), daemon=True))
    try:
        for thread in threads:
            thread.start()
        yield from _in_order(calls, arguments, _N_AHEAD * n_processes)
    finally:  # also after an interrupt, or if not all outcomes are wanted
        is_over.set()
        for process in processes:
            process.end()
            calls.put(None)
        for thread in threads:
            if thread.ident is not None:  # it was started
                thread.join()


class _Call(NamedTuple):
    argument: Any
    outcome: Future[Outcome]


def _in_order(
    calls: "SimpleQueue[_Call | None]", arguments: Iterable[Any], n_ahead: int
) -> Iterator[Outcome]:
    """Yield outcomes in order, and let no more than some of them wait."""
    pending = deque[Future[Outcome]]()
    for argument in arguments:
        pending.append(Future())
        calls.put(_Call(argument, pending[-1]))
        if len(pending) > n_ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _watch(processes: "list[_Process]", is_over: Event) -> None:
    """End processes whose calls take too long. A timer for each call takes longer."""
    while not is_over.wait(min(process.end_if_late() for process in processes)):
        pass


class _Process:
    """A process that makes one call after another. When it ends, another follows."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        time_limit: float | None,
        calls: "SimpleQueue[_Call | None]",
        n_processes: int,
    ) -> None:
        self._function = function
        self._time_limit = None if time_limit is None else min(time_limit, _LONGEST)
        self._calls, self._n_processes = calls, n_processes
        self._sent = deque[_Call]()  # without an outcome yet
        self._popen: subprocess.Popen[bytes] | None = None
        self._deadline: float | None = None  # of the first call that was sent
        self._is_late = False
        self._is_over = False
        self._lock = Lock()  # none starts after `end`

    def serve(self) -> None:
        """Make calls until there are none, or until `end`."""
        try:
            while self._send_calls() and not self._is_over:
                outcome = self._outcome_of_first()
                self._sent.popleft().outcome.set_result(outcome)
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller gets it)
            for call in self._sent:
                call.outcome.set_exception(error)
        finally:
            self._close()

    def end(self) -> None:
        """Kill the process, and start no other."""
        with self._lock:
            self._is_over = True
            if self._popen is not None:
                self._popen.kill()

    def end_if_late(self) -> float:
        """Kill the process if its call takes too long.

        Returns
        -------
        float
            Seconds until a call can be late.
        """
        assert self._time_limit is not None
        with self._lock:
            if self._deadline is None:
                return self._time_limit
            seconds = self._deadline - time.monotonic()
            if seconds > 0:
                return seconds
            self._deadline, self._is_late = None, True
            if self._popen is not None:
                self._popen.kill()
            return self._time_limit

    def _send_calls(self) -> bool:
        """Send calls ahead, and return whether there are any."""
        while len(self._sent) < min(_N_SENT, 1 + self._share_of_waiting_calls()):
            try:
                call = self._calls.get(block=not self._sent)
            except Empty:
                break
            if call is None:
                self._is_over = True
                break
            self._sent.append(call)
            if self._popen is not None:
                self._send(call)
        return bool(self._sent)

    def _share_of_waiting_calls(self) -> int:
        """Return how many calls to send ahead, and leave as many to the others."""
        return self._calls.qsize() // (2 * self._n_processes)

    def _send(self, call: _Call) -> None:
        # If the process has ended, its first call fails. The others are sent again.
        assert self._popen is not None
        with suppress(OSError):
            _send(self._popen, call.argument)

    def _outcome_of_first(self) -> Outcome:
        popen = self._popen
        if popen is None:
            popen = self._start()
            for call in self._sent:
                self._send(call)
        self._set_deadline(self._time_limit)
        try:
            outcome = Outcome(_receive(popen), "")
        except _PIPE_ERRORS:
            outcome = Outcome(None, f"its process {_how_it_ended(popen)}")
        self._set_deadline(None)
        if self._is_late or outcome.failure:
            self._close()
        if self._is_late and outcome.failure:
            outcome = Outcome(None, f"took longer than {self._time_limit:g} s")
        self._is_late = False
        return outcome

    def _set_deadline(self, seconds: float | None) -> None:
        with self._lock:
            self._deadline = None if seconds is None else time.monotonic() + seconds

    def _close(self) -> None:
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
            self._close()
            raise RuntimeError(
                f"a process {how} when it started; if it left a message, it is on "
                f"standard error; {_REMEDY}"
            ) from error
        return popen


@contextmanager
def _killed_after(seconds: float, popen: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Kill a process if the block takes too long."""
    timer = Timer(seconds, popen.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
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
