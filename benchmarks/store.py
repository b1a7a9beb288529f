"""How the store behaves when it is large: 100,000 runs with 10 million samples in one SQLite file.

    python benchmarks/store.py [--runs N] [--samples N]

The rows are made up, copied inside the database; what is timed are our own queries and transactions:
status, leasing a cell, storing a run, and the upgrade from the schema before. Bars: status under 200 ms,
storing a run under 10 ms at the 99th percentile, the upgrade under 60 s.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.errors import RunFailure
from bench.harness.outcome import Outcome, Stage
from bench.harness.run import unfinished
from bench.plan.cells import make_plan
from bench.plan.matrix import expand
from bench.record import RunRecord, Sample
from bench.store import Campaign, CampaignState, Lease, Store, open_store, revision, upgrade

_MORE = 300  # runs that are stored one by one, and timed


def main() -> None:
    """Fill a database, time what campaigns do with it, upgrade it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=100, help="of each run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.sqlite"
        url = f"sqlite:///{path}"
        with open_store(url) as store:
            campaign = _fill(store, arguments.runs, arguments.samples)
            print(f"{arguments.runs:,} runs, {path.stat().st_size / 1e6:,.0f} MB")
            _say("status", [_timed(lambda: store.status(campaign.id)) for _ in range(20)])
            _say("list of campaigns", [_timed(store.campaigns) for _ in range(20)])
            leases, stored = _work(store, campaign, arguments.samples)
            _say("lease a cell", leases)
            _say("store a run", stored)
            before = revision.head()
            writing = store.engine.connect().execution_options(bench_writes=True)
            with writing as connection, connection.begin():
                revision.downgrade(connection, "-1")
        _say(f"upgrade to {before}, with its backup", [_timed(lambda: upgrade(url))])


def _fill(store: Store, runs: int, samples: int) -> Campaign:
    """One campaign; its first cells have a run each."""
    arms = expand(
        {"bits": [16, 8, 4, 2], "batch_size": list(range(1, 26)), "platform": ["webgpu", "webnn"]},
        {"browser": "chrome", "model": "made-up"},
    )
    blocks = -(-(runs + _MORE) // len(arms))
    campaign = store.plan_campaign("large", make_plan(arms, 1, blocks=blocks), settings={})
    store.set_state(campaign.id, CampaignState.RUNNING)
    lease = _lease(store, campaign)
    store.record(lease.cell.id, _record(lease, 0), owner="filler")
    with store.engine.connect().execution_options(bench_writes=True) as connection, connection.begin():
        known = ("id", "uuid", "cell_id")
        names = [one["name"] for one in sa.inspect(connection).get_columns("runs")]
        copied = [name for name in names if name not in known]
        statements = [
            f"INSERT INTO runs (uuid, cell_id, {', '.join(copied)}) SELECT 'made-up ' || c.id, c.id, "
            f"{', '.join('r.' + name for name in copied)} FROM cells c, runs r "
            f"WHERE r.id = 1 AND c.position > 0 AND c.position < {runs}",
            f"UPDATE cells SET state = 'done' WHERE position < {runs}",
            "INSERT INTO samples (run_id, phase, position, batch, value_ms) "
            f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {samples - 1}) "
            "SELECT r.id, 'measure', n.i, 1, 1.0 + (r.id * 31 + n.i * 17) % 1000 / 1000.0 FROM runs r, n",
        ]
        for statement in statements:
            connection.exec_driver_sql(statement)
    return campaign


def _work(store: Store, campaign: Campaign, samples: int) -> tuple[list[float], list[float]]:
    """Lease and store runs as a worker does; the times of each."""
    leases, stored = [], []
    for _ in range(_MORE):
        begun = time.perf_counter()
        lease = _lease(store, campaign)
        leases.append(time.perf_counter() - begun)
        record = _record(lease, samples)
        begun = time.perf_counter()
        store.record(lease.cell.id, record, owner="filler")
        stored.append(time.perf_counter() - begun)
    return leases, stored


def _lease(store: Store, campaign: Campaign) -> Lease:
    lease = store.claim(campaign.id, "filler", 60)
    if lease is None:
        raise RuntimeError("no cell is left")
    return lease


def _record(lease: Lease, samples: int) -> RunRecord:
    failure = RunFailure(Outcome.UNAVAILABLE, Stage.LAUNCH, "made up by benchmarks/store.py")
    record = unfinished(lease.cell.request, None, failure)
    record.samples = [Sample(phase="measure", batch=1, value_ms=1.0) for _ in range(samples)]
    return record


def _timed(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _say(what: str, seconds: list[float]) -> None:
    ordered = sorted(1000 * value for value in seconds)
    high = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    print(f"{what:<32}{statistics.median(ordered):>10.1f} ms median{high:>10.1f} ms at 99 %")


if __name__ == "__main__":
    main()
