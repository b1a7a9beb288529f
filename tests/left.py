"""Finds what a test has left behind on a machine where others start browsers too."""

import time

import psutil

from bench.browsers.process import marked

OURS = "BENCH_TESTS_PLACE"  # set by a test, inherited by all that it starts


def left_behind(place):
    """Live processes that were started with this place in their environment, and what those started.

    Never the children of this process as such: a browser that another test keeps open starts some too,
    Firefox a `crashreporter --ping-cleanup` a minute after its own start.
    """
    return marked(OURS, place)


def orphans():
    """Renderers without a browser, whose own environment is written over; what is just going may go."""
    until = time.monotonic() + 3
    while (found := [one for one in psutil.process_iter() if _orphan(one)]) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _orphan(process):
    try:
        if "--type=renderer" not in " ".join(process.cmdline()) or process.status() == psutil.STATUS_ZOMBIE:
            return False
        parent = process.parent()
        return parent is None or parent.name() != process.name()
    except (psutil.Error, OSError):
        return False
