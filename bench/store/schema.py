"""The tables, and the view `run_summary` that people and our own queries read.

Here the columns follow the registry (`bench.metrics`) and the record (`bench.record`); the migrations spell
the same columns out, and a test holds the two together. Times are text, UTC in ISO 8601, kept as they came.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.harness.outcome import Outcome
from bench.metrics import METRICS
from bench.models.program import FORWARD
from bench.plan.request import FIELDS, Request
from bench.record import Effective, Environment, ErrorInfo, ModelInfo

REVISION = "0009"  # of the newest migration
FIRST_TABLES = frozenset({"campaigns", "cells", "runs", "samples", "environments", "models"})
OUR_TABLES = FIRST_TABLES | {"foreign_results", "tunings"}
_FIRST, _MIDDLE = -2, -1  # places of columns in `cells`: what is asked for stands before its JSON
OWN = "own"  # the origin of campaigns that this program planned and verified


class CampaignState(StrEnum):
    """Where a campaign is."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


class CellState(StrEnum):
    """Where a cell is. Closed: the database holds a CHECK over these values."""

    PLANNED = "planned"
    LEASED = "leased"
    DONE = "done"
    SKIPPED = "skipped"


_OUTCOMES = ", ".join(f"'{outcome.value}'" for outcome in Outcome)
_CELL_STATES = ", ".join(f"'{state.value}'" for state in CellState)
_MEASURED = ", ".join(f"'{outcome.value}'" for outcome in Outcome if outcome.measured)


class Base(DeclarativeBase):
    """Names every constraint, so that a later migration can name it too."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        dict[str, Any]: sa.JSON(none_as_null=True),
        list[Any]: sa.JSON(none_as_null=True),
        float: sa.Double(),
        str: sa.Text(),
    }


class CampaignRow(Base):
    """One plan: a name, a seed, and the settings it was made with; `note` says why it stopped.

    `origin` is `own`, or the tool whose results `foreign_results` holds under this campaign.
    """

    __tablename__ = "campaigns"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(unique=True)
    seed: Mapped[int] = mapped_column(sa.BigInteger)
    settings: Mapped[dict[str, Any]]
    state: Mapped[str]
    created_at: Mapped[str]
    definition: Mapped[dict[str, Any] | None]
    plan_hash: Mapped[str | None]
    note: Mapped[str | None]
    origin: Mapped[str] = mapped_column(server_default=OWN)


class _Requested:
    """A column for each field of a request, added below."""


_KINDS: dict[type, sa.types.TypeEngine[Any]] = {
    bool: sa.Boolean(),
    int: sa.Integer(),
    float: sa.Double(),
    str: sa.Text(),
}
for _field in FIELDS:
    setattr(
        _Requested,
        _field.column,
        mapped_column(_field.column, _KINDS[_field.kind], nullable=_field.optional, sort_order=_MIDDLE),
    )


class CellRow(_Requested, Base):
    """One arm in one block: what was asked for, in the database before anything runs, and who runs it now."""

    __tablename__ = "cells"
    __table_args__ = (
        sa.UniqueConstraint("campaign_id", "position"),
        sa.CheckConstraint("role IN ('arm', 'twin')", name="role"),
        sa.CheckConstraint(f"state IN ({_CELL_STATES})", name="state"),
        sa.Index(None, "campaign_id", "state", "position"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, sort_order=_FIRST)
    campaign_id: Mapped[int] = mapped_column(sa.ForeignKey("campaigns.id"), sort_order=_FIRST)
    position: Mapped[int] = mapped_column(sort_order=_FIRST)
    block: Mapped[int] = mapped_column(sort_order=_FIRST)
    arm: Mapped[dict[str, Any]]
    role: Mapped[str] = mapped_column(server_default="arm")
    state: Mapped[str] = mapped_column(server_default="planned")
    note: Mapped[str | None]
    lease_owner: Mapped[str | None]
    lease_stage: Mapped[str | None]
    leased_at: Mapped[str | None]
    heartbeat_at: Mapped[str | None]
    lease_expires_at: Mapped[str | None]


class EnvironmentRow(Base):
    """Where runs ran, once for each distinct record; `hash` is the SHA-256 of its canonical JSON."""

    __tablename__ = "environments"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    browser: Mapped[str]
    browser_version: Mapped[str | None]
    browser_binary: Mapped[str | None]
    driver_version: Mapped[str | None]
    user_agent: Mapped[str | None]
    adapter_name: Mapped[str | None]
    adapter_is_fallback: Mapped[bool | None]
    os: Mapped[str | None]
    cpu: Mapped[str | None]
    host_gpus: Mapped[str | None]
    cross_origin_isolated: Mapped[bool | None]
    timer_resolution_us: Mapped[float | None]
    harness_version: Mapped[str | None]
    record: Mapped[dict[str, Any]]


class ModelRow(Base):
    """Which weights ran, once for each distinct record."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    family: Mapped[str | None]
    parameters: Mapped[int | None] = mapped_column(sa.BigInteger)
    weights: Mapped[str | None]
    sha256: Mapped[str | None]
    record: Mapped[dict[str, Any]]


