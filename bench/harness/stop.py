"""The wish to stop: from Ctrl-C, from SIGTERM, or from whoever cancelled.

While a browser works, a signal is only noted: every wait asks for it (`check`), so that the run in hand is
ended in order, becomes an `interrupted` row, and leaves no process behind. Everywhere else a signal raises
KeyboardInterrupt at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """One wish to stop; safe to share between threads."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._patient = False

    def request(self) -> None:
        """Ask for a stop."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise KeyboardInterrupt if a stop was asked for."""
        if self._event.is_set():
            raise KeyboardInterrupt

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Within, a signal is noted and raises nothing: the work asks for it where it can end in order."""
        before, self._patient = self._patient, True
        try:
            yield
        finally:
            self._patient = before

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within `patient`: long work that may be broken off anywhere, such as making a bundle."""
        before, self._patient = self._patient, False
        try:
            self.check()
            yield
        finally:
            self._patient = before

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM as this wish. Only in the main thread; elsewhere it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def take(_number: int, _frame: FrameType | None) -> None:
            self._event.set()
            if not self._patient:
                raise KeyboardInterrupt

        before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
