"""What goes into the database: a plan at once, then one transaction a run."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from bench.errors import InputError, StoreError
from bench.metrics import METRICS
from bench.plan.request import Request
from bench.record import Environment, ModelInfo, RunRecord
from bench.store.address import one_line
from bench.store.schema import (
    CampaignRow,
    CampaignState,
    CellRow,
    EnvironmentRow,
    ModelRow,
    RunRow,
    SampleRow,
)

ATTEMPTS = 6
_SPEEDS = ("latency_ms", "throughput_per_s", "first_inference_ms", "gpu_ms")

T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """One arm in one block, as the database holds it."""

    id: int
    position: int
    block: int
    request: Request


@dataclass(frozen=True)
class Campaign:
    """A plan in the database; `cells` in the order they are to run."""

    id: int
    name: str
    cells: list[Cell]


def check_name(name: str) -> None:
    """Raise InputError for a name that no campaign can have; whether it is taken, `create_campaign` says."""
    if not name.strip() or storable(name) != name:
        raise InputError(f"a campaign needs a name, not {name!r}")


def create_campaign(
    engine: sa.Engine,
    name: str | None,
    requests: Sequence[Request],
    seed: int,
    settings: Mapping[str, Any],
    blocks: Sequence[int] | None,
) -> Campaign:
    """See `Store.create_campaign`."""
    now = datetime.now(UTC)
    chosen = name if name is not None else f"run-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    check_name(chosen)
    if not requests:
        raise InputError(f"the campaign {chosen!r} has no cells: nothing to run")
    if blocks is not None and len(blocks) != len(requests):
        raise ValueError(f"{len(blocks)} blocks for {len(requests)} requests")
    plan = {
        "uuid": str(uuid.uuid4()),
        "name": chosen,
        "seed": seed,
        "settings": storable(dict(settings)),
        "state": CampaignState.PLANNED.value,
        "created_at": now.isoformat(timespec="seconds"),
    }

    def write(connection: sa.Connection) -> Campaign:
        taken = connection.scalar(sa.select(CampaignRow.id).where(CampaignRow.name == chosen))
        if taken is not None:
            raise InputError(f"there is already a campaign {chosen!r} (number {taken}): choose another name")
        campaign_id = _insert(connection, CampaignRow, plan)
        cells = []
        for position, request in enumerate(requests):
            block = blocks[position] if blocks is not None else 0
            cell = {"campaign_id": campaign_id, "position": position, "block": block, **_arm(request)}
            cells.append(Cell(_insert(connection, CellRow, cell), position, block, request))
        return Campaign(campaign_id, chosen, cells)

    return _in_transaction(engine, engine.url.render_as_string(), write)


def set_state(engine: sa.Engine, campaign_id: int, state: CampaignState) -> None:
    """See `Store.set_state`."""

    def write(connection: sa.Connection) -> None:
        change = sa.update(CampaignRow).where(CampaignRow.id == campaign_id).values(state=state.value)
        if connection.execute(change).rowcount != 1:
            raise InputError(f"there is no campaign number {campaign_id}")

    _in_transaction(engine, engine.url.render_as_string(), write)


def record_run(engine: sa.Engine, url: str, cell_id: int, record: RunRecord) -> int:
    """See `Store.record`."""

    def write(connection: sa.Connection) -> int:
        known = connection.scalar(sa.select(RunRow.id).where(RunRow.uuid == record.uuid))
        if known is not None:
            return int(known)
        arm = connection.scalar(sa.select(CellRow.arm).where(CellRow.id == cell_id))
        if arm is None:
            raise InputError(f"there is no cell {cell_id} in {url}")
        if Request.model_validate(arm) != record.requested:
            raise ValueError(f"cell {cell_id} asked for {arm}, the record for {record.requested}")
        earlier = sa.select(sa.func.max(RunRow.attempt)).where(RunRow.cell_id == cell_id)
        attempt = 1 + (connection.scalar(earlier) or 0)
        values = {
            "cell_id": cell_id,
            "environment_id": _once(connection, EnvironmentRow, _environment(record.environment)),
            "model_id": _once(connection, ModelRow, _model(record.model)),
            "attempt": attempt,
            **_run(record),
        }
        run_id = _insert(connection, RunRow, values)
        samples = [
            {"run_id": run_id, "position": position, **sample.model_dump()}
            for position, sample in enumerate(record.samples)
        ]
        if samples:
            connection.execute(sa.insert(SampleRow), samples)
        return run_id

    return _in_transaction(engine, url, write)


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
    metrics, quality, error = data["metrics"], data["quality"], data["error"] or {}
    if not record.outcome.measured:
        metrics = {**metrics, **dict.fromkeys(_SPEEDS)}
    latency = metrics.pop("latency_ms") or {}
    flat = {**metrics, **quality, **{f"latency_ms_{stat}": value for stat, value in latency.items()}}
    return {
        **{name: data[name] for name in ("uuid", "outcome", "fallback_reason", "evidence")},
        **{f"effective_{name}": value for name, value in data["effective"].items()},
        **{f"error_{name}": value for name, value in error.items()},
        **{metric.name: flat.get(metric.name) for metric in METRICS},
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


def _in_transaction(engine: sa.Engine, url: str, write: Callable[[sa.Connection], T]) -> T:
    """Run `write` as one transaction, again where another writer was in the way."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with engine.connect().execution_options(bench_writes=True) as connection, connection.begin():
                return write(connection)
        except (OperationalError, IntegrityError) as error:
            # Locked (SQLite), or a unique key that a parallel worker wrote between look and write.
            contended = isinstance(error, IntegrityError) or _locked(error)
            if not contended or attempt == ATTEMPTS:
                raise StoreError(f"cannot write to the database {url}: {one_line(error.orig)}") from error
            time.sleep(0.05 * 2**attempt * (0.5 + secrets.randbelow(1000) / 1000))
        except DBAPIError as error:
            raise StoreError(f"cannot write to the database {url}: {one_line(error.orig)}") from error
    raise AssertionError("unreachable")


def _locked(error: OperationalError) -> bool:
    words = str(error.orig).lower()
    return "locked" in words or "busy" in words or "deadlock" in words or "serializ" in words
