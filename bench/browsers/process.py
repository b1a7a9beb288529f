"""A browser session's own space on the host: its folder, its environment, its processes.

Every process that a session starts inherits one environment variable with the session's mark. That finds
grandchildren that left the process group or were adopted by init, and never touches anything else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path

import psutil

MARK = "WEBQUANT_BENCH_SESSION"
LOG = "driver.log"  # in a session's folder
# Letters that a temporary folder's name may have: a socket's name that a browser adds must still fit.
ROOM = 42
_LOG_LINES = 12
_LINE_LETTERS = 300
_ORPHAN_SECONDS = 1.0
# Browsers and drivers need no proxy: all that they load comes from this machine.
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy", "auto_proxy", "socks_server")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

# Who wants the last lines of drivers' logs, which end with their session, puts a list here.
LOGS: ContextVar[list[str] | None] = ContextVar("LOGS", default=None)


def temporary_root(room: int = ROOM) -> Path:
    """Where temporary folders are made: TMPDIR, or a shorter name where a socket would not fit below that.

    Args:
        room: letters that its name may have.
    """
    root = Path(tempfile.gettempdir())
    if os.name != "posix" or len(os.fsencode(root)) <= room:
        return root
    short = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - folders in it are made by mkdtemp or by random names
    return next((one for one in short if os.access(one, os.W_OK | os.X_OK) and one.is_dir()), root)


def without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for what loads nothing from elsewhere."""
    return {name: value for name, value in environment.items() if name.lower() not in _PROXIES}


def spare_loopback() -> None:
    """Let no client in this process go through a proxy to a driver on this machine, whatever is set."""
    for name in ("no_proxy", "NO_PROXY"):
        given = os.environ.get(name, os.environ.get("no_proxy", ""))
        known = [one.strip() for one in given.split(",") if one.strip()]
        if "*" not in known:
            os.environ[name] = ",".join([*known, *(one for one in _LOOPBACK if one not in known)])


def marked(variable: str, value: str, *, spare: int | None = None) -> list[psutil.Process]:
    """Every live process whose environment has that variable with that value, and every descendant of one.

    Chromium's forked children write their titles over the environment they were given, so a mark alone would
    miss renderers and the GPU process.

    Args:
        variable: of the environment.
        value: what it must be.
        spare: the number of a process that is left out, beside this very one.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(variable) == value:
                found[process.pid] = process
                found.update({child.pid: child for child in process.children(recursive=True)})
    return [one for one in found.values() if one.pid not in (spare, os.getpid()) and _alive(one)]


def end_marked(variable: str, value: str, *, patience: float, spare: int | None = None) -> int:
    """Kill what `marked` finds; the number of processes that had to be killed.

    Args:
        variable: of the environment.
        value: what it must be.
        patience: seconds to wait for each round of them to die.
        spare: see `marked`.
    """
    killed = 0
    for _ in range(5):  # a dying parent may have forked once more
        alive = marked(variable, value, spare=spare)
        if not alive:
            break
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        killed += len(alive)
        # Not psutil's wait: it would take a child's exit code away from the Popen that asks for it.
        until = time.monotonic() + patience
        while any(_alive(process) for process in alive) and time.monotonic() < until:
            time.sleep(0.01)
    return killed


class SessionSpace:
    """A temporary folder and a mark. Use as a context manager: on exit both leave nothing behind."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.folder = Path(tempfile.mkdtemp(prefix="webquant-", dir=temporary_root()))
        self._children: list[subprocess.Popen[bytes]] = []
        self._known: dict[int, psutil.Process] = {}

    def adopt(self, child: subprocess.Popen[bytes]) -> None:
        """Take note of a child of this very process: only its parent can put it away when it has ended."""
        self._children.append(child)

    def environment(self, **extra: str) -> dict[str, str]:
        """This process's environment with the mark, and temporary files sent into the session's folder."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        # A profile's lock and sockets live under HOME or XDG folders in some browsers: keep those ours too.
        own = {MARK: self.mark, "TMPDIR": str(temporary), "SE_AVOID_STATS": "true"}
        return {**without_proxies(os.environ), **own, **extra}

    @property
    def log(self) -> Path:
        """What the driver says."""
        return self.folder / LOG

    def last_words(self) -> list[str]:
        """The last lines of the driver's log; none where it has none."""
        try:
            with self.log.open(encoding="utf-8", errors="replace") as log:
                return [line.strip()[:_LINE_LETTERS] for line in deque(log, _LOG_LINES) if line.strip()]
        except OSError:
            return []

    def processes(self) -> list[psutil.Process]:
        """Every live process of this session."""
        return marked(MARK, self.mark)

    def remember(self) -> None:
        """Take note of the processes there are now: one that lost its mark can be found only by its parent.

        A renderer that lies still when its browser goes would stay for ever.
        """
        self._known.update({process.pid: process for process in self.processes()})

    def end_processes(self, patience: float = 5.0) -> int:
        """Kill what is left of the session; the number of processes that had to be killed."""
        killed = end_marked(MARK, self.mark, patience=patience)
        until = time.monotonic() + min(patience, _ORPHAN_SECONDS)
        while (orphans := self._orphans()) and time.monotonic() < until:
            time.sleep(0.01)  # most see that their browser is gone, and go too
        for process in orphans:
            with contextlib.suppress(psutil.Error):
                process.kill()
        return killed + len(orphans)

    def _orphans(self) -> list[psutil.Process]:
        # is_running looks at the start time too: a number that another process has by now is not ours.
        return [one for one in self._known.values() if one.is_running() and _alive(one)]

    def close(self) -> None:
        """End every process and remove the folder."""
        self.end_processes()
        if (logs := LOGS.get()) is not None:
            logs[:] = self.last_words()
        for child in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=5)
        for _ in range(10):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                break
            time.sleep(0.05)  # a file was written while we removed; its writer is dead by now

    def __enter__(self) -> SessionSpace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False
