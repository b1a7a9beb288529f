"""What happens to the machine's clocks while a run goes on: it sleeps, or somebody sets the time back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

# Shorter than any suspension, and longer than what two readings of two clocks lie apart.
_LEAST_SECONDS = 0.2
_BACK_SECONDS = 0.05


@dataclass(frozen=True)
class Suspension:
    """A time in which the machine stood still, by the wall clock: seconds since 1970."""

    begin: float
    end: float


@dataclass
class Clocks:
    """Looks at three clocks now and then: one that stops in sleep, one that does not, and the wall's.

    Attributes:
        suspensions: what was noticed so far; the true times lie within them.
        back_seconds: how far the wall clock was set back, all steps together.
        knows_sleep: whether this system has a clock that runs in sleep beside one that does not.
    """

    suspensions: list[Suspension] = field(default_factory=list)
    back_seconds: float = 0.0
    knows_sleep: bool = True

    def __post_init__(self) -> None:
        self._awake, self._through, self._wall = self._read()

    def read(self) -> tuple[float, float | None, float]:
        """Seconds awake, seconds with sleep (None where there is no such clock), and the wall clock's."""
        if hasattr(time, "CLOCK_BOOTTIME"):  # Linux
            return time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
        if hasattr(time, "CLOCK_UPTIME_RAW"):  # macOS, whose monotonic clock runs in sleep
            return time.clock_gettime(time.CLOCK_UPTIME_RAW), time.monotonic(), time.time()
        return time.monotonic(), None, time.time()

    def look(self) -> None:
        """Read the clocks and take note of what they say since the last look."""
        awake, through, wall = self._read()
        slept = (through - self._through) - (awake - self._awake)
        if slept > _LEAST_SECONDS:
            self.suspensions.append(Suspension(wall - slept - (awake - self._awake), wall))
        # Sleep moves the wall clock on, not back.
        step = (wall - self._wall) - (through - self._through)
        if step < -_BACK_SECONDS:
            self.back_seconds -= step
        self._awake, self._through, self._wall = awake, through, wall

    def _read(self) -> tuple[float, float, float]:
        awake, through, wall = self.read()
        self.knows_sleep = through is not None
        return awake, awake if through is None else through, wall

    def asleep(self, begin: float, end: float) -> bool:
        """Whether the machine slept between two moments of the wall clock, as near as was looked."""
        return any(begin <= one.end and end >= one.begin for one in self.suspensions)

    def evidence(self) -> dict[str, float]:
        """What a row should say; empty where nothing happened."""
        found = {}
        if self.suspensions:
            found["suspended_seconds"] = round(sum(one.end - one.begin for one in self.suspensions), 1)
        if self.back_seconds:
            found["wall_clock_back_seconds"] = round(self.back_seconds, 3)
        return found
