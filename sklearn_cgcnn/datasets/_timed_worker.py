"""Answer calls in a process of its own; run by its path, see `_timed_processes`.

The package ``sklearn_cgcnn`` takes seconds to import, as it imports torch. The process
therefore has empty modules in place of the packages that only lead to the function.
"""

import faulthandler
import os
import pickle
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import IO

_FOLDER = Path(__file__).parent
_PACKAGES = {"sklearn_cgcnn": _FOLDER.parent, "sklearn_cgcnn.datasets": _FOLDER}
_GRACE = 10.0  # seconds


def main() -> None:
    """Read a function from standard input, then arguments, and write its results."""
    # An interrupt from the keyboard reaches all processes. The main process reacts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    calls, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    discarded = os.open(os.devnull, os.O_WRONLY)
    os.dup2(discarded, 1)  # what others print must not get into the results
    sys.path[:] = pickle.load(calls)
    _lead_to_packages()
    function, time_limit = pickle.load(calls)
    _send(results, "ready")
    while True:
        try:
            argument = pickle.load(calls)
        except EOFError:  # the main process has finished, or is gone
            return
        # The main process enforces the limit. If it is gone, this ends the process,
        # even if the interpreter executes no Python code meanwhile.
        if time_limit is not None:
            faulthandler.dump_traceback_later(
                time_limit + _GRACE, exit=True, file=discarded
            )
        result = function(argument)
        faulthandler.cancel_dump_traceback_later()
        _send(results, result)


def _lead_to_packages() -> None:
    for name, folder in _PACKAGES.items():
        module = ModuleType(name)
        module.__path__ = [str(folder)]
        sys.modules[name] = module


def _send(results: IO[bytes], value: object) -> None:
    pickle.dump(value, results)
    results.flush()


if __name__ == "__main__":
    main()
