"""What it costs to learn that work is done: the same work, waited for plainly and at several paces.

A plain wait is `await queue.onSubmittedWorkDone()`. At a pace, the page submits nothing every so often while
it waits. All paces take turns in one page. `--json` prints every sample.
"""

from __future__ import annotations

import argparse
import json
from statistics import median
from typing import Any, Literal

from bench.browsers import BrowserMissing
from bench.harness.lab import Lab
from bench.settings import load_settings

UNITS = (1, 8, 64, 512)
Pace = dict[str, float | bool]


def _pace(finest: float, late: float, sleeps: bool) -> Pace:
    return {"finest": finest, "late": late, "sleeps": sleeps}


PACES: dict[str, Pace | Literal["ours"] | None] = {
    "plain": None,
    "ours": "ours",
    "spin 0.1": _pace(0.1, 0, False),
    "spin 1%": _pace(0.1, 0.01, False),
    "sleep 1": _pace(1, 0, True),
    "sleep 2%": _pace(1, 0.02, True),
    "sleep 4": _pace(4, 0, True),
}


def measure(browser: str, units: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """Every amount of work at every pace in one browser."""
    with Lab(browser, load_settings()) as lab:
        return [
            {
                "browser": browser,
                "units": count,
                "paces": list(PACES),
                **lab.call("waits", {"units": count, "rounds": rounds, "paces": list(PACES.values())}),
            }
            for count in units
        ]


def main() -> None:
    """Print a table a browser: median ms from submit to known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", action="append")
    parser.add_argument("--units", type=int, action="append", help="dispatches of the canary kernel")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = []
    for browser in given.browser or ("chrome", "firefox"):
        try:
            found += measure(browser, tuple(given.units or UNITS), given.rounds)
        except BrowserMissing as error:
            print(f"{browser}: {error}")
    if given.json:
        print(json.dumps(found))
        return
    print(f"{'':10}{'work':>8}" + "".join(f"{name:>12}" for name in PACES) + "   median and least ms")
    for row in found:
        cells = "".join(f"{median(times):>7.1f}{min(times):>5.1f}" for times in row["times"])
        print(f"{row['browser']:10}{row['units']:>8}{cells}")


if __name__ == "__main__":
    main()
