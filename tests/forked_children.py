"""Child processes by fork, which need no imports, and which may be killed."""

import os
import traceback


def in_child(function, *args):
    """Call a function in a child process, and return its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        function(*args)
        status = 0
    except BaseException:  # noqa: BLE001 (nothing may leave the child)
        traceback.print_exc()
    finally:
        os._exit(status)


def was_killed(child):
    """Wait for a child. Return whether a signal ended it, and raise if it failed."""
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise ChildProcessError(f"the child {child} failed; see its traceback")
    return os.WIFSIGNALED(status)
