"""A database of 100,000 runs and 10 million samples: what looking at it and writing to it costs.

    python benchmarks/scale.py [--runs 100000] [--samples 134] [--keep FILE] [--json]

The rows are generated, say so (`harness_version` is `generated`), and go into no results: what is measured
here is the database, not a browser. They are written at the first revision, so that the upgrade of a full
database is timed too. A command that has a goal runs three times; the median counts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command as alembic
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.harness.outcome import Outcome
from bench.metrics import METRICS
from bench.plan.request import Request
from bench.record import Effective, Environment, Metrics, ModelInfo, Quality, RunRecord, Sample
from bench.stats.summary import summarize
from bench.store import open_store, revision, upgrade

CAMPAIGNS = 100
BROWSERS = {"chrome": "153.0.8010.0", "firefox": "153.7.0"}
START = datetime(2025, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


def arms() -> list[Request]:
    """32 of them: two models, two platforms, two browsers, four precisions."""
    return [
        Request(platform=platform, browser=browser, model=model, bits=bits, sequence_length=16)  # type: ignore[arg-type]
        for model, platform, browser, bits in itertools.product(
            ("all-MiniLM-L6-v2", "bert-base-uncased"), ("webgpu", "webnn"), BROWSERS, (16, 8, 4, 2)
        )
    ]


def outcome_of(arm: Request) -> Outcome:
    """As the real browsers here answer."""
    if arm.platform == "webnn":
        if arm.browser == "firefox":
            return Outcome.UNSUPPORTED
        return Outcome.FALLBACK if arm.bits < 8 else Outcome.OK
    return Outcome.OK


def fill(path: Path, runs: int, samples: int) -> None:
    """Write the rows at the first revision, past SQLAlchemy for speed."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        alembic.upgrade(revision.config(connection), "0001")
    engine.dispose()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA synchronous=OFF")
    columns = {
        table: [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
        for table in ("campaigns", "cells", "environments", "models", "runs")
    }

    def insert(table: str, row: Row) -> None:
        names = [name for name in columns[table] if name in row]
        holes = ", ".join("?" * len(names))
        values = [json.dumps(row[n]) if isinstance(row[n], dict) else row[n] for n in names]
        raw.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({holes})", values)

    for kind, row in shared_rows():
        insert(kind, row)
    blocks = -(-runs // (CAMPAIGNS * 32))
    rng, written = random.Random(0), 0
    for campaign in track(range(CAMPAIGNS), "writing", console=Console(stderr=True)):
        insert("campaigns", campaign_row(campaign))
        drift = 1 + 0.05 * (campaign >= CAMPAIGNS * 3 // 4)  # a step for the history to find
        for position, (block, arm) in enumerate(itertools.product(range(blocks), enumerate(arms()))):
            if written == runs:
                break
            written += 1
            insert("cells", cell_row(written, campaign, position, block, arm[1]))
            values = times(rng, arm[1], samples, drift)
            insert("runs", run_row(written, campaign, position, arm[1], values))
            raw.executemany(
                "INSERT INTO samples (run_id, phase, position, batch, value_ms) "
                "VALUES (?, 'measure', ?, 1, ?)",
                ((written, index, value) for index, value in enumerate(values)),
            )
        raw.commit()
    raw.close()


def times(rng: random.Random, arm: Request, samples: int, drift: float) -> list[float]:
    """Latencies of one session in ms: a session's own level and noise around it."""
    if not outcome_of(arm).measured:
        return []
    level = (
        (20 if arm.platform == "webgpu" else 8) * (1 + arm.bits / 32) * rng.lognormvariate(0, 0.03) * drift
    )
    return [level * rng.lognormvariate(0, 0.02) for _ in range(samples)]


def shared_rows() -> Iterator[tuple[str, Row]]:
    """Environments and models."""
    for index, (name, version) in enumerate(BROWSERS.items(), start=1):
        record = environment(name, version).model_dump(mode="json")
        adapter = record["adapter"]
        yield "environments", {
            **{key: value for key, value in record.items() if not isinstance(value, dict | list)},
            "id": index, "hash": f"generated-{index}", "adapter_name": adapter["name"],
            "adapter_is_fallback": True, "record": record,
        }  # fmt: skip
    for index, name in enumerate(("all-MiniLM-L6-v2", "bert-base-uncased"), start=1):
        record = model(name).model_dump(mode="json")
        yield "models", {**record, "id": index, "hash": f"generated-{index}", "record": record}


def environment(name: str, version: str) -> Environment:
    """Where the generated runs ran: nowhere."""
    return Environment(
        browser=name, browser_version=version, browser_binary=None, driver_version=None, user_agent=None,
        flags=[], adapter={"name": "generated adapter", "is_fallback_adapter": True}, webnn=None,
        os="generated", cpu="generated", cross_origin_isolated=True, timer_resolution_us=5.0,
        harness_version="generated",
    )  # fmt: skip


def model(name: str) -> ModelInfo:
    """A model without weights."""
    return ModelInfo(name=name, family="bert", parameters=22_565_376, weights="synthetic", sha256="0" * 64)


def campaign_row(index: int) -> Row:
    """The campaign of one night."""
    return {
        "id": index + 1, "uuid": str(uuid.uuid4()), "name": f"night-{index:03d}", "seed": index,
        "settings": {}, "state": "done", "created_at": (START + timedelta(days=5 * index)).isoformat(),
    }  # fmt: skip


def cell_row(number: int, campaign: int, position: int, block: int, arm: Request) -> Row:
    """One cell."""
    asked = arm.model_dump(mode="json")
    return {
        "id": number, "campaign_id": campaign + 1, "position": position, "block": block, "arm": asked,
        **{f"requested_{name}": value for name, value in asked.items()},
    }  # fmt: skip


def run_row(number: int, campaign: int, position: int, arm: Request, values: Sequence[float]) -> Row:
    """Its run."""
    outcome = outcome_of(arm)
    moment = (START + timedelta(days=5 * campaign, seconds=8 * position)).isoformat(timespec="milliseconds")
    row: Row = {metric.name: None for metric in METRICS}
    if values:
        latency = summarize(values)
        row |= {f"latency_ms_{name}": value for name, value in latency.model_dump().items()}
        row |= {
            "throughput_per_s": 1000 / latency.median, "weight_bytes": arm.bits * 3_000_000,
            "weight_bytes_fp16": 48_000_000, "memory_reduction": 1 - arm.bits / 16,
            "kernel_rel_l2": 1e-6, "cosine_fp32": 0.9 + arm.bits / 200,
        }  # fmt: skip
    bits = 8 if outcome is Outcome.FALLBACK else arm.bits
    return row | {
        "id": number, "uuid": str(uuid.UUID(int=number)), "cell_id": number, "attempt": 1,
        "environment_id": 1 + (arm.browser == "firefox"), "model_id": 1 + (arm.model != "all-MiniLM-L6-v2"),
        "outcome": outcome.value, "effective_platform": arm.platform if values else None,
        "effective_bits": bits if values else None, "effective_device": "cpu" if values else None,
        "error_stage": None if values else "probe", "error_category": None if values else "other",
        "error_name": None if values else "Error",
        "error_message": None if values else "navigator.ml is undefined: this browser has no WebNN",
        "phases": {}, "evidence": {}, "started_at": moment, "finished_at": moment,
    }  # fmt: skip


def commits(url: str, count: int, samples: int) -> list[float]:
    """Seconds that recording a run takes, each its own transaction."""
    arm = arms()[0]
    taken = []
    rng = random.Random(1)
    with open_store(url) as store:
        campaign = store.create_campaign("commits", [arm] * count, seed=0, settings={}, blocks=range(count))
        for cell in campaign.cells:
            values = times(rng, arm, samples, 1.0)
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            record = RunRecord(
                uuid=str(uuid.uuid4()), outcome=Outcome.OK, fallback_reason=None, requested=arm,
                effective=Effective(platform=arm.platform, bits=arm.bits),
                environment=environment("chrome", BROWSERS["chrome"]),
                model=model(arm.model), metrics=Metrics(latency_ms=summarize(values)),
                quality=Quality(kernel_rel_l2=1e-6),
                error=None, started_at=now, finished_at=now,
                samples=[Sample(kind="measure", batch=1, value_ms=value) for value in values],
            )  # fmt: skip
            begun = time.perf_counter()
            store.record(cell.id, record)
            taken.append(time.perf_counter() - begun)
    return taken


def timed(work: Callable[[], object], times_over: int = 5) -> float:
    """Median seconds of some work."""
    taken = []
    for _ in range(times_over):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def whole_command(*arguments: str, url: str, folder: Path) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of a whole `bench` command, the start of Python included.

    Compiled once, as on any machine that `bench` was started on before, whatever the shell says of that.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        stdout=subprocess.DEVNULL, cwd=folder,
        env=kept | {"BENCH_DB": url, "PYTHONPYCACHEPREFIX": str(folder / "pycache")},
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"bench {' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1024


COMMANDS: tuple[tuple[str, float | None, tuple[str, ...]], ...] = (
    ("query, filtered", 1.0, ("query", "--where", "browser = firefox and bits <= 4", "--limit", "50")),
    ("query, grouped", 2.0, ("query", "--group-by", "browser,platform,bits")),
    ("errors", 2.0, ("errors", "--all")),
    ("compare two campaigns", 3.0, ("compare", "night-010", "night-090", "--force")),
    (
        "history of one arm",
        3.0,
        ("history", "--where", "browser = chrome and bits = 4 and platform = webgpu"),
    ),
    ("report of all", 15.0, ("report", "--output", "report.html")),
    ("export as JSON lines", None, ("db", "export", "lines")),
    ("import of those", None, ("db", "import", "lines", "--db", "sqlite:///lines.sqlite")),
    ("import of those again", None, ("db", "import", "lines", "--db", "sqlite:///lines.sqlite")),
    ("export as Parquet", None, ("db", "export", "columns", "--format", "parquet")),
    ("import of that", None, ("db", "import", "columns", "--db", "sqlite:///columns.sqlite")),
)


def main() -> None:
    """Fill a database, then time what people do with it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    # A quarter of the runs measure nothing: so there are 10 million.
    parser.add_argument("--samples", type=int, default=134, help="of each run that is measured")
    parser.add_argument("--keep", type=Path, help="leave the database here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def note(what: str, value: float, unit: str, goal: float | None, memory: float | None = None) -> None:
        rows.append({"what": what, "value": value, "unit": unit, "goal": goal, "memory_mb": memory})
        print(f"{what}: {value:.4g} {unit}", file=sys.stderr)

    with tempfile.TemporaryDirectory() as place:
        path = options.keep or Path(place) / "scale.sqlite"
        path.unlink(missing_ok=True)
        url = f"sqlite:///{path}"
        fill(path, options.runs, options.samples)
        note("size", path.stat().st_size / 1e6, "MB", None)
        note("upgrade to the newest revision, backup included", timed(lambda: upgrade(url), 1), "s", 60)
        with open_store(url, create=False) as store:
            note("status of one campaign", 1000 * timed(lambda: store.status("night-050")), "ms", 200)
            note("list of campaigns", 1000 * timed(store.campaigns), "ms", 200)
        taken = sorted(commits(url, 500, options.samples))
        note("commit of a run, median", 1000 * statistics.median(taken), "ms", None)
        note("commit of a run, p99", 1000 * taken[int(0.99 * len(taken))], "ms", 10)
        for what, goal, arguments in COMMANDS:
            times_over = 1 if goal is None else 3
            done = [whole_command(*arguments, url=url, folder=Path(place)) for _ in range(times_over)]
            seconds = statistics.median(seconds for seconds, _ in done)
            note(f"bench {what}", seconds, "s", goal, max(memory for _, memory in done))
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("what", "value", "goal", "peak memory", box=None)
    for row in rows:
        bound = "" if row["goal"] is None else f"< {row['goal']:g} {row['unit']}"
        peak = "" if row["memory_mb"] is None else f"{row['memory_mb']:.0f} MB"
        table.add_row(row["what"], f"{row['value']:.4g} {row['unit']}", bound, peak)
    Console().print(table)


if __name__ == "__main__":
    main()
