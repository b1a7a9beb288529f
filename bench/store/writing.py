"""What goes into the database: a plan at once, then one transaction a run."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import shlex
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from bench.errors import InputError, StoreError, StoreFull
from bench.harness.outcome import Outcome
from bench.metrics import METRICS, flattened
from bench.plan.cells import Plan, PlannedCell, Role
from bench.plan.request import Request, stored
from bench.record import Environment, ModelInfo, RunRecord
from bench.store.address import one_line, shown
from bench.store.schema import (
    OWN,
    CampaignRow,
    CampaignState,
    CellRow,
    CellState,
    EnvironmentRow,
    ModelRow,
    RunRow,
    SampleRow,
)

ATTEMPTS = 6
NO_LEASE = dict.fromkeys(("lease_owner", "lease_stage", "leased_at", "heartbeat_at", "lease_expires_at"))

T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """One arm in one block, as the database holds it."""

    id: int
    position: int
    block: int
    request: Request
    role: Role = "arm"


@dataclass(frozen=True)
class Campaign:
    """A plan in the database; `cells` in the order they are to run."""

    id: int
    name: str
    cells: list[Cell]
    settings: Mapping[str, Any] = field(default_factory=dict)
    definition: Mapping[str, Any] | None = None
    plan_hash: str | None = None
    state: CampaignState = CampaignState.PLANNED
    seed: int = 0
    uuid: str = ""

    @property
    def plan(self) -> Plan:
        """What was planned, as it stands in the database."""
        cells = (PlannedCell(cell.position, cell.block, cell.role, cell.request) for cell in self.cells)
        return Plan(self.seed, dict(self.definition or {}), tuple(cells))


def check_name(name: str) -> None:
    """Raise InputError for a name that no campaign can have; whether it is taken, `create_campaign` says."""
    if not name.strip() or storable(name) != name:
        raise InputError(f"a campaign needs a name, not {name!r}")


def create_campaign(engine: sa.Engine, name: str | None, plan: Plan, settings: Mapping[str, Any]) -> Campaign:
    """See `Store.plan_campaign`."""
    now = datetime.now(UTC)
    # Long enough that two of one second never share it, however many there are.
    chosen = name if name is not None else f"run-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
    check_name(chosen)
    if not plan.cells:
        raise InputError(f"the campaign {chosen!r} has no cells: nothing to run")
    row = {
        "uuid": str(uuid.uuid4()),
        "name": chosen,
        "seed": plan.seed,
        "settings": storable(dict(settings)),
        "state": CampaignState.PLANNED.value,
        "created_at": now.isoformat(timespec="seconds"),
        "definition": storable(dict(plan.definition)) or None,
        "plan_hash": plan.hash,
    }

    def write(connection: sa.Connection) -> Campaign:
        _refuse_taken(connection, chosen)
        number = _insert(connection, CampaignRow, row)
        connection.execute(
            sa.insert(CellRow),
            [
                {
                    "campaign_id": number,
                    "position": cell.position,
                    "block": cell.block,
                    "role": cell.role,
                    "state": CellState.PLANNED.value,
                    **_arm(cell.request),
                }
                for cell in plan.cells
            ],
        )
        keys = connection.scalars(
            sa.select(CellRow.id).where(CellRow.campaign_id == number).order_by(CellRow.position)
        ).all()
        cells = [
            Cell(key, cell.position, cell.block, cell.request, cell.role)
            for key, cell in zip(keys, plan.cells, strict=True)
        ]
        return Campaign(
            number,
            chosen,
            cells,
            row["settings"],
            row["definition"],
            plan.hash,
            seed=plan.seed,
            uuid=row["uuid"],
        )

    return in_transaction(engine, shown(engine.url), write)


def _refuse_taken(connection: sa.Connection, name: str) -> None:
    query = sa.select(CampaignRow.id, CampaignRow.origin).where(CampaignRow.name == name)
    if (taken := connection.execute(query).one_or_none()) is not None:
        resume = f"bench campaign resume {shlex.quote(name)}"
        go_on = f", or go on with it: {resume}" if taken.origin == OWN else ""
        raise InputError(
            f"there is already a campaign {name!r} (number {taken.id}): choose another name{go_on}"
        )


def set_state(engine: sa.Engine, campaign_id: int, state: CampaignState, note: str | None = None) -> None:
    """See `Store.set_state`."""

    def write(connection: sa.Connection) -> None:
        change = (
            sa.update(CampaignRow)
            .where(CampaignRow.id == campaign_id)
            .values(state=state.value, note=storable(note))
        )
        if connection.execute(change).rowcount != 1:
            raise InputError(f"there is no campaign number {campaign_id}")

    in_transaction(engine, shown(engine.url), write)


def record_run(
    engine: sa.Engine,
    url: str,
    cell_id: int,
    record: RunRecord,
    owner: str | None = None,
    again: bool = False,
) -> int:
    """See `Store.record`."""

    def write(connection: sa.Connection) -> int:
        return insert_run(connection, url, cell_id, record, owner=owner, again=again)

    return in_transaction(engine, url, write)


def insert_run(
    connection: sa.Connection,
    url: str,
    cell_id: int,
    record: RunRecord,
    *,
    owner: str | None = None,
    again: bool = False,
) -> int:
    """Write a run and what becomes of its cell, inside the caller's transaction; the run's id."""
    known = connection.scalar(sa.select(RunRow.id).where(RunRow.uuid == record.uuid))
    if known is not None:
        return int(known)
    cell = connection.execute(
        sa.select(CellRow.arm, CellRow.state, CellRow.lease_owner)
        .where(CellRow.id == cell_id)
        .with_for_update()
    ).one_or_none()
    if cell is None:
        raise InputError(f"there is no cell {cell_id} in {url}")
    if stored(cell.arm) != record.requested:
        raise ValueError(f"cell {cell_id} asked for {cell.arm}, the record for {record.requested}")
    # A worker that was taken for dead may come back with its run. The lease decides: the run is kept, but it
    # displaces none of whoever took the cell over.
    late = owner is not None and owner != cell.lease_owner
    if late:
        record.evidence["late"] = "recorded when its worker no longer held the cell's lease"
    values = {
        "cell_id": cell_id,
        "environment_id": _once(connection, EnvironmentRow, _environment(record.environment)),
        "model_id": _once(connection, ModelRow, _model(record.model)),
        "attempt": _attempt(connection, cell_id, before_last=late and cell.state == CellState.DONE.value),
        **_run(record),
    }
    run_id = _insert(connection, RunRow, values)
    samples = [
        {"run_id": run_id, "position": position, **sample.model_dump()}
        for position, sample in enumerate(record.samples)
    ]
    if samples:
        connection.execute(sa.insert(SampleRow), samples)
    state: CellState | None = None
    if late:
        # Without a result the cell runs again: the failure may be its worker's own standstill.
        if record.outcome.measured and cell.state in (CellState.PLANNED.value, CellState.SKIPPED.value):
            state = CellState.DONE
    elif cell.state != CellState.DONE.value:
        state = CellState.PLANNED if again or record.outcome is Outcome.INTERRUPTED else CellState.DONE
    if state is not None:
        connection.execute(
            sa.update(CellRow).where(CellRow.id == cell_id).values(state=state.value, **NO_LEASE)
        )
    return run_id


def _attempt(connection: sa.Connection, cell_id: int, *, before_last: bool) -> int:
    """The next attempt's number; where it is not to be the last one, that makes room and stays the last."""
    last = connection.scalar(sa.select(sa.func.max(RunRow.attempt)).where(RunRow.cell_id == cell_id)) or 0
    if not before_last or not last:
        return last + 1
    connection.execute(
        sa.update(RunRow).where(RunRow.cell_id == cell_id, RunRow.attempt == last).values(attempt=last + 1)
    )
    return last


