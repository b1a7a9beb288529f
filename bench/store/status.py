"""Where campaigns are: counts, leases, and what history says about how long a cell takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from bench.harness.outcome import Outcome
from bench.plan.request import Request, stored
from bench.store.leases import Lease, held
from bench.store.origin import imported
from bench.store.reading import find_campaign
from bench.store.schema import CampaignRow, CampaignState, CellRow, CellState, RunRow


@dataclass(frozen=True)
class Status:
    """One campaign in numbers.

    Attributes:
        id, name, state, note, created_at, plan_hash: as in the database.
        cells: state of a cell -> how many.
        runs: outcome -> how many runs, every attempt counted.
        blocks: how many are planned, and how many have no open cell any more.
        leases: who runs what now.
    """

    id: int
    name: str
    state: CampaignState
    note: str | None
    created_at: str
    plan_hash: str | None
    cells: Mapping[str, int]
    runs: Mapping[str, int]
    blocks: tuple[int, int]
    leases: list[Lease]

    @property
    def total(self) -> int:
        """Cells in the plan."""
        return sum(self.cells.values())

    @property
    def open(self) -> int:
        """Cells that are still to end."""
        return self.cells.get(CellState.PLANNED.value, 0) + self.cells.get(CellState.LEASED.value, 0)


def status(engine: sa.Engine, key: int | str) -> Status:
    """See `Store.status`."""
    with engine.connect() as connection:
        number, _ = find_campaign(connection, key)
        row = connection.execute(
            sa.select(
                *(CampaignRow.name, CampaignRow.state, CampaignRow.note),
                *(CampaignRow.created_at, CampaignRow.plan_hash),
            ).where(CampaignRow.id == number)
        ).one()
        cells = connection.execute(
            sa.select(CellRow.state, sa.func.count())
            .where(CellRow.campaign_id == number)
            .group_by(CellRow.state)
        ).all()
        runs = connection.execute(
            sa.select(RunRow.outcome, sa.func.count())
            .select_from(CellRow)
            .join(RunRow, RunRow.cell_id == CellRow.id)
            .where(CellRow.campaign_id == number)
            .group_by(RunRow.outcome)
        ).all()
        return Status(
            id=number,
            name=row.name,
            state=CampaignState(row.state),
            note=row.note,
            created_at=row.created_at,
            plan_hash=row.plan_hash,
            cells={row[0]: row[1] for row in cells},
            runs={row[0]: row[1] for row in runs},
            blocks=_blocks(connection, number),
            leases=held(connection, number),
        )


def _blocks(connection: sa.Connection, number: int) -> tuple[int, int]:
    mine = CellRow.campaign_id == number
    last = connection.scalar(sa.select(sa.func.max(CellRow.block)).where(mine))
    unfinished = connection.scalar(
        sa.select(sa.func.count(sa.distinct(CellRow.block))).where(
            mine, CellRow.state.in_([CellState.PLANNED.value, CellState.LEASED.value])
        )
    )
    total = 0 if last is None else last + 1
    return total, total - (unfinished or 0)


def listing(engine: sa.Engine) -> list[dict[str, Any]]:
    """See `Store.campaigns`."""
    query = (
        sa.select(
            *(CampaignRow.id, CampaignRow.name, CampaignRow.state, CampaignRow.note),
            *(CampaignRow.created_at, CampaignRow.origin, CampaignRow.settings),
            sa.func.count(CellRow.id).label("cells"),
            sa.func.count(sa.case((CellRow.state == CellState.DONE.value, 1))).label("done"),
            sa.func.count(sa.case((CellRow.state == CellState.SKIPPED.value, 1))).label("skipped"),
        )
        .outerjoin(CellRow, CellRow.campaign_id == CampaignRow.id)
        .group_by(CampaignRow.id)
        .order_by(CampaignRow.id)
    )
    with engine.connect() as connection:
        rows = [dict(row._mapping) for row in connection.execute(query)]
    for row in rows:
        row["imported"] = imported(row.pop("settings"))
    return rows


def durations(engine: sa.Engine, campaign_id: int | None, limit: int) -> list[tuple[Request, float]]:
    """See `Store.durations`."""
    query = (
        sa.select(CellRow.arm, RunRow.started_at, RunRow.finished_at, RunRow.phases)
        .join(CellRow, CellRow.id == RunRow.cell_id)
        .where(RunRow.outcome != Outcome.INTERRUPTED.value)
        .order_by(RunRow.id.desc())
        .limit(limit)
    )
    if campaign_id is not None:
        query = query.where(CellRow.campaign_id == campaign_id)
    found = []
    with engine.connect() as connection:
        for arm, begun, ended, phases in connection.execute(query):
            spent = datetime.fromisoformat(ended) - datetime.fromisoformat(begun)
            # The bundle is made once and cached: the next run of this arm does without.
            seconds = spent.total_seconds() - float((phases or {}).get("prepare") or 0.0) / 1000
            found.append((stored(arm), max(0.0, seconds)))
    return found


def finals(engine: sa.Engine, campaign_id: int) -> list[tuple[Request, Outcome]]:
    """See `Store.finals`."""
    one = aliased(RunRow)
    last = (
        sa.select(sa.func.max(one.attempt))
        .where(one.cell_id == CellRow.id)
        .correlate(CellRow)
        .scalar_subquery()
    )
    query = (
        sa.select(CellRow.arm, RunRow.outcome)
        .join(RunRow, sa.and_(RunRow.cell_id == CellRow.id, RunRow.attempt == last))
        .where(CellRow.campaign_id == campaign_id)
        .order_by(CellRow.position)
    )
    with engine.connect() as connection:
        return [(stored(arm), Outcome(outcome)) for arm, outcome in connection.execute(query)]


@dataclass(frozen=True)
class Refusal:
    """A browser that lacked a platform when it was last asked: the run that knows, and its words."""

    run: int
    message: str
    at: str


def refusals(engine: sa.Engine) -> dict[tuple[str, str, str | None], Refusal]:
    """See `Store.refusals`."""
    cells = CellRow.__table__.c
    where = (cells.requested_browser, cells.requested_platform, cells.requested_gpu_features)
    newest = (
        sa.select(sa.func.max(RunRow.id))
        .join(CellRow, CellRow.id == RunRow.cell_id)
        .where(RunRow.outcome.not_in([Outcome.INTERRUPTED.value, Outcome.UNAVAILABLE.value]))
        .group_by(*where)
    )
    query = (
        sa.select(
            *(*where, RunRow.id, RunRow.outcome),
            *(RunRow.error_message, RunRow.started_at),
        )
        .join(CellRow, CellRow.id == RunRow.cell_id)
        .where(RunRow.id.in_(newest))
    )
    with engine.connect() as connection:
        return {
            (row.requested_browser, row.requested_platform, row.requested_gpu_features): Refusal(
                row.id, row.error_message or "", row.started_at
            )
            for row in connection.execute(query)
            if row.outcome == Outcome.UNSUPPORTED.value
        }
