"""Finds what a test has left behind on a machine where others start browsers too."""

import time

import psutil

OURS = "BENCH_TESTS_PLACE"  # set by a test, inherited by all that it starts


def left_behind(place):
    """Live processes, but this one, that were started with this place in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get(OURS) == place and process.pid != psutil.Process().pid
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


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
