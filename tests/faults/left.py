"""Finds what a test has left behind on a machine where others start browsers too."""

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
