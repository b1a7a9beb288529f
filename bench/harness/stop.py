"""The wish to stop: from Ctrl-C, SIGTERM, a terminal that closes (SIGHUP), or from whoever cancelled.

While a browser works, a signal is only noted: every wait asks for it (`check`), so that the run in hand is
ended in order, becomes an `interrupted` row, and leaves no process behind. Everywhere else a signal raises
KeyboardInterrupt at once.

A campaign is more patient still (`finishing`): the first Ctrl-C lets it finish the run in hand (`soon`), the
second ends that too. SIGTERM and SIGHUP never wait: whoever sends them is about to kill.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def stopping_signals() -> list[signal.Signals]:
    """The signals that end a campaign in order. `nohup` lets SIGHUP be ignored, and it stays so."""
    found = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        found.append(hangup)
    return found


class Stop:
    """One wish to stop; safe to share between threads."""

    def __init__(self) -> None:
        self._now = threading.Event()
        self._soon = threading.Event()
        self._patient = False
        self._first: Callable[[], None] | None = None

    def request(self) -> None:
        """Ask for a stop of the run in hand."""
        self._now.set()

    @property
    def requested(self) -> bool:
        """Whether the run in hand is to be ended."""
        return self._now.is_set()

    @property
    def soon(self) -> bool:
        """Whether no further run is to begin."""
        return self._soon.is_set() or self._now.is_set()

    def check(self) -> None:
        """Raise KeyboardInterrupt if the run in hand is to be ended."""
        if self._now.is_set():
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
    def finishing(self, first: Callable[[], None]) -> Iterator[None]:
        """As `patient`; besides, the first Ctrl-C only sets `soon`, and `first` is called to say so."""
        with self.patient():
            before, self._first = self._first, first
            try:
                yield
            finally:
                self._first = before

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
        """Take Ctrl-C, SIGTERM and SIGHUP as this wish. Only in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def take(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGINT and self._first is not None and not self.soon:
                self._soon.set()
                self._first()
                return
            self._now.set()
            if not self._patient:
                raise KeyboardInterrupt

        before = {number: signal.signal(number, take) for number in stopping_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
