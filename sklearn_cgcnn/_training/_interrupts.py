"""Tell an interrupt by the user from a callback that stops the training."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class InterruptWatch:
    """Context manager that notes whether the user pressed Ctrl-C.

    Callbacks of skorch stop a training by raising KeyboardInterrupt, as Ctrl-C does.
    Only Ctrl-C sends a signal. Its previous handler is still called.
    """

    def __init__(self) -> None:
        self.was_pressed = False
        self._handler = self._handle  # one object, to compare it by identity
        self._previous: Any = None

    def __enter__(self) -> Self:
        # Python runs signal handlers in the main thread alone.
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):
                self._previous = previous
                signal.signal(signal.SIGINT, self._handler)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is None:
            return
        # A handler that someone set in the meantime stays.
        if signal.getsignal(signal.SIGINT) is self._handler:
            signal.signal(signal.SIGINT, self._previous)
        self._previous = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.was_pressed = True
        self._previous(number, frame)
