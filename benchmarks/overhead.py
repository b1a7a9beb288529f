"""What the harness adds to a run: wall time that no browser start, load, build, check or sample explains.

    python benchmarks/overhead.py [--runs 5] [--browser chrome] [--model NAME] [--sequence-length 16]

The first run makes the bundle and is shown apart; the others find it in the cache. `prepare` is the bundle,
`probe` the page's look at the browser, `rest` what is in no stage: planning, the server, storing the run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.cli.run import run_requests
from bench.harness.asked import RunSettings
from bench.plan.request import Request
from bench.settings import load_settings

# Time that belongs to the browser and the model, not to the harness.
WORK = ("launch", "load", "build", "compile", "verify", "warmup", "measure")


def main() -> None:
    """Run the same request several times and print where the time went."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--browser", default="chrome")
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--bits", type=int, default=4, choices=(16, 8, 4, 2))
    parser.add_argument("--sequence-length", type=int, default=16)
    arguments = parser.parse_args()
    request = Request(
        platform="webgpu",
        browser=arguments.browser,
        model=arguments.model,
        bits=arguments.bits,
        sequence_length=arguments.sequence_length,
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'overhead.sqlite'}"
        for _ in range(arguments.runs + 1):
            begun = time.monotonic()
            report = run_requests([request], load_settings(), RunSettings(iterations=3), db=url)
            total = (time.monotonic() - begun) * 1000
            phases = report.records[0].phases_ms
            rows.append({**phases, "total": total, "rest": total - sum(phases.values())})
    show(rows)


def show(rows: list[dict[str, float]]) -> None:
    """A line a stage: the first run, and the median of the others."""
    table = Table(box=None)
    for name in ("stage", "first run, ms", "later runs, median ms"):
        table.add_column(name, justify="right")
    later = rows[1:]
    overhead = [sum(value for name, value in row.items() if name not in (*WORK, "total")) for row in rows]
    for name in rows[0]:
        middle = statistics.median(row.get(name, 0.0) for row in later)
        table.add_row(name, f"{rows[0][name]:.0f}", f"{middle:.0f}")
    table.add_row("overhead", f"{overhead[0]:.0f}", f"{statistics.median(overhead[1:]):.0f}")
    Console().print(table)
    print("overhead: everything but " + ", ".join(WORK))


if __name__ == "__main__":
    main()
