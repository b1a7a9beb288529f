"""What the machine lacked while a run went on: room, file descriptors, folders to write into, or time.

A browser that lacks them dies or hangs in its own words, which name something else. So the machine is looked
at before the first run and through each run. A run that failed keeps what was found (`circumstances` in its
evidence), and `bench.report.advice` says that before anything else.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from bench.harness.clocks import Clocks
from bench.harness.outcome import Outcome
from bench.settings import cache_root

_MIB = 2**20
# Chromium's profile and first pages take 3 MiB, Firefox's 10; a bundle of a small model a few more.
_ROOM = 32 * _MIB
# Measured: Firefox 153 needs more than 128, Chromium 153 more than 64.
_DESCRIPTORS = 256
_MOST_DESCRIPTORS = 8192
_LOOK_SECONDS = 0.25
_STANDSTILL_SECONDS = 2.0  # more than a loaded machine keeps a thread waiting
# What the machine may be the cause of.
_DOUBTFUL = (Outcome.ERROR, Outcome.CRASHED, Outcome.TIMEOUT, Outcome.DEVICE_LOST)


@dataclass(frozen=True)
class Circumstance:
    """One thing that was amiss: its kind, and a line for people."""

    kind: str
    words: str


def look() -> list[Circumstance]:
    """What is amiss on this machine now."""
    free = {name: room for name, path in _places().items() if (room := _free(path)) is not None}
    return [*_short_of_room(free), *_unwritable(), *_few_descriptors()]


def raise_descriptors() -> None:
    """Allow this process and all that it starts as many open files as the system lets it have."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # not on Windows

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
        if 0 <= soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@dataclass
class Witness:
    """Looks at the machine all through a run, from a thread of its own. A context manager.

    Attributes:
        least_free: place -> the fewest bytes that were free there.
        stood_still: seconds in which this process did not run, though the machine did not sleep.
        clocks: whether it did.
    """

    least_free: dict[str, int] = field(default_factory=dict)
    stood_still: float = 0.0
    clocks: Clocks = field(default_factory=Clocks)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._places = _places()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="witness")

    def __enter__(self) -> Witness:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def found(self, outcome: Outcome) -> list[dict[str, str]]:
        """What a run with this outcome should keep; nothing where it says itself why it ended so."""
        if outcome not in _DOUBTFUL:
            return []
        found = [*_short_of_room(self.least_free), *_unwritable(), *_few_descriptors()]
        if self.stood_still:
            found.append(standstill(self.stood_still, "the harness"))
        if self.clocks.suspensions:
            seconds = sum(one.end - one.begin for one in self.clocks.suspensions)
            found.append(Circumstance("sleep", f"the machine slept for {seconds:.0f} s"))
        return [{"kind": one.kind, "words": one.words} for one in found]

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(_LOOK_SECONDS):
            self._look()
            now = time.monotonic()
            if now - before > _STANDSTILL_SECONDS:
                self.stood_still += now - before
            before = now

    def _look(self) -> None:
        self.clocks.look()
        for name, path in self._places.items():
            if (free := _free(path)) is not None:
                self.least_free[name] = min(free, self.least_free.get(name, free))


def standstill(seconds: float, who: str) -> Circumstance:
    """A process that was stopped, as by Ctrl-Z or a frozen container."""
    return Circumstance("standstill", f"{who} was stopped for {seconds:.0f} s while the run went on")


def _places() -> dict[str, Path]:
    """What needs room -> where."""
    places = {"temporary files": Path(tempfile.gettempdir()), "the cache": cache_root()}
    memory = Path("/dev/shm")  # noqa: S108 - only looked at
    return {**places, "shared memory": memory} if memory.is_dir() else places


def _free(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path).free
    return None


def _short_of_room(free: dict[str, int]) -> list[Circumstance]:
    places = _places()
    return [
        Circumstance("room", f"only {room / _MIB:.1f} MiB were free for {name} in {places[name]}")
        for name, room in free.items()
        if room < _ROOM and name in places
    ]


def _unwritable() -> list[Circumstance]:
    """Folders that each run writes into, and now cannot."""
    found = []
    for name, path in (
        ("temporary files", Path(tempfile.gettempdir())),
        ("the cache", cache_root() / "bundles"),
    ):
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path, prefix=".try-") as file:
                file.write(b"x")
        except OSError as error:
            reason = error.strerror or error
            found.append(Circumstance("unwritable", f"nothing can be written for {name} in {path}: {reason}"))
    return found


def _few_descriptors() -> list[Circumstance]:
    try:
        import resource  # not on Windows
    except ImportError:
        return []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = (
        hard if hard != resource.RLIM_INFINITY else max(soft, _DESCRIPTORS)
    )  # a runner takes what it may
    if allowed >= _DESCRIPTORS:
        return []
    return [
        Circumstance(
            "descriptors", f"only {allowed} file descriptors were allowed, a browser needs {_DESCRIPTORS}"
        )
    ]
