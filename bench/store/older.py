"""What runs of older programs say between the lines, written where today's rows say it.

They noted whether the page submitted nothing now and then while it waited. Firefox looks for finished work on
a timer otherwise, so the latency of a row that waited plainly there is the timer's.
"""

from __future__ import annotations

import json

import sqlalchemy as sa

# Whatever the work takes: see `completion_ms` of every newer row.
FIREFOX_MS = 100.0
_NOTE = "empty_submits_while_waiting"
_READ = sa.text(
    "SELECT r.id, r.evidence, e.browser FROM runs r JOIN environments e ON e.id = r.environment_id "
    "WHERE r.effective_platform = 'webgpu' AND r.effective_wait IS NULL AND r.latency_ms_median IS NOT NULL"
)
_WRITE = sa.text("UPDATE runs SET effective_wait = :wait, timer_ms = :timer WHERE id = :id")
_TICKS = (
    "UPDATE runs SET sample_ticks = ("
    "SELECT min(s.batch * s.value_ms) FROM samples s WHERE s.run_id = runs.id AND s.{kind} = 'measure'"
    ") * 1000 / ("
    "SELECT CASE WHEN e.timer_resolution_us > 0 THEN e.timer_resolution_us END "
    "FROM environments e WHERE e.id = runs.environment_id"
    ") WHERE latency_ms_median IS NOT NULL AND sample_ticks IS NULL"
)


def complete(connection: sa.Connection, kind: str = "kind") -> None:
    """Fill `effective_wait`, `timer_ms` and `sample_ticks` of measured runs that lack them.

    The caller holds the transaction.

    Args:
        connection: of the database.
        kind: the column that says which samples were measured; `phase` until there were phases.
    """
    changes = []
    for number, evidence, browser in connection.execute(_READ):
        found = evidence if isinstance(evidence, dict) else json.loads(evidence)
        eager = (found.get("notes") or {}).get(_NOTE)
        if isinstance(eager, bool):
            timer = FIREFOX_MS if browser == "firefox" and not eager else None
            changes.append({"id": number, "wait": "eager" if eager else "plain", "timer": timer})
    if changes:
        connection.execute(_WRITE, changes)
    connection.execute(sa.text(_TICKS.format(kind=kind)))
