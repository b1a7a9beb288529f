"""An export into a database, as one transaction: everything of it, or nothing.

What is here already is known by UUID or hash and stays as it is. Cells go forward only: planned, skipped,
done.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from bench.models.program import FORWARD
from bench.store.address import shown
from bench.store.exchange import check
from bench.store.exchange.encoding import Placed, Row, chunks
from bench.store.exchange.inbox import Imported, Inbox
from bench.store.exchange.layout import (
    ENVIRONMENTS,
    FOREIGN,
    MODELS,
    RUNS,
    SAMPLES,
    TUNINGS,
    Export,
    Layout,
    refused,
)
from bench.store.exchange.plans import Arrived, Plans
from bench.store.older import complete
from bench.store.schema import EnvironmentRow, ForeignRow, ModelRow, RunRow
from bench.store.tunings import put
from bench.store.writing import in_transaction

__all__ = ["Imported", "import_folder"]


def import_folder(engine: sa.Engine, export: Export) -> Imported:
    """Take an export in.

    Raises:
        StoreError: a row cannot be, or names another that is missing; the message names file and line, and
            the database is as it was.
    """
    return in_transaction(engine, shown(engine.url), lambda connection: _Import(connection, export).run())


class _Import:
    def __init__(self, connection: sa.Connection, export: Export) -> None:
        self._inbox = Inbox(connection, export)
        self._plans = Plans(self._inbox)
        self._shared: dict[str, dict[str, int]] = {}
        self._runs: dict[str, int | None] = {}  # every run of the files -> its number where it is new
        self._renumbered = 0

    def run(self) -> Imported:
        """Every file in turn, each after those that it names."""
        self._share(ENVIRONMENTS, EnvironmentRow)
        self._share(MODELS, ModelRow)
        self._plans.take()
        for part in chunks(self._inbox.read(RUNS)):
            self._take_runs(part)
        self._take_samples()
        for part in chunks(self._inbox.read(FOREIGN)):
            self._foreign(part)
        if self._inbox.export.has(TUNINGS):
            self._tunings()
        self._plans.settle()
        if self._inbox.export.older:
            complete(self._inbox.connection)
        if self._renumbered:
            self._inbox.done.notes.append(
                f"{self._renumbered} runs have another attempt number than where they ran: their cells had "
                "runs here already"
            )
        return self._inbox.done

    def _share(self, layout: Layout, table: type[Any]) -> None:
        """Environments or models: those with another hash are new."""
        here = self._shared[layout.name] = {}
        for part in chunks(self._inbox.read(layout)):
            hashes = {row["hash"]: place for place, row in part}
            query = sa.select(table.hash, table.id, table.record).where(table.hash.in_(hashes))
            known = {row[0]: row for row in self._inbox.connection.execute(query)}
            for place, row in part:
                check.shared(place, layout, row)
                if row["hash"] in known and known[row["hash"]][2] != row["record"]:
                    raise refused(place, f"hash {row['hash'][:16]} stands for another record here")
            fresh = {row["hash"]: (place, row) for place, row in part if row["hash"] not in known}
            self._inbox.insert(table, list(fresh.values()))
            numbers = sa.select(table.hash, table.id).where(table.hash.in_(hashes))
            here |= {row[0]: row[1] for row in self._inbox.connection.execute(numbers)}
            self._inbox.done.add(layout.name, len(fresh))

    def _take_runs(self, part: list[Placed]) -> None:
        uuids = [row["uuid"] for _, row in part]
        query = sa.select(RunRow.uuid).where(RunRow.uuid.in_(uuids))
        known = set(self._inbox.connection.scalars(query))
        fresh: list[Placed] = []
        for place, row in part:
            check.run(place, row)
            if row["uuid"] in self._runs:
                raise refused(place, f"run {row['uuid']} is in the file twice")
            self._runs[row["uuid"]] = None
            campaign = self._plans.of(place, row)
            values = self._placed_run(place, row, campaign)
            if row["uuid"] not in known and not campaign.closed:
                self._number(place, campaign, values)
                fresh.append((place, values))
        self._inbox.insert(RunRow, fresh)
        new = [row["uuid"] for _, row in fresh]
        found = self._inbox.connection.execute(sa.select(RunRow.uuid, RunRow.id).where(RunRow.uuid.in_(new)))
        self._runs |= {one.uuid: one.id for one in found}
        self._inbox.done.add("runs", len(fresh), known=len(known))

    def _placed_run(self, place: str, row: Row, campaign: Arrived) -> Row:
        """A run with the numbers of what it names."""
        cell = campaign.cells.get(row["position"])
        if cell is None and not campaign.closed:
            raise refused(place, f"its cell, position {row['position']} of {row['campaign']}, is missing")
        if asked := campaign.asked.get(row["position"]):
            check.answer(place, row, *asked)
        keys = {}
        for layout, name in ((ENVIRONMENTS, "environment"), (MODELS, "model")):
            keys[f"{name}_id"] = self._shared[layout.name].get(row[name])
            if keys[f"{name}_id"] is None:
                raise refused(
                    place, f"its {name} {row[name][:16]} is not in {self._inbox.export.path(layout).name}"
                )
        left = {"campaign", "position", "environment", "model"}
        return {
            **{name: value for name, value in row.items() if name not in left},
            **keys,
            "cell_id": cell,
        }

    def _number(self, place: str, campaign: Arrived, values: Row) -> None:
        """A cell that ran in both places has the runs of both, one after the other."""
        here = campaign.attempts.setdefault(values["cell_id"], set())
        if values["attempt"] in here:
            if campaign.new:
                raise refused(place, f"attempt {values['attempt']} of its cell is in the file twice")
            values["attempt"] = 1 + max(here)
            self._renumbered += 1
        here.add(values["attempt"])

    def _take_samples(self) -> None:
        """Past SQLAlchemy's own rows: there may be ten million."""
        sign = "?" if self._inbox.connection.dialect.name == "sqlite" else "%s"
        statement = (
            "INSERT INTO samples (run_id, phase, kind, position, batch, value_ms) "  # noqa: S608 - no value in it
            f"VALUES ({', '.join([sign] * 6)})"
        )
        seen: set[str] = set()
        for part in chunks(self._inbox.read(SAMPLES), 200):
            rows: list[tuple[Any, ...]] = []
            for place, row in part:
                if row["kind"] is None:  # before there were phases, this was the name of the kind
                    row = {**row, "kind": row["phase"], "phase": [FORWARD] * len(row["phase"])}
                check.samples(place, row)
                if row["run"] not in self._runs:
                    raise refused(place, f"run {row['run']} is not in {self._inbox.export.path(RUNS).name}")
                if row["run"] in seen:
                    raise refused(place, f"the samples of run {row['run']} are in the file twice")
                seen.add(row["run"])
                number = self._runs[row["run"]]
                if number is not None:
                    columns = (row[name] for name in ("phase", "kind", "position", "batch", "value_ms"))
                    rows += [(number, *values) for values in zip(*columns, strict=True)]
            if rows:
                self._inbox.connection.exec_driver_sql(statement, rows)
            self._inbox.done.add("samples", len(rows))

    def _foreign(self, part: list[Placed]) -> None:
        query = sa.select(ForeignRow.hash).where(ForeignRow.hash.in_([row["hash"] for _, row in part]))
        known = set(self._inbox.connection.scalars(query))
        fresh: dict[str, Placed] = {}
        for place, row in part:
            campaign = self._plans.of(place, row, row["tool"])
            check.foreign(place, row)
            if row["hash"] not in known:
                values = {name: value for name, value in row.items() if name != "campaign"}
                fresh[row["hash"]] = (place, {**values, "campaign_id": campaign.id})
        self._inbox.insert(ForeignRow, list(fresh.values()))
        self._inbox.done.add("foreign_results", len(fresh), known=len(known))

    def _tunings(self) -> None:
        """What was found for kernels; of two findings the newer one counts."""
        new = known = 0
        for place, row in self._inbox.read(TUNINGS):
            written = put(self._inbox.connection, check.tuning(place, row))
            new, known = new + written, known + (not written)
        self._inbox.done.add("tunings", new, known=known)