def storable(value: Any) -> Any:
    """A JSON value that every database takes: no NaN, no NUL, no lone surrogate.

    A number that is none becomes None; a character that cannot be stored becomes its escape.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {storable(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def _arm(request: Request) -> dict[str, Any]:
    arm = request.model_dump(mode="json")
    return {**{f"requested_{name}": value for name, value in arm.items()}, "arm": arm}


def _environment(environment: Environment) -> dict[str, Any]:
    record = storable(environment.model_dump(mode="json"))
    adapter = record["adapter"] or {}
    name, software = adapter.get("name"), adapter.get("is_fallback_adapter")
    plain = set(EnvironmentRow.__table__.c.keys()) & set(record)
    return {
        **{column: record[column] for column in plain},
        "adapter_name": None if name is None else str(name),
        "adapter_is_fallback": software if isinstance(software, bool) else None,
        "hash": _hash(record),
        "record": record,
    }


def _model(model: ModelInfo) -> dict[str, Any]:
    record = storable(model.model_dump(mode="json"))
    return {**record, "hash": _hash(record), "record": record}


def _run(record: RunRecord) -> dict[str, Any]:
    data = storable(record.model_dump(mode="json"))
    error = data["error"] or {}
    flat = flattened(data["metrics"], data["quality"])
    if not record.outcome.measured:
        flat.update({metric.name: None for metric in METRICS if metric.speed})
    return {
        **{name: data[name] for name in ("uuid", "outcome", "fallback_reason", "evidence")},
        **{f"effective_{name}": value for name, value in data["effective"].items()},
        **{f"error_{name}": value for name, value in error.items()},
        **flat,
        "phase_metrics": (data["metrics"]["phases"] if record.outcome.measured else None) or None,
        "phases": data["phases_ms"],
        "started_at": data["started_at"],
        "finished_at": data["finished_at"],
    }


def _hash(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _insert(connection: sa.Connection, table: type[Any], values: Mapping[str, Any]) -> int:
    key = connection.execute(sa.insert(table).values(**values)).inserted_primary_key
    if key is None:
        raise RuntimeError(f"no key for a new row of {table.__tablename__}")
    return int(key[0])


def _once(connection: sa.Connection, table: type[Any], values: Mapping[str, Any]) -> int:
    """The row with this content, written where it is new."""
    known = connection.scalar(sa.select(table.id).where(table.hash == values["hash"]))
    return int(known) if known is not None else _insert(connection, table, values)


def in_transaction(
    engine: sa.Engine, url: str, write: Callable[[sa.Connection], T], attempts: int = ATTEMPTS
) -> T:
    """Run `write` as one transaction, again where another writer was in the way.

    Raises:
        StoreError: it stayed locked, or the database refused the write; what to do is said.
    """
    for attempt in range(1, attempts + 1):
        try:
            with engine.connect().execution_options(bench_writes=True) as connection, connection.begin():
                return write(connection)
        except (OperationalError, IntegrityError) as error:
            # Locked (SQLite), or a unique key that a parallel worker wrote between look and write.
            # A connection that broke is made anew; what it may have written is known by its uuid.
            contended = isinstance(error, IntegrityError) or _locked(error) or error.connection_invalidated
            if not contended or attempt == attempts:
                raise _cannot_write(url, error) from error
            time.sleep(0.05 * 2**attempt * (0.5 + secrets.randbelow(1000) / 1000))
        except DBAPIError as error:
            raise _cannot_write(url, error) from error
    raise AssertionError("unreachable")


def _cannot_write(url: str, error: DBAPIError) -> StoreError:
    words = one_line(error.orig)
    said = f"cannot write to the database {url}: {words}"
    if _locked(error):
        said += "; another program holds it: close that one, then go on"
    elif "full" in words or "disk I/O" in words or "No space" in words:
        return StoreFull(said + "; make room on that disk, then go on")
    elif "readonly" in words or "read-only" in words:
        said += "; make the file and its folder writable, then go on"
    return StoreError(said)


def _locked(error: DBAPIError) -> bool:
    words = str(error.orig).lower()
    return (
        "locked" in words
        or "busy" in words
        or "deadlock" in words
        or "serializ" in words
        or "lock timeout" in words
    )
