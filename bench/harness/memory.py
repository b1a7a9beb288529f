"""Memory of a browser's processes while a session goes on, read from /proc from outside the browser.

The kernel keeps the most that each process ever had resident (`VmHWM`), so that no peak falls between two
looks, and reading that takes the process nothing. Its proportional set size (PSS) takes the kernel
milliseconds in which the process can map no memory; it is read once, when nothing is timed any more.

Source: proc_pid_status(5), proc_pid_smaps(5).
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.browsers.base import ROLES, Role
from bench.harness.outcome import Stage

EVERY_SECONDS = 0.25
TIMED_SECONDS = 1.0  # between two looks while samples are timed
_SCAN_SECONDS = 1.0
_KB = 1024 / 1e6  # the kernel's kB in MB
_MEASURE = "most resident memory of each process (VmHWM), shared pages whole"
_STARTING = (Stage.LAUNCH, Stage.PROBE)
_TIMED = (Stage.WARMUP, Stage.MEASURE)  # looking for processes takes 10 ms of a core


@dataclass
class _Seen:
    """One process: MB at the page's first stage, most by the kernel, most that was seen since that stage."""

    role: Role
    peak: float = 0.0
    before: float | None = None
    loaded: float | None = None
    pss: float | None = None

    @property
    def growth(self) -> float:
        return (self.loaded or 0.0) - (self.before or 0.0)

    def told(self) -> dict[str, float]:
        found = {
            "peak_mb": self.peak,
            "before_load_mb": self.before,
            "peak_since_load_mb": self.loaded,
            "pss_at_end_mb": self.pss,
        }
        return {name: round(value, 3) for name, value in found.items() if value is not None}


class MemoryWatch:
    """Looks at a session's processes from a thread of its own, from `start` to `finish`.

    Args:
        processes: gives those of the session.
        role: what a process is by its command line (`bench.browsers.base.Browser.role`).
    """

    def __init__(
        self, processes: Callable[[], list[psutil.Process]], role: Callable[[Sequence[str]], Role | None]
    ) -> None:
        self._processes, self._role = processes, role
        self._seen: dict[int, _Seen] = {}
        self._others: set[int] = set()
        self._stage = Stage.LAUNCH
        self._scanned, self._stale = 0.0, True
        self._cost = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="memory")

    def start(self) -> None:
        """Begin to look; on another system than Linux nothing can be seen."""
        if sys.platform.startswith("linux"):
            self._thread.start()

    def enter(self, stage: Stage) -> None:
        """Say that the page has reached a stage."""
        if stage is not self._stage:
            self._stage, self._stale = stage, stage not in _TIMED

    def found(self) -> dict[str, Any]:
        """What is known so far: the page's process, the GPU process and the main one, each in MB.

        Of several that may be the page's, the one that grew most since the page began to load is. Empty where
        nothing can be told: on another system, or of a browser whose processes nobody can tell apart.
        """
        seen = list(self._seen.values())
        parts: dict[str, Any] = {}
        for role in ROLES:
            members = [one for one in seen if one.role == role and one.peak]
            best = max(members, key=lambda one: (one.growth, one.peak), default=None)
            parts[role] = best.told() if best else None
        if parts["page"] is None:
            return {}
        note = None if parts["gpu"] else "the browser has no GPU process: the main one does its work"
        found: dict[str, Any] = {"measure": _MEASURE, "cost_ms": round(1000 * self._cost, 3), **parts}
        return found | ({"note": note} if note else {})

    def finish(self) -> None:
        """End, with a last look and PSS now that nothing is timed; what is gone keeps what was seen of it."""
        self._ended.set()
        if not self._thread.is_alive():
            return
        self._thread.join(timeout=2.0)
        if self._thread.is_alive():
            return  # a look that the kernel does not answer must not hold up the end of a run
        self._look()
        for number, one in self._seen.items():
            one.pss = _fields(f"/proc/{number}/smaps_rollup", "Pss:").get("Pss:")

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._scan()
            self._look()
            self._cost = time.thread_time()
            self._ended.wait(TIMED_SECONDS if self._stage in _TIMED else EVERY_SECONDS)

    def _scan(self) -> None:
        """Take note of new processes: while the browser starts, and once in each stage that times nothing."""
        starting = self._stage in _STARTING and time.monotonic() - self._scanned >= _SCAN_SECONDS
        if not (starting or self._stale):
            return
        self._stale = False
        for process in self._processes():
            if process.pid not in self._seen and process.pid not in self._others:
                with contextlib.suppress(psutil.Error, OSError):
                    # Chromium's children write their command line over their environment, in one piece.
                    role = self._role(" ".join(process.cmdline()).split())
                    if role is None:
                        self._others.add(process.pid)
                    else:
                        self._seen[process.pid] = _Seen(role)
        self._scanned = time.monotonic()

    def _look(self) -> None:
        begun = self._stage not in _STARTING
        for number, one in list(self._seen.items()):
            found = _fields(f"/proc/{number}/status", "VmHWM:", "VmRSS:")
            if len(found) < 2:
                continue  # gone
            peak, now = found["VmHWM:"], found["VmRSS:"]
            if not begun:
                one.before = now
            else:
                one.before = now if one.before is None else one.before
                # A new most of the kernel's is of since then, whenever it was.
                one.loaded = max(one.loaded or 0.0, peak if peak > one.peak > 0 else now)
            one.peak = max(one.peak, peak)


def _fields(path: str, *names: str) -> dict[str, float]:
    """Fields of one of /proc's files in MB; none where the process is gone or may not be looked at."""
    found = {}
    with (
        contextlib.suppress(OSError, ValueError),
        Path(path).open(encoding="ascii", errors="replace") as lines,
    ):
        for line in lines:
            if line.startswith(names):
                found[line.split()[0]] = int(line.split()[1]) * _KB
    return found
