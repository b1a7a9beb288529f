"""Measures quantized models in real browsers through WebGPU and WebNN, and hides no fallback."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["__version__", "load_runs"]
__version__ = "0.1.0"


def load_runs(
    db: str | None = None,
    where: str | None = None,
    *,
    campaign: int | str | None = None,
    since: str | None = None,
    limit: int | None = None,
    sort: str | None = None,
) -> pd.DataFrame:
    """What `bench query` lists, as a frame: one row a run, every column of `run_summary`, typed.

    Whole numbers are `Int64`, flags `boolean`, reals `float64` (NaN: not measured), text `object`.

        import bench
        runs = bench.load_runs(where="model = all-MiniLM-L6-v2 and outcome = ok", since="30d")
        runs.groupby(["browser", "requested_bits"])["latency_ms_median"].median()

    Args:
        db: an SQLAlchemy URL; else the environment's BENCH_DB, else `sqlite:///results/bench.sqlite`.
        where: a filter, as `bench query --where`.
        campaign: a campaign's name or number.
        since: `30d`, `12h`, or a date.
        limit: the most rows that are given, after sorting.
        sort: columns joined by commas, `-` in front for descending.

    Raises:
        bench.errors.InputError: no such database, column, campaign or time; the message says what there is.
    """
    from bench.store import open_store  # a second to load, and whoever wants the version need not wait

    with open_store(db, create=False) as store:
        return store.summary(where, campaign=campaign, since=since, limit=limit, sort=sort)
