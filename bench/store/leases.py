"""Who runs which cell: leases that are taken, renewed, given back, and taken from those who are gone.

Claiming is one transaction. On SQLite the writer's lock comes first (BEGIN IMMEDIATE), on PostgreSQL rows
that another worker looks at are passed over (SELECT ... FOR UPDATE SKIP LOCKED): no cell has two holders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from bench.errors import StoreError
from bench.plan.request import stored
from bench.record import RunRecord
from bench.store.address import shown
from bench.store.schema import CampaignRow, CampaignState, CellRow, CellState, RunRow
from bench.store.writing import NO_LEASE, Cell, in_transaction, insert_run, storable


@dataclass(frozen=True)
class Lease:
    """A cell that somebody runs.

    Attributes:
        cell: which.
        owner: the worker, as it names itself.
        stage: where its run was at the last heartbeat; None before the first.
        leased_at: UTC, ISO 8601.
        heartbeat_at: the last sign of life.
        expired: whether the lease is over without one.
        failures: finished runs of this cell so far, interrupted ones not counted.
    """

    cell: Cell
    owner: str
    stage: str | None
    leased_at: str
    heartbeat_at: str
    expired: bool
    failures: int


def clock(connection: sa.Connection) -> datetime:
    """The database's own time where it is a server: its workers' clocks need not agree."""
    if connection.dialect.name == "postgresql":
        found = connection.scalar(sa.select(sa.func.clock_timestamp(type_=sa.DateTime(timezone=True))))
        if isinstance(found, datetime):
            return found.astimezone(UTC)
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """As the tables keep times: text that sorts as the times do."""
    return moment.isoformat(timespec="milliseconds")


def claim(engine: sa.Engine, campaign_id: int, owner: str, seconds: float) -> Lease | None:
    """See `Store.claim`."""

    def write(connection: sa.Connection) -> Lease | None:
        running = sa.exists().where(
            CampaignRow.id == campaign_id, CampaignRow.state == CampaignState.RUNNING.value
        )
        found = connection.execute(
            sa.select(CellRow.id, CellRow.position, CellRow.block, CellRow.role, CellRow.arm)
            .where(CellRow.campaign_id == campaign_id, CellRow.state == CellState.PLANNED.value, running)
            .order_by(CellRow.position)
            .limit(1)
            .with_for_update(skip_locked=True, of=CellRow)
        ).one_or_none()
        if found is None:
            return None
        now = clock(connection)
        connection.execute(
            sa.update(CellRow).where(CellRow.id == found.id).values(**_leased(owner, now, seconds))
        )
        cell = Cell(found.id, found.position, found.block, stored(found.arm), found.role)
        return Lease(cell, owner, None, stamp(now), stamp(now), False, _finished(connection, found.id))

    return in_transaction(engine, shown(engine.url), write)


def claim_cells(engine: sa.Engine, cells: Sequence[int], owner: str, seconds: float) -> set[int]:
    """See `Store.claim_cells`."""

    def write(connection: sa.Connection) -> set[int]:
        change = (
            sa.update(CellRow)
            .where(CellRow.id.in_(cells), CellRow.state == CellState.PLANNED.value)
            .values(**_leased(owner, clock(connection), seconds))
            .returning(CellRow.id)
        )
        return set(connection.scalars(change))

    return in_transaction(engine, shown(engine.url), write)


def _leased(owner: str, now: datetime, seconds: float) -> dict[str, str | None]:
    return {
        "state": CellState.LEASED.value,
        "lease_owner": owner,
        "lease_stage": None,
        "leased_at": stamp(now),
        "heartbeat_at": stamp(now),
        "lease_expires_at": stamp(now + timedelta(seconds=seconds)),
    }


def _finished(connection: sa.Connection, cell_id: int) -> int:
    return (
        connection.scalar(
            sa.select(sa.func.count())
            .select_from(RunRow)
            .where(RunRow.cell_id == cell_id, RunRow.outcome != "interrupted")
        )
        or 0
    )


def beat(engine: sa.Engine, cell_id: int, owner: str, stage: str | None, seconds: float) -> bool:
    """See `Store.beat`."""

    def write(connection: sa.Connection) -> bool:
        now = clock(connection)
        change = (
            sa.update(CellRow)
            .where(
                CellRow.id == cell_id,
                CellRow.state == CellState.LEASED.value,
                CellRow.lease_owner == owner,
            )
            .values(
                lease_stage=stage,
                heartbeat_at=stamp(now),
                lease_expires_at=stamp(now + timedelta(seconds=seconds)),
            )
        )
        return connection.execute(change).rowcount == 1

    try:
        # Once: a beat that comes late is better than a campaign that waits for it.
        return in_transaction(engine, shown(engine.url), write, attempts=1)
    except StoreError:
        return True  # busy or unreachable now: the next beat, or the record itself, will say


def held(connection: sa.Connection, campaign_id: int) -> list[Lease]:
    """Every lease of a campaign, in the order of its cells."""
    now = stamp(clock(connection))
    rows = connection.execute(
        sa.select(CellRow)
        .where(CellRow.campaign_id == campaign_id, CellRow.state == CellState.LEASED.value)
        .order_by(CellRow.position)
        .with_only_columns(
            *(CellRow.id, CellRow.position, CellRow.block, CellRow.role, CellRow.arm, CellRow.lease_owner),
            *(CellRow.lease_stage, CellRow.leased_at, CellRow.heartbeat_at, CellRow.lease_expires_at),
        )
    ).all()
    return [
        Lease(
            Cell(row.id, row.position, row.block, stored(row.arm), row.role),
            row.lease_owner or "",
            row.lease_stage,
            row.leased_at or "",
            row.heartbeat_at or "",
            (row.lease_expires_at or "") < now,
            0,
        )
        for row in rows
    ]


def reap(
    engine: sa.Engine,
    campaign_id: int,
    gone: Callable[[str], bool],
    write_off: Callable[[Lease], RunRecord],
) -> list[Lease]:
    """See `Store.reap`."""
    with engine.connect() as connection:
        over = [one for one in held(connection, campaign_id) if one.expired or gone(one.owner)]
    taken = []
    for lease in over:

        def write(connection: sa.Connection, lease: Lease = lease) -> bool:
            still = connection.execute(
                sa.select(CellRow.lease_owner, CellRow.heartbeat_at)
                .where(CellRow.id == lease.cell.id, CellRow.state == CellState.LEASED.value)
                .with_for_update(skip_locked=True)
            ).one_or_none()
            if still is None or tuple(still) != (lease.owner, lease.heartbeat_at):
                return False  # it beat after all, has ended, or another worker was first
            insert_run(connection, shown(engine.url), lease.cell.id, write_off(lease))
            return True

        if in_transaction(engine, shown(engine.url), write):
            taken.append(lease)
    return taken


def skip(engine: sa.Engine, campaign_id: int, note: str, *, from_block: int = 0) -> int:
    """See `Store.skip`."""

    def write(connection: sa.Connection) -> int:
        change = (
            sa.update(CellRow)
            .where(
                CellRow.campaign_id == campaign_id,
                CellRow.state == CellState.PLANNED.value,
                CellRow.block >= from_block,
            )
            .values(state=CellState.SKIPPED.value, note=storable(note), **NO_LEASE)
        )
        return connection.execute(change).rowcount

    return in_transaction(engine, shown(engine.url), write)


def leave(engine: sa.Engine, campaign_id: int, note: str) -> None:
    """See `Store.leave`."""

    def write(connection: sa.Connection) -> None:
        mine = CellRow.campaign_id == campaign_id
        held = sa.exists().where(mine, CellRow.state == CellState.LEASED.value)
        connection.execute(
            sa.update(CampaignRow)
            .where(CampaignRow.id == campaign_id, CampaignRow.state == CampaignState.RUNNING.value, ~held)
            .values(state=CampaignState.INTERRUPTED.value, note=storable(note))
        )

    in_transaction(engine, shown(engine.url), write)
    settle(engine, campaign_id)


def settle(engine: sa.Engine, campaign_id: int) -> CampaignState:
    """See `Store.settle`."""

    def write(connection: sa.Connection) -> CampaignState:
        open_cells = sa.exists().where(
            CellRow.campaign_id == campaign_id,
            CellRow.state.in_([CellState.PLANNED.value, CellState.LEASED.value]),
        )
        connection.execute(
            sa.update(CampaignRow)
            .where(
                CampaignRow.id == campaign_id,
                CampaignRow.state != CampaignState.CANCELLED.value,
                ~open_cells,
            )
            .values(state=CampaignState.DONE.value, note=None)
        )
        state = connection.scalar(sa.select(CampaignRow.state).where(CampaignRow.id == campaign_id))
        return CampaignState(str(state))

    return in_transaction(engine, shown(engine.url), write)