class RunRow(Base):
    """One attempt at one cell. A column for each metric of the registry is added below the class."""

    __tablename__ = "runs"
    __table_args__ = (
        sa.UniqueConstraint("cell_id", "attempt"),
        sa.Index(None, "cell_id", "outcome"),  # what `bench campaign status` counts
        sa.CheckConstraint(f"outcome IN ({_OUTCOMES})", name="outcome"),
        # A wrong or unfinished result has no speed, whoever writes it.
        sa.CheckConstraint(f"outcome IN ({_MEASURED}) OR latency_ms_median IS NULL", name="speed"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(unique=True)
    cell_id: Mapped[int] = mapped_column(sa.ForeignKey("cells.id"))
    environment_id: Mapped[int] = mapped_column(sa.ForeignKey("environments.id"), index=True)
    model_id: Mapped[int] = mapped_column(sa.ForeignKey("models.id"), index=True)
    attempt: Mapped[int]
    outcome: Mapped[str] = mapped_column(index=True)
    fallback_reason: Mapped[str | None]
    effective_platform: Mapped[str | None]
    effective_bits: Mapped[int | None]
    effective_bits_mean: Mapped[float | None]
    effective_device: Mapped[str | None]
    effective_engine: Mapped[str | None]
    effective_engine_version: Mapped[str | None]
    effective_features: Mapped[str | None]
    effective_kernels: Mapped[str | None]
    effective_activations: Mapped[str | None]
    effective_group_size: Mapped[int | None]
    effective_scheme: Mapped[str | None]
    effective_weight_path: Mapped[str | None]
    effective_wait: Mapped[str | None]
    effective_completion_ms: Mapped[float | None]
    error_stage: Mapped[str | None]
    error_category: Mapped[str | None]
    error_name: Mapped[str | None]
    error_message: Mapped[str | None]
    error_operator: Mapped[str | None]
    phases: Mapped[dict[str, Any]]
    phase_metrics: Mapped[dict[str, Any] | None]
    evidence: Mapped[dict[str, Any]]
    started_at: Mapped[str]
    finished_at: Mapped[str]


for _metric in METRICS:
    setattr(
        RunRow,
        _metric.name,
        mapped_column(_metric.name, sa.BigInteger() if _metric.integer else sa.Double(), nullable=True),
    )


class SampleRow(Base):
    """One timed batch of a phase; `position` counts through the whole run, so the order is kept.

    `kind` is `warmup`, `measure`, `gpu` or `suspended`.
    """

    __tablename__ = "samples"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy reads it from the class

    run_id: Mapped[int] = mapped_column(sa.ForeignKey("runs.id"), primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    batch: Mapped[int]
    value_ms: Mapped[float]
    phase: Mapped[str] = mapped_column(server_default=FORWARD)


class ForeignRow(Base):
    """A number that another tool measured and nobody here verified; blank where that tool does not say.

    `hash` is the SHA-256 of what was taken in, so that the same file adds nothing twice. Nothing of this
    table is in `run_summary`.
    """

    __tablename__ = "foreign_results"
    __table_args__ = (sa.CheckConstraint("direction IN ('lower', 'higher')", name="direction"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(sa.ForeignKey("campaigns.id"), index=True)
    hash: Mapped[str] = mapped_column(unique=True)
    tool: Mapped[str]
    tool_version: Mapped[str | None]
    host: Mapped[str | None]
    os: Mapped[str | None]
    cpu: Mapped[str | None]
    gpu: Mapped[str | None]
    browser: Mapped[str | None]
    browser_version: Mapped[str | None]
    backend: Mapped[str | None]
    model: Mapped[str | None]
    bits_mean: Mapped[float | None]
    test: Mapped[str]
    metric: Mapped[str]
    unit: Mapped[str | None]
    direction: Mapped[str | None]
    value: Mapped[float | None]
    n: Mapped[int | None]
    samples: Mapped[list[Any] | None]
    record: Mapped[dict[str, Any]]
    started_at: Mapped[str | None]


class TuningRow(Base):
    """Constants that were found for one kernel, and what they hold for (`bench.plan.tuned`)."""

    __tablename__ = "tunings"
    __table_args__ = (
        sa.UniqueConstraint(
            "adapter", "browser", "browser_version", "features", "kernels", "key", name="uq_tunings_holds_for"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    adapter: Mapped[str]
    browser: Mapped[str]
    browser_version: Mapped[str]
    features: Mapped[str]
    kernels: Mapped[str]
    key: Mapped[str]
    constants: Mapped[dict[str, Any]]
    default_ms: Mapped[float]
    tuned_ms: Mapped[float]
    tried: Mapped[int]
    refused: Mapped[int]
    wrong: Mapped[int]
    tuned_at: Mapped[str]


def _summary_table() -> sa.Table:
    """`run_summary` as SQLAlchemy sees it: in metadata of its own, because Alembic owns the view.

    Each column's comment says what it means; docs/summary.md is made of them.
    """
    text, whole, flag = sa.Text(), sa.BigInteger(), sa.Boolean()
    real: sa.Double[float] = sa.Double()
    cells, runs = CellRow.__table__.c, RunRow.__table__.c
    columns: list[tuple[str, sa.types.TypeEngine[Any], str]] = [
        ("id", whole, "Number of the run, as in `bench show`"),
        ("uuid", text, "Of the run, the same in every database that it is copied to"),
        ("campaign", text, "Name of the campaign"),
        ("campaign_id", whole, "Number of the campaign"),
        ("cell_id", whole, "The cell: one arm in one block of a campaign"),
        ("block", whole, "Block of the campaign, from 0"),
        ("position", whole, "Place in the order that the campaign's cells run in, from 0"),
        ("attempt", whole, "Which run of its cell, from 1"),
        ("outcome", text, "How it ended: [outcomes](outcomes.md)"),
        ("fallback_reason", text, "Why it did not run as requested; blank unless the outcome is `fallback`"),
        *_described(Request, "requested_", cells),
        *_described(Effective, "effective_", runs),
        *_described(Environment, "", EnvironmentRow.__table__.c, before="adapter"),
        ("adapter", text, "Name of the WebGPU adapter, software ones named as such"),
        ("adapter_is_fallback", flag, "Whether it is a software adapter: its times say nothing about a GPU"),
        *_described(Environment, "", EnvironmentRow.__table__.c, after="webnn"),
        ("model", text, _meaning(ModelInfo, "name")),
        ("model_family", text, _meaning(ModelInfo, "family")),
        ("model_parameters", whole, _meaning(ModelInfo, "parameters")),
        ("model_weights", text, _meaning(ModelInfo, "weights")),
        ("model_sha256", text, _meaning(ModelInfo, "sha256")),
        *((metric.name, whole if metric.integer else real, metric.meaning) for metric in METRICS),
        *((f"error_{name}", text, _meaning(ErrorInfo, name)) for name in ErrorInfo.model_fields),
        ("started_at", text, "UTC, ISO 8601"),
        ("finished_at", text, "UTC, ISO 8601"),
        ("role", text, "`arm`, or `twin`: the second copy of an arm, hidden from comparisons"),
        ("cell_state", text, "`planned`, `leased`, `done` or `skipped`"),
    ]
    return sa.Table(
        "run_summary",
        sa.MetaData(),
        *(sa.Column(name, kind, comment=meaning) for name, kind, meaning in columns),
    )


def _meaning(record: type[BaseModel], name: str) -> str:
    return record.model_fields[name].description or ""


def _described(
    record: type[BaseModel], prefix: str, table: Any, before: str = "", after: str = ""
) -> list[tuple[str, sa.types.TypeEngine[Any], str]]:
    """A record's fields as columns: their types are those of the table, their meanings the record's own."""
    names = list(record.model_fields)
    names = names[names.index(after) + 1 if after else 0 : names.index(before) if before else None]
    known = [name for name in names if prefix + name in table]
    return [(prefix + name, table[prefix + name].type, _meaning(record, name)) for name in known]


SUMMARY = _summary_table()
