"""One session at a time measures on a machine.

Two sessions share its GPU and processors and slow each other, and none of their own numbers says so: once
two campaigns ran side by side by mistake, and a model gave 411 tokens a second that gives 1,040 alone. So a
session waits for its turn, whichever process or database the other one belongs to. The system gives a turn
back when the process that has it ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness.stop import Stop
from bench.settings import HarnessSettings, cache_root

_LOOK_SECONDS = 0.1
_AGAIN_SECONDS = 20.0


def place() -> Path:
    """The file whose lock is the turn: of all who share a cache, as a user's processes do."""
    return cache_root() / "turn"


@contextmanager
def turn(settings: HarnessSettings, say: Callable[[str], None], stop: Stop) -> Iterator[None]:
    """Within, no other session of this machine measures.

    None is waited for where browsers are elsewhere (a grid), where sessions may run side by side (`alone` is
    false), and where the system has no locks or no room for the file.

    Args:
        settings: of the harness.
        say: told whom it waits for, and now and then again.
        stop: ends the waiting.

    Raises:
        KeyboardInterrupt: a stop was asked for.
    """
    file = _open() if settings.alone and not settings.grid else None
    if file is None:
        yield
        return
    try:
        _wait(file, say, stop)
        yield
    finally:
        os.close(file)


def _open() -> int | None:
    with contextlib.suppress(OSError):
        place().parent.mkdir(parents=True, exist_ok=True)
        return os.open(place(), os.O_RDWR | os.O_CREAT, 0o666)
    return None


def _wait(file: int, say: Callable[[str], None], stop: Stop) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    again = 0.0
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            pass
        except OSError:  # a file system without locks
            return
        if time.monotonic() >= again:  # a sign of life too, for whoever watches this process
            holder = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
            say(f"waiting: process {holder} measures on this machine; with BENCH_ALONE=0 both would at once")
            again = time.monotonic() + _AGAIN_SECONDS
        stop.check()
        time.sleep(_LOOK_SECONDS)
    with contextlib.suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
