"""Work on many tensors at once, of which no more are in memory than there is room for."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

from loky import ProcessPoolExecutor

R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")

_SHARE = 4  # of the machine's memory, one part
_WATCH_SECONDS = 1.0


def machine_memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def on_all_cores(items: Iterable[tuple[T, int]], work: Callable[[T], None], room: int | None = None) -> None:
    """Call `work` with every item, the largest first, on as many threads as there are cores.

    NumPy leaves the interpreter to others while it computes, so threads are enough.

    Args:
        items: each with the bytes that it takes while it is worked on.
        work: done once for every item, in any order.
        room: bytes of all items that are worked on at one time; a quarter of the memory by default. One that
            takes more is worked on alone.

    Raises:
        Exception: the first that `work` raised; items that were not begun are left.
    """
    most = machine_memory() // _SHARE if room is None else room
    taken, failed = 0, False
    free = threading.Condition()

    def run(item: T, size: int) -> None:
        nonlocal taken, failed
        with free:
            free.wait_for(lambda: failed or taken == 0 or taken + size <= most)
            if failed:
                return
            taken += size
        try:
            work(item)
        except BaseException:
            failed = True
            raise
        finally:
            with free:
                taken -= size
                free.notify_all()

    ordered = sorted(items, key=lambda one: -one[1])
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="weights") as pool:
        waiting = [pool.submit(run, item, size) for item, size in ordered]
        try:
            for one in waiting:
                one.result()
        except BaseException:  # Ctrl-C too: what was not begun never is
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Processes(Generic[T, R]):
    """Processes that do one kind of work on many items, a process a core. Use as a context manager.

    Between NumPy's calls Python lets only one thread of a process run, and the calls are short where a
    matrix is quantized: threads kept four of sixteen cores busy. None outlives a parent that was killed.

    Args:
        work: called in a process with `shared` and an item; all three and the answer travel there by pickle.
        shared: what all items have in common; sent once.
    """

    def __init__(self, work: Callable[[S, T], R], shared: S) -> None:
        self._pool = ProcessPoolExecutor(
            os.cpu_count() or 1, initializer=_begin, initargs=(os.getpid(), work, shared)
        )

    def __enter__(self) -> Callable[[T], R]:
        return lambda item: self._pool.submit(_one, item).result()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._pool.shutdown(wait=True, kill_workers=kind is not None)


_working: Callable[[Any], Any] | None = None  # in a process of `Processes`: its work


def _begin(parent: int, work: Callable[[Any, Any], Any], shared: Any) -> None:
    global _working
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent decides
    _working = partial(work, shared)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _one(item: Any) -> Any:
    assert _working is not None
    return _working(item)
