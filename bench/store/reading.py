"""What comes out of the database: records as they were, and rows of `run_summary`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bench.errors import InputError
from bench.metrics import nested
from bench.plan.request import stored
from bench.record import Effective, ErrorInfo, RunRecord, Sample
from bench.store.filter import Condition, column, compile_filter, nearest
from bench.store.origin import unmarked
from bench.store.schema import (
    OWN,
    SUMMARY,
    CampaignRow,
    CampaignState,
    CellRow,
    EnvironmentRow,
    ModelRow,
    RunRow,
    SampleRow,
)
from bench.store.since import moment
from bench.store.writing import Campaign, Cell

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def run(engine: sa.Engine, run_id: int) -> RunRecord:
    """See `Store.run`."""
    query = (
        sa.select(RunRow, CellRow.arm, EnvironmentRow.record, ModelRow.record)
        .join(CellRow, CellRow.id == RunRow.cell_id)
        .join(EnvironmentRow, EnvironmentRow.id == RunRow.environment_id)
        .join(ModelRow, ModelRow.id == RunRow.model_id)
        .where(RunRow.id == run_id)
    )
    with engine.connect() as connection:
        found = connection.execute(query).one_or_none() if abs(run_id) < 2**63 else None
        if found is None:
            raise InputError(f"there is no run {run_id}: {_existing(connection)}")
        row: Row = dict(found._mapping)
    # Three columns are named `record` or alike; the last ones stand in the order of the select.
    arm, environment, model = tuple(found)[-3:]
    metrics, quality = measured(row)
    return RunRecord.model_validate(
        {
            "id": row["id"],
            "uuid": row["uuid"],
            "outcome": row["outcome"],
            "fallback_reason": row["fallback_reason"],
            "requested": arm,
            "effective": {name: row[f"effective_{name}"] for name in Effective.model_fields},
            "environment": environment,
            "model": model,
            "metrics": metrics,
            "quality": quality,
            "error": {name: row[f"error_{name}"] for name in ErrorInfo.model_fields}
            if row["error_stage"] is not None
            else None,
            "started_at": row["started_at"],
            "finished_at": row["finished_at"],
            "phases_ms": row["phases"],
            "evidence": row["evidence"],
            "samples": samples(engine, run_id),
        }
    )


def measured(row: Row) -> tuple[Row, Row]:
    """The nested `metrics` and `quality` of a record from their columns."""
    metrics, quality = nested(row)
    return {**metrics, "phases": row["phase_metrics"] or {}}, quality


def _existing(connection: sa.Connection) -> str:
    ids = connection.scalars(sa.select(RunRow.id).order_by(RunRow.id.desc()).limit(6)).all()
    if not ids:
        return "the database has no runs yet"
    total = connection.scalar(sa.select(sa.func.count()).select_from(RunRow)) or 0
    lowest = connection.scalar(sa.select(sa.func.min(RunRow.id)))
    if total == ids[0] - (lowest or 0) + 1:
        return f"there are {lowest} to {ids[0]}" if total > 1 else f"there is only {lowest}"
    return f"the newest are {', '.join(str(number) for number in ids)}"


def samples(engine: sa.Engine, run_id: int) -> list[Sample]:
    """See `Store.samples`."""
    query = (
        sa.select(SampleRow.phase, SampleRow.kind, SampleRow.batch, SampleRow.value_ms)
        .where(SampleRow.run_id == run_id)
        .order_by(SampleRow.position)
    )
    with engine.connect() as connection:
        return [Sample.model_validate(dict(row._mapping)) for row in connection.execute(query)]


def evidence(engine: sa.Engine, key: str, runs: Sequence[int]) -> dict[int, Any]:
    """See `Store.evidence`."""
    found: dict[int, Any] = {}
    part = RunRow.evidence[key]
    with engine.connect() as connection:
        for begin in range(0, len(runs), 500):  # a statement takes some thousand parameters at most
            query = sa.select(RunRow.id, part).where(RunRow.id.in_(runs[begin : begin + 500]))
            found |= {row[0]: row[1] for row in connection.execute(query) if row[1] is not None}
    return found


def campaign(engine: sa.Engine, key: int | str) -> Campaign:
    """See `Store.campaign`."""
    query = sa.select(CellRow.id, CellRow.position, CellRow.block, CellRow.arm, CellRow.role).order_by(
        CellRow.position
    )
    with engine.connect() as connection:
        number, name = find_campaign(connection, key)
        row = connection.execute(
            sa.select(
                *(CampaignRow.settings, CampaignRow.definition),
                *(CampaignRow.plan_hash, CampaignRow.state, CampaignRow.seed, CampaignRow.uuid),
            ).where(CampaignRow.id == number)
        ).one()
        cells = connection.execute(query.where(CellRow.campaign_id == number)).all()
    return Campaign(
        number,
        name,
        [Cell(cell.id, cell.position, cell.block, stored(cell.arm), cell.role) for cell in cells],
        unmarked(row.settings),
        row.definition,
        row.plan_hash,
        CampaignState(row.state),
        row.seed,
        row.uuid,
    )


class ForeignCampaign(InputError):
    """A campaign that holds another tool's results, where runs of this program were asked for."""


