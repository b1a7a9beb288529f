"""Faults of the host's clocks: it sleeps, or its time is set back."""

from __future__ import annotations

from selenium.webdriver.remote.webdriver import WebDriver

from bench.browsers import SessionSpace
from bench.harness.clocks import Clocks
from bench.harness.injection import Injection
from bench.harness.outcome import Stage


class _Moved(Clocks):
    """Clocks that a fault can move."""

    slept = 0.0
    back = 0.0

    def read(self) -> tuple[float, float | None, float]:
        """The true ones, moved."""
        awake, through, wall = super().read()
        return awake, (awake if through is None else through) + self.slept, wall - self.back


class Slept(Injection):
    """The clock that runs in sleep has gone on without the other, when samples were taken."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._clocks = _Moved()

    def clocks(self) -> Clocks:
        """Clocks that know of it."""
        return self._clocks

    def stage(self, stage: Stage, driver: WebDriver, space: SessionSpace) -> None:
        """Sleep once, in the time of all that was sampled."""
        if stage is Stage.TEARDOWN:
            self._clocks.slept = self._seconds


class SetBack(Slept):
    """The wall clock goes back by an hour."""

    def __init__(self) -> None:
        super().__init__(3600.0)

    def stage(self, stage: Stage, driver: WebDriver, space: SessionSpace) -> None:
        """Set it back once."""
        if stage is Stage.VERIFY:
            self._clocks.back = self._seconds
