"""Which process is a worker, whether it still lives, and what it has left behind.

A worker's name goes into the database with each lease. It holds what tells on the same host, without waiting
for the lease to run out, that the worker is dead: the boot, the namespace of its processes, its number and
its start. Whatever it starts inherits the name in one environment variable, so nothing else is ever ended.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from bench.browsers.process import ROOM, end_marked, temporary_root
from bench.errors import InputError

MARK = "WEBQUANT_BENCH_WORKER"
_SEPARATOR = "/"
_PATIENCE_SECONDS = 3.0
_NAME = "worker"  # the file in its folder that holds a worker's name
_own: set[str] = set()  # the names of this very process


@dataclass(frozen=True)
class Worker:
    """One process that works on campaigns.

    Attributes:
        host: its machine, for people.
        place: boot and process namespace: process numbers mean something within these only.
        pid: its number there.
        started: its start, in the host's own count.
        nonce: random, and the name of its temporary folder.
    """

    host: str
    place: str
    pid: int
    started: str
    nonce: str

    @property
    def name(self) -> str:
        """As the database and the environment hold it."""
        return _SEPARATOR.join((self.host, self.place, str(self.pid), self.started, self.nonce))

    @property
    def short(self) -> str:
        """For people: `host:pid`."""
        return f"{self.host}:{self.pid}"

    @property
    def folder(self) -> Path:
        """For everything temporary that its runs make; it may not be there."""
        name = f"webquant-{self.nonce}"
        here = Path(tempfile.gettempdir())
        # A worker's runner has that very folder for its temporary files.
        return here if here.name == name else temporary_root(ROOM - len(name) - 1) / name


def this_worker() -> Worker:
    """A new name for this very process."""
    host = socket.gethostname().replace(_SEPARATOR, "-") or "host"
    worker = Worker(host, _place(), os.getpid(), _started(os.getpid()) or "0", secrets.token_hex(4))
    _own.add(worker.name)
    return worker


def retire(worker: Worker) -> None:
    """This process works under that name no more."""
    _own.discard(worker.name)


def parse(name: str) -> Worker | None:
    """A worker from its name; None where it is not a name of ours."""
    parts = name.split(_SEPARATOR)
    if len(parts) != 5 or not parts[2].isdecimal():
        return None
    return Worker(parts[0], parts[1], int(parts[2]), parts[3], parts[4])


def gone(name: str) -> bool:
    """Whether that worker is known to be dead. One of another host is not known to be: its lease decides."""
    worker = parse(name)
    if worker is None or worker.place != _place():
        return False
    if _started(worker.pid) != worker.started:
        return True
    return worker.pid == os.getpid() and name not in _own


def settle_in(worker: Worker) -> Path:
    """Make a worker's temporary folder, and clear what workers of this host that are gone have left.

    Raises:
        InputError: there is no room for it.
    """
    try:
        worker.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (worker.folder / _NAME).write_text(worker.name, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot write temporary files into {worker.folder.parent}: {error.strerror or error}; "
            "make room there, or name another folder: export TMPDIR=DIR"
        ) from None
    for note in worker.folder.parent.glob(f"webquant-*/{_NAME}"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            name = note.read_text(encoding="utf-8")
            left = parse(name)
            if left is not None and left.folder == note.parent and gone(name):
                sweep(left)
    return worker.folder


@contextmanager
def at_work() -> Iterator[Worker]:
    """Within, this very process starts browsers: they bear its name, and their files are in its folder.

    Raises:
        InputError: there is no room for the folder.
    """
    worker = this_worker()
    known = {name: os.environ.get(name) for name in (MARK, "TMPDIR")}
    place = tempfile.tempdir
    try:
        folder = str(settle_in(worker))
        os.environ.update({MARK: worker.name, "TMPDIR": folder})
        tempfile.tempdir = folder
        yield worker
    finally:
        tempfile.tempdir = place
        for name, value in known.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        sweep(worker)
        retire(worker)


def sweep(worker: Worker, *, spare: int | None = None) -> int:
    """End what a worker of this host has started and remove its temporary folder; how many were ended.

    Args:
        worker: whose leftovers.
        spare: the number of a process that is not ended.
    """
    ended = end_marked(MARK, worker.name, patience=_PATIENCE_SECONDS, spare=spare)
    shutil.rmtree(worker.folder, ignore_errors=True)
    return ended


@cache
def _place() -> str:
    """The boot and, in containers, the process namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = ""
    with contextlib.suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    with contextlib.suppress(OSError):
        return f"{boot.read_text(encoding='ascii').strip()}.{space}"
    return f"{socket.gethostname()}.{int(psutil.boot_time())}".replace(_SEPARATOR, "-")


def _started(pid: int) -> str | None:
    """When a process began, in a form that a changed clock does not touch; None where there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in ("Z", "X") else fields[19]  # field 22 of proc(5), and 3 for the state
    with contextlib.suppress(psutil.Error):
        return str(int(psutil.Process(pid).create_time()))
    return None