def find_campaign(connection: sa.Connection, key: int | str, *, foreign: bool = False) -> tuple[int, str]:
    """Number and name of a campaign; by name first: one may be named `7`.

    Raises:
        ForeignCampaign: it holds another tool's results, and `foreign` does not allow that.
        InputError: there is none.
    """
    query = sa.select(CampaignRow.id, CampaignRow.name, CampaignRow.origin)
    found = None
    if isinstance(key, str):
        found = connection.execute(query.where(CampaignRow.name == key)).first()
    if found is None and str(key).isdecimal() and int(key) < 2**31:
        found = connection.execute(query.where(CampaignRow.id == int(key))).first()
    if found is not None:
        if found.origin != OWN and not foreign:
            raise ForeignCampaign(
                f"the campaign {found.name!r} holds results of {found.origin}, which nobody here verified: "
                f"read them with bench query --foreign --campaign {shlex.quote(found.name)}"
            )
        return int(found[0]), str(found[1])
    names = connection.scalars(sa.select(CampaignRow.name).order_by(CampaignRow.id.desc())).all()
    if not names:
        raise InputError(f"there is no campaign {key!r}: the database has none yet")
    raise InputError(f"there is no campaign {key!r}: {nearest(str(key), names)}")


def conditions(
    connection: sa.Connection, where: str | None, campaign: int | str | None, since: str | None = None
) -> Condition:
    """A filter, a campaign and a time as one condition on `run_summary`; InputError where one cannot be."""
    found: list[Condition] = [sa.true()] if where is None else [compile_filter(where)]
    if campaign is not None:
        found.append(SUMMARY.c.campaign_id == find_campaign(connection, campaign)[0])
    if since is not None:
        found.append(SUMMARY.c.started_at >= moment(since))
    return sa.and_(*found)


def selection(
    columns: Sequence[str] | None,
    limit: int | None,
    sort: str | None,
    table: sa.FromClause = SUMMARY,
) -> sa.Select[Any]:
    """Rows of `run_summary`, or of another table with an `id`, in order; every column without `columns`."""
    query = sa.select(*(table.c if columns is None else (table.c[name] for name in columns)))
    for key in [part.strip() for part in (sort or "").split(",") if part.strip()]:
        chosen = column(key.removeprefix("-").strip(), table)
        query = query.order_by((chosen.desc() if key.startswith("-") else chosen.asc()).nulls_last())
    query = query.order_by(table.c.id)
    if limit is not None:
        if limit < 1:
            raise InputError(f"--limit {limit} is not a number of rows: use 1 or more")
        query = query.limit(min(limit, 2**31 - 1))
    return query


def columnar(connection: sa.Connection, *queries: sa.Select[Any]) -> dict[str, list[Any]]:
    """Column by column, since a dictionary for each of 100,000 rows takes a gigabyte.

    As the driver gives them, since a row object for each takes as long as all else: no column that is read so
    needs more, but that SQLite's flags are 0 and 1.
    """
    names = [item.name for item in queries[0].selected_columns]
    values: list[list[Any]] = [[] for _ in names]
    kept: dict[Any, Any] = {}  # the same words stand in thousands of rows: kept once
    texts = [isinstance(item.type, sa.Text) for item in queries[0].selected_columns]
    for query in queries:
        result = connection.execute(query)
        cursor: Any = result.cursor
        while part := cursor.fetchmany(5000):
            for known, new, is_text in zip(values, zip(*part, strict=True), texts, strict=True):
                known.extend([kept.setdefault(one, one) for one in new] if is_text else new)
        result.close()
    return dict(zip(names, values, strict=True))


def cells(engine: sa.Engine, campaign: int | str | None) -> list[Row]:
    """See `Store.cells`."""
    requested = [
        item for item in CellRow.__table__.c if item.name.startswith("requested_") or item.name == "block"
    ]
    query = (
        sa.select(
            CampaignRow.name.label("campaign"),
            CampaignRow.id.label("campaign_id"),
            CellRow.id.label("cell_id"),
            CellRow.position,
            *(CellRow.role, CellRow.state, CellRow.note),
            *requested,
        )
        .join(CampaignRow, CampaignRow.id == CellRow.campaign_id)
        .order_by(CampaignRow.id, CellRow.position)
    )
    with engine.connect() as connection:
        if campaign is not None:
            query = query.where(CampaignRow.id == find_campaign(connection, campaign)[0])
        return [dict(row._mapping) for row in connection.execute(query)]


def frame_of(values: dict[str, list[Any]]) -> pd.DataFrame:
    """Columns of `run_summary`, each with the type that `Store.summary` gives it."""
    import pandas as pd  # half a second, and most commands need no frame

    columns: dict[str, pd.Series[Any]] = {}
    for name, found in values.items():
        kind = SUMMARY.c[name].type
        if isinstance(kind, sa.Boolean):
            columns[name] = pd.Series(found, dtype="boolean")
        elif isinstance(kind, sa.Integer):
            columns[name] = pd.Series(found, dtype="Int64")
        elif isinstance(kind, sa.Double):
            columns[name] = pd.Series(found, dtype="float64")
        else:
            columns[name] = pd.Series(found, dtype="object")
    return pd.DataFrame(columns)
