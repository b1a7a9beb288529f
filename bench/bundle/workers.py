"""Work on many tensors at once, of which no more are in memory than there is room for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_SHARE = 4  # of the machine's memory, one part


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
        for one in [pool.submit(run, item, size) for item, size in ordered]:
            one.result()
