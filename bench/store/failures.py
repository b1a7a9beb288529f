"""Failures by stage and message: how many, in which browsers, and when last."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

import sqlalchemy as sa

from bench.harness.outcome import Outcome
from bench.store.reading import Row, conditions
from bench.store.schema import SUMMARY

FAILED = tuple(one for one in Outcome if one.failed)
UNMEASURED = tuple(one for one in Outcome if not one.measured)
# A number that stands by itself: ports, sizes, times. That of `int4` is a part of a name.
_NUMBER = re.compile(r"(?<![\w.])(?:0x[0-9a-f]+|\d[\d.,]*(?:e[+-]?\d+)?)(?![\w])", re.IGNORECASE)
_SAME = ("outcome", "error_stage", "error_category", "error_name")


def failures(
    engine: sa.Engine,
    where: str | None,
    campaign: int | str | None,
    since: str | None,
    *,
    every: bool,
) -> list[Row]:
    """See `Store.failures`."""
    columns = SUMMARY.c
    alike = (*(columns[name] for name in _SAME), columns.error_message, columns.browser)
    wanted = [one.value for one in (UNMEASURED if every else FAILED)]
    # Numbers come in the order of recording, and an import records old runs last.
    newest = sa.func.row_number().over(
        partition_by=alike, order_by=(columns.started_at.desc(), columns.id.desc())
    )
    with engine.connect() as connection:
        met = sa.and_(conditions(connection, where, campaign, since), columns.outcome.in_(wanted))
        each = sa.select(*alike, columns.started_at, columns.id, newest.label("place")).where(met).subquery()
        same = [each.c[column.name] for column in alike]
        query = sa.select(
            *same,
            sa.func.count().label("count"),
            sa.func.min(each.c.started_at).label("first_seen"),
            sa.func.max(each.c.started_at).label("last_seen"),
            sa.func.max(sa.case((each.c.place == 1, each.c.id))).label("run"),
        ).group_by(*same)
        found = [dict(row._mapping) for row in connection.execute(query)]
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in found:
        groups[(*(row[name] for name in _SAME), pattern(row["error_message"] or ""))].append(row)
    merged = [_merged(rows) for rows in groups.values()]
    return sorted(
        merged, key=lambda row: (-row["count"], row["stage"] or "", row["message"] or "", row["run"])
    )


def pattern(message: str) -> str:
    """A message without the numbers that stand by themselves in it: those differ from run to run."""
    return _NUMBER.sub("#", " ".join(message.split()))


def _merged(rows: list[Row]) -> Row:
    newest = max(rows, key=lambda row: (row["last_seen"], row["run"]))
    browsers: Counter[str] = Counter()
    for row in rows:
        browsers[row["browser"]] += row["count"]
    return {
        "count": sum(row["count"] for row in rows),
        "outcome": newest["outcome"],
        "stage": newest["error_stage"],
        "category": newest["error_category"],
        "name": newest["error_name"],
        "message": newest["error_message"],
        "browsers": ", ".join(f"{name} {count}" for name, count in sorted(browsers.items())),
        "first_seen": min(row["first_seen"] for row in rows),
        "last_seen": newest["last_seen"],
        "run": newest["run"],
    }
