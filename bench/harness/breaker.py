"""Leaves a browser alone that fails again and again."""

from __future__ import annotations

from collections import defaultdict

from bench.harness.outcome import Outcome, Stage
from bench.record import RunRecord


class Breaker:
    """Counts failures of each browser build that come one after the other.

    A build counts as failing when it crashes, hangs, or does not start; any other outcome, a wrong result and
    a refusal too, shows that it works. The count is this worker's: another host's browser is another one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failures: defaultdict[str, int] = defaultdict(int)
        self._last: dict[str, str] = {}

    def note(self, record: RunRecord) -> None:
        """Take a run into account."""
        browser = record.requested.browser
        error = record.error
        if record.outcome in (Outcome.INTERRUPTED, Outcome.UNAVAILABLE):
            return
        at_launch = record.outcome is Outcome.ERROR and error is not None and error.stage is Stage.LAUNCH
        if record.outcome in (Outcome.CRASHED, Outcome.TIMEOUT) or at_launch:
            self._failures[browser] += 1
            words = f"{record.outcome.value} in {error.stage.value}: {error.message}" if error else ""
            self._last[browser] = words
        else:
            self._failures[browser] = 0

    def open(self, browser: str) -> str | None:
        """Why this browser is left alone; None where it is not."""
        if not self._limit or self._failures[browser] < self._limit:
            return None
        return (
            f"not started: {self._failures[browser]} runs of {browser} in a row failed, the last one: "
            f"{self._last[browser]}"
        )
